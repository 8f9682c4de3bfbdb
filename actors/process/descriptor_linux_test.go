package process_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// inheritable returns the descriptors above 2 that this process hands on: those it was started with itself.
func inheritable() (fds []int) {
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		fd, _ := strconv.Atoi(filepath.Base(link))
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 && fd > 2 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// TestDescriptors: a process has its own descriptors and nobody else's, whatever is opened and closed at the time (T12).
func TestDescriptors(t *testing.T) {
	processtest.Check(t)
	given := inheritable()
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					churn(t)
				}
			}
		})
	}
	const rounds, parallel = 25, 8 // 200 in all
	for range rounds {
		lives := launchAll(t, parallel, func(i int) process.Command {
			c := shell("echo /proc/$$/fd/*; readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2 /proc/$$/fd/3")
			c.Plain = i%2 == 0
			return c
		})
		for i, l := range lives {
			l.awaitExit()
			want := append([]int{0, 1, 2}, given...)
			if i%2 == 1 {
				want = append(want, 3)
			}
			checkDescriptors(t, l.stdout(), want)
		}
	}
	close(stop)
	busy.Wait()
}

// churn opens and closes a bit of everything.
func churn(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Error(err)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return
	}
	f, err := os.Open("/dev/zero")
	if err != nil {
		t.Error(err)
		return
	}
	for _, c := range []io.Closer{r, w, l, f} {
		c.Close()
	}
}

func checkDescriptors(t *testing.T, out string, want []int) {
	t.Helper()
	list, links, _ := strings.Cut(out, "\n")
	var got []int
	for path := range strings.FieldsSeq(list) {
		fd, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			t.Fatalf("%q", out)
		}
		got = append(got, fd)
	}
	slices.Sort(got)
	slices.Sort(want)
	// A shell that expands the pattern has the directory open, too.
	if extra := slices.DeleteFunc(got, func(fd int) bool { return slices.Contains(want, fd) }); len(extra) > 1 {
		t.Errorf("descriptors %v beyond %v:\n%s", extra, want, out)
	}
	kinds := strings.Fields(links)
	if len(kinds) < 3 || kinds[0] != "/dev/null" || !strings.HasPrefix(kinds[1], "pipe:") ||
		!strings.HasPrefix(kinds[2], "pipe:") || kinds[1] == kinds[2] {
		t.Errorf("streams %v", kinds)
	}
	if slices.Contains(want, 3) && (len(kinds) != 4 || !strings.HasPrefix(kinds[3], "socket:")) {
		t.Errorf("descriptor 3: %v", kinds)
	}
}

// modes prints which of its descriptors do not block.
var modes = processtest.Helper("print the modes of descriptors", func() {
	for _, arg := range os.Args[1:] {
		fd, _ := strconv.Atoi(arg)
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			panic(err)
		}
		fmt.Println(fd, "blocks:", flags&unix.O_NONBLOCK == 0)
	}
})

// TestBlocking: programs expect streams that block, and the supervisor's own ends do not.
func TestBlocking(t *testing.T) {
	processtest.Check(t)
	l, _ := run(t, processtest.Command(t, modes, "1", "2", "3"))
	if l.stdout() != "1 blocks: true\n2 blocks: true\n3 blocks: true\n" {
		t.Error(l.dump())
	}
}

// TestSleepers: waiting for processes costs no threads, and every exit is delivered once (T1).
func TestSleepers(t *testing.T) {
	processtest.Check(t)
	const n = 300
	before := threads(t)
	lives := make([]life, n)
	for i := range lives {
		lives[i] = launch(t, process.Command{Args: []string{"/bin/sleep", "600"}})
	}
	if threads := threads(t); threads >= before+50 {
		t.Errorf("%d threads for %d processes, %d before", threads, n, before)
	}
	for _, l := range lives {
		l.Kill()
	}
	for i, l := range lives {
		if exit := l.awaitExit(); exit.Signal != unix.SIGKILL || !exit.Stopped {
			t.Fatalf("process %d: exit %+v", i, exit)
		}
	}
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// TestThreadEnds: the end of a thread of ours is not the death of a parent, not even of the thread that asked for the
// process (T3).
func TestThreadEnds(t *testing.T) {
	processtest.Check(t)
	before := threads(t)
	lives := launchAll(t, 4, func(int) process.Command {
		runtime.LockOSThread() // and no unlock: the thread ends with its goroutine
		return process.Command{Args: []string{"/bin/sleep", "600"}}
	})
	var ending sync.WaitGroup
	for range 1000 {
		ending.Go(runtime.LockOSThread)
	}
	ending.Wait()
	processtest.Eventually(t, "the threads have ended", func() bool { return threads(t) < before+50 })
	for _, l := range lives {
		if err := l.Signal(0); err != nil || state(l.PID()) == "Z" {
			t.Errorf("the process is dead: %v", err)
		}
	}
}

// TestFailedLaunch: nothing is left of what could not be started.
func TestFailedLaunch(t *testing.T) {
	processtest.Check(t)
	script := filepath.Join(t.TempDir(), "no format")
	if err := os.WriteFile(script, []byte("\x00\x01\x02 neither a script nor a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	open := func() int { // at once: in the end the garbage collector closes what was forgotten
		links, _ := filepath.Glob("/proc/self/fd/*")
		return len(links)
	}
	for before, i := open(), 0; i < 20; i++ {
		if now := open(); now > before {
			t.Fatalf("%d descriptors are open, and %d before", now, before)
		}
		p, err := process.Local().Launch(process.ID{Rank: 2}, process.Command{Args: []string{script}, Entry: "e"}, newRecorder(t))
		if p != nil || err == nil {
			t.Fatal("it was launched")
		}
		wantErrorIs(t, err, unix.ENOEXEC)
		if want := fmt.Sprintf("process: start 2@0 (%s): exec format error", script); err.Error() != want {
			t.Errorf("%q in place of %q", err, want)
		}
	}
}

// TestNoDescriptors: out of descriptors at any point of a launch, nothing is left of it and the error says why.
func TestNoDescriptors(t *testing.T) {
	processtest.Check(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	links, _ := filepath.Glob("/proc/self/fd/*")
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	failed := 0
	for spare := range 14 {
		low := limit
		low.Cur = uint64(len(links) + spare)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
			t.Fatal(err)
		}
		r := newRecorder(t)
		p, err := process.Local().Launch(process.ID{}, process.Command{Args: []string{"/bin/true"}, Entry: "e"}, r)
		if err != nil {
			failed++
			wantErrorIs(t, err, unix.EMFILE)
			if now, _ := filepath.Glob("/proc/self/fd/*"); len(now) > len(links) {
				t.Errorf("%d descriptors are open, and %d before: %v", len(now), len(links), err)
			}
			continue
		}
		p.Kill()
		r.awaitExit()
	}
	if failed == 0 {
		t.Error("there were always enough")
	}
}
