package process_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
)

// cramped lowers its limits, as "nofile 100", and tells what Preflight says of so many ranks.
var cramped = processtest.Helper("cramped", func() {
	n, _ := strconv.Atoi(os.Args[1])
	for _, arg := range os.Args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		if name == "cgroup" {
			confine(value, 50)
		}
		limit, _ := strconv.ParseUint(value, 10, 64)
		switch name {
		case "nofile":
			must(syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: limit}))
		case "nproc":
			must(unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: limit, Max: limit}))
			must(syscall.Setuid(nobodyElse))
		}
	}
	commands := make([]process.Command, n)
	err := process.Local().(process.Preflighter).Preflight(commands)
	fmt.Println(errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.EAGAIN), err)
})

// nobodyElse is a user that has no other process.
const nobodyElse = 54321

func must(err error) {
	if err != nil {
		fmt.Println(err)
		runtime.Goexit()
	}
}

// TestPreflight: what a whole group needs is compared with the limits before its first process starts, in one message.
func TestPreflight(t *testing.T) {
	files := `100 ranks need \d+ file descriptors and \d+ of 64 are free: raise ulimit -n to at least (\d+)`
	procs := `100 ranks need 101 processes and \d+ of the 50 of user 54321 are free: raise ulimit -u to at least \d+`
	for _, test := range []struct {
		name string
		args []string
		root bool
		want string
	}{
		{"there is room", []string{"100", "nofile=4096"}, false, "^false false <nil>\n$"},
		{"too few descriptors", []string{"100", "nofile=64"}, false, "^true false process: " + files},
		{"enough for one", []string{"1", "nofile=64"}, false, "^false false <nil>\n$"},
		{"too few processes", []string{"100", "nproc=50"}, true, "^false true process: " + procs},
		{"enough processes", []string{"10", "nproc=200"}, true, "^false false <nil>\n$"},
		{"both", []string{"100", "nofile=64", "nproc=50"}, true, "^true true process: " + files + "(?s:.*)" + procs},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.root && os.Getuid() != 0 {
				t.Skip("root is free of the limit, and only root can become somebody else")
			}
			processtest.Check(t)
			l, _ := run(t, processtest.Command(t, cramped, test.args...))
			if out := l.stdout(); !regexp.MustCompile(test.want).MatchString(out) {
				t.Errorf("%q does not match %q", out, test.want)
			}
		})
	}
}

// TestPreflightOfOurCgroup: systemd's TasksMax and a container's --pids-limit are a pids.max, in cgroup v1 and v2.
func TestPreflightOfOurCgroup(t *testing.T) {
	processtest.Check(t)
	dir := pidsCgroup(t)
	want := regexp.MustCompile(`^false true process: 100 ranks need 101 processes and \d+ of the 50 of our cgroup are free: raise ` +
		regexp.QuoteMeta(dir) + `/pids.max .* to at least 1\d\d: `)
	l, _ := run(t, processtest.Command(t, cramped, "100", "cgroup="+dir))
	if !want.MatchString(l.stdout()) {
		t.Errorf("%q", l.stdout())
	}
	if l, _ := run(t, processtest.Command(t, cramped, "10", "cgroup="+dir)); l.stdout() != "false false <nil>\n" {
		t.Errorf("%q", l.stdout())
	}
}

// crowd launches as many ranks as Preflight finds room for, with so many descriptors and not one more, and says how many failed.
var crowd = processtest.Helper("crowd", func() {
	const limit = 256
	must(syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: limit}))
	l, n := process.Local(), 1
	for l.(process.Preflighter).Preflight(make([]process.Command, n+1)) == nil {
		n++
	}
	failed, lives := make(chan error, n), make([]*counter, n)
	for i := range lives {
		lives[i] = &counter{exited: make(chan struct{})}
		go func() { // ends with the launch
			p, err := l.Launch(process.ID{Rank: i}, shell("exec sleep 60"), lives[i])
			lives[i].process = p
			failed <- err
		}()
	}
	for range n {
		if err := <-failed; err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println(n, "ranks")
	for _, c := range lives {
		c.process.Kill()
		<-c.exited
	}
})

// A counter is an observer for programs that are no test.
type counter struct {
	process process.Process
	exited  chan struct{}
}

func (*counter) Message(transport.Message)     {}
func (*counter) Broken(error)                  {}
func (*counter) Probed(error)                  {}
func (*counter) Output(process.Stream, []byte) {}
func (c *counter) Exited(process.Exit)         { close(c.exited) }

// TestPreflightHolds: a group that Preflight lets through can be launched, all ranks at once.
func TestPreflightHolds(t *testing.T) {
	processtest.Check(t)
	l, exit := run(t, processtest.Command(t, crowd))
	var n int
	fmt.Sscanf(l.stdout(), "%d ranks", &n)
	if !exit.Success() || n < 20 {
		t.Errorf("exit %+v\n%s", exit, l.dump())
	}
	t.Logf("%d ranks with 256 descriptors", n)
}
