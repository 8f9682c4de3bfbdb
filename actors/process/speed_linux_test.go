package process_test

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A last is an observer that counts output and waits for the exit.
type last struct {
	bytes  int
	exited chan process.Exit
}

func (*last) Message(transport.Message)              {}
func (*last) Broken(error)                           {}
func (*last) Probed(error)                           {}
func (l *last) Output(_ process.Stream, line []byte) { l.bytes += len(line) }
func (l *last) Exited(x process.Exit)                { l.exited <- x }

// BenchmarkSpawn is a process that does nothing, from its launch to its exit, with each protection on and off.
func BenchmarkSpawn(b *testing.B) {
	for _, c := range []struct {
		name   string
		layers process.Layers
		plain  bool
	}{
		{"all", process.Layers{}, false},
		{"no-cgroup", process.Layers{NoCgroup: true}, false},
		{"no-watchdog", process.Layers{NoWatchdog: true}, false},
		{"no-deathsig", process.Layers{NoDeathsig: true}, false},
		{"no-socket", process.Layers{}, true},
		{"none", process.Layers{NoCgroup: true, NoWatchdog: true, NoDeathsig: true}, true},
	} {
		b.Run("layers="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			l := process.LocalWith(c.layers)
			defer l.Guard(nil)()
			for b.Loop() {
				o := &last{exited: make(chan process.Exit, 1)}
				if _, err := l.Launch(process.ID{}, process.Command{Args: []string{"/bin/true"}, Plain: c.plain}, o); err != nil {
					b.Fatal(err)
				}
				if x := <-o.exited; !x.Success() {
					b.Fatalf("%+v", x)
				}
			}
		})
	}
}

// BenchmarkPump is a megabyte of lines from a process to its observer.
func BenchmarkPump(b *testing.B) {
	b.ReportAllocs()
	line := append(bytes.Repeat([]byte("x"), 79), '\n')
	b.SetBytes(1 << 20)
	l := process.Local()
	defer l.Guard(nil)()
	o := &last{exited: make(chan process.Exit, 1)}
	script := "yes " + string(line[:79]) + " | head -c " + strconv.Itoa(b.N<<20)
	if _, err := l.Launch(process.ID{}, process.Command{Args: []string{"sh", "-c", script}}, o); err != nil {
		b.Fatal(err)
	}
	if x := <-o.exited; !x.Success() || o.bytes != b.N<<20 {
		b.Fatalf("%d of %d bytes came: %+v", o.bytes, b.N<<20, x)
	}
}
