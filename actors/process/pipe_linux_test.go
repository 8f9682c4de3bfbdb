package process_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// A scale is a counter that weighs the output.
type scale struct {
	counter
	bytes atomic.Int64
}

func (s *scale) Output(_ process.Stream, b []byte) { s.bytes.Add(int64(len(b))) }

// multitude is 400 ranks of a user who is not root. Then the user's pipes are used up, and there are two ranks more.
var multitude = processtest.Helper("multitude", func() {
	must(syscall.Setuid(nobodyElse))
	l, notices := process.Local(), make(chan string, 10)
	defer l.Guard(func(text string) { notices <- text })()
	var ranks []*scale
	begin := func(c process.Command) *scale {
		o := &scale{counter: counter{exited: make(chan struct{})}}
		var err error
		o.process, err = l.Launch(process.ID{Rank: len(ranks)}, c, o)
		must(err)
		ranks = append(ranks, o)
		return o
	}
	for range 400 {
		begin(shell("exec sleep 1000"))
	}
	fmt.Println(len(notices), "notices of", len(ranks), "ranks")
	for range 1024 {
		r, w, err := os.Pipe()
		must(err)
		defer r.Close()
		defer w.Close()
	}
	for range 2 {
		o := begin(shell("yes | head -c 8000000"))
		<-o.exited
		fmt.Println(o.bytes.Load(), "bytes")
	}
	fmt.Println(len(notices), "notice:", <-notices)
	for _, o := range ranks {
		o.process.Kill()
		<-o.exited
	}
})

// T22: 400 ranks of an ordinary user stay within the quota of pipes. When that is used up pipes become small: it is told,
// once, and nothing is lost.
func TestPipeQuota(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become a user who has no pipes yet")
	}
	if b, _ := os.ReadFile("/proc/sys/fs/pipe-user-pages-soft"); string(b) != "16384\n" {
		t.Skipf("the quota, fs.pipe-user-pages-soft, is not the kernel's 16384 here but %q", b)
	}
	processtest.Check(t)
	l, exit := run(t, processtest.Command(t, multitude))
	want := "0 notices of 400 ranks\n8000000 bytes\n8000000 bytes\n1 notice: output pipes hold 8192 bytes from now on instead of 65536"
	if !exit.Success() || !strings.HasPrefix(l.stdout(), want) {
		t.Errorf("exit %+v\n%s", exit, l.dump())
	}
}
