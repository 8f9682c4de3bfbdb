package process_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
)

// TestOutput: what a process wrote arrives as it was written.
func TestOutput(t *testing.T) {
	for _, test := range []struct{ name, script, out, err string }{
		{"nothing", "", "", ""},
		{"both streams", "echo a; echo b >&2; echo c", "a\nc\n", "b\n"},
		{"a last line without its newline", "printf 'a\\nb'; printf c >&2", "a\nb", "c"},
		{"a line in pieces", "printf a; printf b; echo c", "abc\n", ""},
		{"empty lines", "echo; echo; printf '\\n\\n'", "\n\n\n\n", ""},
		{"bytes that are no UTF-8", "printf '\\377\\376\\000\\303\\n'", "\xff\xfe\x00\xc3\n", ""},
		{"the last words before SIGKILL", "echo a; printf b >&2; kill -9 $$", "a\n", "b"},
		{"a stream that is closed early", "echo a; exec >&-; echo b >&2", "a\n", "b\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			l, exit := run(t, shell(test.script))
			if l.stdout() != test.out || l.stderr() != test.err || string(exit.Stderr) != test.err {
				t.Errorf("stdout %q, stderr %q, tail %q", l.stdout(), l.stderr(), exit.Stderr)
			}
		})
	}
}

// TestWriters: of 32 processes that write 1000 lines each and are killed, no line is lost or torn (the torch row
// tail_log_test).
func TestWriters(t *testing.T) {
	processtest.Check(t)
	var lives []life
	for i := range 32 {
		lives = append(lives, launch(t, shell(
			`i=0; while [ $i -lt 1000 ]; do echo "[$1] line $i"; i=$((i+1)); done; kill -9 $$`, strconv.Itoa(i))))
	}
	for i, l := range lives {
		exit := l.awaitExit()
		lines := strings.SplitAfter(l.stdout(), "\n")
		if exit.Signal != syscall.SIGKILL || len(lines) != 1001 || lines[1000] != "" {
			t.Fatalf("rank %d: exit %+v after %d lines", i, exit, len(lines)-1)
		}
		for n, line := range lines[:1000] {
			if line != fmt.Sprintf("[%d] line %d\n", i, n) {
				t.Fatalf("rank %d, line %d: %q", i, n, line)
			}
		}
	}
}

// TestSharedPipe: 32 processes that write to the pipe of one rank, as the workers of a data loader do.
func TestSharedPipe(t *testing.T) {
	processtest.Check(t)
	l, _ := run(t, shell(`j=0; while [ $j -lt 32 ]; do
		{ i=0; while [ $i -lt 300 ]; do echo "$j $i"; i=$((i+1)); done; } &
		j=$((j+1)); done; wait`))
	next := map[string]int{}
	for line := range strings.Lines(l.stdout()) {
		writer, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if number != strconv.Itoa(next[writer]) {
			t.Fatalf("writer %s: %q in place of %d", writer, line, next[writer])
		}
		next[writer]++
	}
	for i := range 32 {
		if n := next[strconv.Itoa(i)]; n != 300 {
			t.Errorf("writer %d: %d lines", i, n)
		}
	}
}

const (
	floodSize = 64 << 20
	floodLine = 256
)

// flood writes 64 MiB of numbered lines to standard error.
var flood = processtest.Helper("flood", func() {
	w := bufio.NewWriterSize(os.Stderr, 1<<20)
	line := bytes.Repeat([]byte("."), floodLine)
	line[floodLine-1] = '\n'
	for i := range floodSize / floodLine {
		copy(line, fmt.Sprintf("%08d", i))
		w.Write(line)
	}
	w.Flush()
	os.Exit(9)
})

// TestFlood: whole lines, in order, in bounded memory (T32).
func TestFlood(t *testing.T) {
	processtest.Check(t)
	var lines, calls int
	var peak uint64
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	r := newRecorder(t)
	sink := floodSink{recorder: r, take: func(b []byte) {
		if calls++; calls%64 == 0 {
			peak = max(peak, heap())
		}
		for ; len(b) > 0; b = b[floodLine:] {
			if len(b) < floodLine || b[floodLine-1] != '\n' || string(b[:8]) != fmt.Sprintf("%08d", lines) {
				t.Fatalf("line %d: %.300q", lines, b)
			}
			lines++
		}
	}}
	runtime.GC()
	before := heap()
	p, err := process.Local().Launch(process.ID{}, processtest.Command(t, flood), &sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	exit := r.awaitExit()
	if lines != floodSize/floodLine || exit.Code != 9 {
		t.Errorf("%d lines, exit %d", lines, exit.Code)
	}
	if peak > before+16<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, peak)
	}
	if n := len(exit.Stderr); n < 7<<10 || n > 8<<10 || exit.Stderr[floodLine-1] != '\n' || n%floodLine != 0 {
		t.Errorf("a tail of %d bytes: %.300q", n, exit.Stderr)
	}
}

// A floodSink does not keep what it is told.
type floodSink struct {
	*recorder
	take func([]byte)
}

func (s *floodSink) Output(_ process.Stream, b []byte) { s.take(b) }

// longLine writes a line of 3 MiB and a short one.
var longLine = processtest.Helper("write a long line", func() {
	line := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	os.Stdout.Write(append(line, "\nend\n"...))
})

// TestLongLine: a line that is longer than 1 MiB comes in pieces, and nothing is lost.
func TestLongLine(t *testing.T) {
	processtest.Check(t)
	r := newRecorder(t)
	longest := 0
	r.onOutput = func(_ process.Stream, b []byte) { longest = max(longest, len(b)) }
	l := launchWith(t, processtest.Command(t, longLine), r)
	l.awaitExit()
	if want := strings.Repeat("0123456789abcdef", 3<<20/16) + "\nend\n"; l.stdout() != want {
		t.Errorf("%d bytes in place of %d", len(l.stdout()), len(want))
	}
	if longest > process.MaxLine+64<<10 {
		t.Errorf("a piece of %d bytes", longest)
	}
}

// TestSlowConsumer: what a dead process wrote is kept for an observer that comes to it long after (G-5).
func TestSlowConsumer(t *testing.T) {
	for _, stream := range []string{"stdout", "the socket"} {
		t.Run(stream, func(t *testing.T) {
			processtest.Check(t)
			gate := make(chan struct{})
			open := sync.OnceFunc(func() { close(gate) })
			r := newRecorder(t)
			var script string
			if stream == "stdout" {
				r.onOutput = func(process.Stream, []byte) { <-gate }
				script = `i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done`
			} else {
				r.onMessage = func(transport.Message) { <-gate }
				script = `i=0; while [ $i -lt 150 ]; do printf '\000\000\000\001\006\000\200' >&3; i=$((i+1)); done`
			}
			l := launchWith(t, shell(script), r)
			t.Cleanup(open)
			processtest.Eventually(t, "the process is reaped", func() bool { return state(l.PID()) == "" })
			<-time.After(2 * process.DrainTime)
			open()
			l.awaitExit()
			if lines := strings.Count(l.stdout(), "\n"); stream == "stdout" && lines != 3000 {
				t.Errorf("%d lines", lines)
			}
			if n := len(l.messages); stream != "stdout" && n != 150 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestBackPressure: an observer that blocks holds back its own stream, and no other rank.
func TestBackPressure(t *testing.T) {
	processtest.Check(t)
	gate := make(chan struct{})
	var taken atomic.Int64
	r := newRecorder(t)
	r.onOutput = func(_ process.Stream, b []byte) {
		taken.Add(int64(len(b)))
		<-gate
	}
	slow := launchWith(t, shell("while :; do echo 0123456789012345678901234567890123456789; done"), r)
	fast, exit := run(t, shell("head -c 1000000 /dev/zero | tr '\\0' '\\n'"))
	if len(fast.stdout()) != 1000000 || exit.Code != 0 {
		t.Errorf("%d bytes, exit %+v", len(fast.stdout()), exit)
	}
	if n := taken.Load(); n > 64<<10 {
		t.Errorf("%d bytes were taken", n)
	}
	slow.Kill()
	close(gate)
	slow.awaitExit()
}

// TestStdin: standard input is at its end (T23).
func TestStdin(t *testing.T) {
	processtest.Check(t)
	l, exit := run(t, shell("cat; readlink /proc/self/fd/0"))
	if l.stdout() != "/dev/null\n" || exit.Code != 0 {
		t.Errorf("exit %+v after %q", exit, l.stdout())
	}
}
