package process_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/actors/process/stage"
	"github.com/go-muster/muster/transport/worker"
)

// wantStdout runs a command and compares what it prints.
func wantStdout(t *testing.T, c process.Command, want string) {
	t.Helper()
	l, exit := run(t, c)
	if l.stdout() != want || !exit.Success() {
		t.Errorf("exit %v\n%s\nwant %q", &exit, l.dump(), want)
	}
}

// TestStdinOf: the null device, a file, or the supervisor's own (T23, B9).
func TestStdinOf(t *testing.T) {
	processtest.Check(t)
	wantStdout(t, shell("cat; readlink /proc/self/fd/0"), "/dev/null\n")
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := shell("cat")
	c.Stdin = path
	wantStdout(t, c, "one\ntwo\n")
	c.Stdin = path + ".missing"
	if err := launcher.Check(c); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("check: %v", err)
	}
	if _, err := launcher.Launch(process.ID{}, c, newRecorder(t)); err == nil {
		t.Error("a command without its input was started")
	}
}

// TestOwnStdin: /dev/stdin is the supervisor's own, from where that has been read to.
func TestOwnStdin(t *testing.T) {
	processtest.Check(t)
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, []byte("taken\nleft\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(6, 0); err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = f
	defer func() { os.Stdin = before }()
	c := shell("cat")
	c.Stdin = "/dev/stdin"
	wantStdout(t, c, "left\n")
}

// TestFifo: a named pipe without a writer holds up the process, not its launch; what is written late is not lost (T23).
func TestFifo(t *testing.T) {
	processtest.Check(t)
	path := fifo(t)
	c := shell("sleep 1; wc -c")
	c.Stdin = path
	start := time.Now()
	l := launch(t, c)
	if took := time.Since(start); took > quick {
		t.Fatalf("the launch took %v", took)
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := w.Write(make([]byte, 1e6)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if exit := l.awaitExit(); !exit.Success() || strings.TrimSpace(l.stdout()) != "20000000" {
		t.Errorf("exit %+v\n%s", exit, l.dump())
	}
	deserted := launch(t, c)
	deserted.Kill()
	if exit := deserted.awaitExit(); exit.Signal != syscall.SIGKILL {
		t.Errorf("exit %+v", exit)
	}
}

// TestSetup: each setting is exact when the program begins, and changes nothing of the supervisor (T24).
func TestSetup(t *testing.T) {
	processtest.Check(t)
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		t.Fatal(err)
	}
	last := 0
	for cpu := range 1024 {
		if own.IsSet(cpu) {
			last = cpu
		}
	}
	c := shell(`sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status; nice; cat /proc/self/oom_score_adj
		ulimit -n; ulimit -Hn; ulimit -c; ulimit -v; echo "$1|$2|$X"; cat /proc/$$/comm`, "a b", "")
	nice, score := 5, 300
	c.Env = []string{"X=ü \" '"}
	c.Setup = stage.Settings{CPUs: []int{last}, Nice: &nice, OOMScoreAdj: &score, Nodes: []int{0},
		Limits: map[string]stage.Limit{"nofile": {Soft: 77, Hard: 99}, "core": {}, "as": stage.Exactly(64 << 20)}}
	wantStdout(t, c, fmt.Sprintf("%d\n5\n300\n77\n99\n0\n%d\na b||ü \" '\nsh\n", last, 64<<10))
	var after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != own {
		t.Errorf("the supervisor's processors are %v, were %v (%v)", after, own, err)
	}
}

// TestNoLeakOfLimits: the soft limit of descriptors that Go has raised for the supervisor is not the ranks', with a stage
// or without.
func TestNoLeakOfLimits(t *testing.T) {
	processtest.Check(t)
	inner := processtest.Command(t, limited)
	c := process.Command{Args: append([]string{"/bin/sh", "-c", `ulimit -Sn 99; exec "$@"`, "sh"}, inner.Args...), Env: inner.Env}
	l, exit := run(t, c)
	if l.stdout() != "99\n99\n" || !exit.Success() {
		t.Errorf("exit %v\n%s", &exit, l.dump())
	}
}

var limited = processtest.Helper("start ranks under a low limit", func() {
	nice := 0
	for _, setup := range []stage.Settings{{}, {Nice: &nice}} {
		r := newRecorder(&testing.T{})
		c := shell("ulimit -Sn")
		c.Setup = setup
		p, err := bare.Launch(process.ID{}, c, r)
		if err != nil {
			panic(err)
		}
		_ = p
		fmt.Print(ended(r))
	}
})

// ended waits for the end of a process outside of any test, and returns what it printed.
func ended(r *recorder) string {
	for {
		r.mu.Lock()
		over, changed := r.exit != nil, r.changed
		r.mu.Unlock()
		if over {
			return r.stdout()
		}
		<-changed
	}
}

// TestBadSetup: what is certain to fail is told before anything starts, all of it.
func TestBadSetup(t *testing.T) {
	processtest.Check(t)
	nice, score := 40, 5000
	c := shell("exit 0")
	c.Setup = stage.Settings{CPUs: []int{-1, 900}, Nodes: []int{99}, Nice: &nice, OOMScoreAdj: &score,
		Limits: map[string]stage.Limit{"colour": {}, "nofile": stage.Exactly(1 << 40)}}
	err := launcher.Check(c)
	wantErrorIs(t, err, stage.ErrSettings)
	for _, part := range []string{"cpu -1", "cpu 900", "numa node 99", "nice 40", "oom_score_adj 5000", `limit "colour"`, "nofile"} {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
	if _, err := launcher.Launch(process.ID{}, c, newRecorder(t)); err == nil {
		t.Error("it was started")
	}
}

// TestFailureOnStage: what fails only in the process ends it with 126 and says why.
func TestFailureOnStage(t *testing.T) {
	processtest.Check(t)
	needRoot(t)
	program := filepath.Join(t.TempDir(), "program") // in a directory that nobody else may enter
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(program), 0o700); err != nil {
		t.Fatal(err)
	}
	nobody, nice := uint32(65534), 5
	c := process.Command{Args: []string{program}, User: &nobody, Group: &nobody}
	c.Setup.Nice = &nice
	l, exit := run(t, c)
	if exit.Code != 126 || !strings.Contains(l.stderr(), "cannot set the process up: exec "+program+": permission denied") {
		t.Errorf("exit %+v\n%s", exit, l.dump())
	}
}

// TestPrivilegedSettings: what only root may set is set before the process becomes somebody else. A negative nice value
// stands for all of it: a container's root often has no more rights than that.
func TestPrivilegedSettings(t *testing.T) {
	processtest.Check(t)
	needRoot(t)
	nobody, nice, score := uint32(65534), -5, 100
	c := shell(`nice; cat /proc/self/oom_score_adj; ulimit -Hn; sed -n 's/^Max processes *\([0-9]*\).*/\1/p' /proc/self/limits; id -u; id -g; id -G`)
	c.User, c.Group = &nobody, &nobody
	c.Setup = stage.Settings{Nice: &nice, OOMScoreAdj: &score,
		Limits: map[string]stage.Limit{"nofile": stage.Exactly(70), "nproc": stage.Exactly(60)}}
	if err := launcher.Check(c); err != nil {
		t.Skip("root is not free to choose here:", err)
	}
	wantStdout(t, c, "-5\n100\n70\n60\n65534\n65534\n65534\n")
}

// TestEnvironmentOfAnotherUser: it is whole, and nothing in it has been obeyed by the stage, which is still root: a Go program
// with this GODEBUG would tell what its inits cost.
func TestEnvironmentOfAnotherUser(t *testing.T) {
	processtest.Check(t)
	needRoot(t)
	nobody, nice := uint32(65534), 1
	for _, set := range []*int{nil, &nice} {
		c := shell(`echo "$GODEBUG $A ${B-none} $MUSTER_TREE" | cut -c1-22; env | grep -c ^_[A-Z]`)
		c.User, c.Group, c.Setup.Nice = &nobody, &nobody, set
		c.Env = []string{"GODEBUG=inittrace=1", "A=x=y"}
		l, _ := run(t, c)
		if !strings.HasPrefix(l.stdout(), "inittrace=1 x=y none ") || !strings.HasSuffix(l.stdout(), "\n0\n") || l.stderr() != "" {
			t.Error(l.dump())
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
}

func init() {
	worker.Register("setup", func(context.Context, worker.Info) error {
		exe, err := os.Executable()
		fmt.Println(filepath.Base(exe), filepath.Base(os.Args[0]), os.Args[1:], err, runtime.NumCPU())
		return nil
	})
	worker.Register("many megabytes", func(context.Context, worker.Info) error {
		b := make([]byte, 200<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
		}
		fmt.Println("ready")
		select {} // until it is stopped: a process that is gone cannot be measured
	})
}

// TestSetupOfFunction: link, argument list and the name of the binary are those of a rank without a stage.
func TestSetupOfFunction(t *testing.T) {
	processtest.Check(t)
	c := process.Reexec("setup", "x", "y")
	c.Setup.CPUs = []int{0}
	l, exit := run(t, c)
	name := filepath.Base(os.Args[0])
	if want := fmt.Sprintln(name, name, "[x y]", nil, 1); l.stdout() != want || !exit.Success() {
		t.Errorf("exit %v\n%s\nwant %s", &exit, l.dump(), want)
	}
}

// TestUser: another user without our groups, and still bound to our life.
func TestUser(t *testing.T) {
	processtest.Check(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	nobody := uint32(65534)
	for _, cpus := range [][]int{nil, {0}} {
		c := shell(`id -u; id -g; id -G; echo $HOME`)
		c.User, c.Group = &nobody, &nobody
		c.Setup.CPUs = cpus
		wantStdout(t, c, "65534\n65534\n65534\n"+os.Getenv("HOME")+"\n")
	}
}

// TestUserClosesNothing: a rank of another user leaves us as open to our own user as we were: error files are reached through
// /proc, and a core of ours may be wanted.
func TestUserClosesNothing(t *testing.T) {
	processtest.Check(t)
	needRoot(t)
	before, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	nobody := uint32(65534)
	c := shell("exit 0")
	c.User, c.Group = &nobody, &nobody
	run(t, c)
	if after, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || after != before {
		t.Errorf("dumpable %d, was %d: %v", after, before, err)
	}
}

// TestUserAlone: a user without a group has those that su would give it, never root's; one without an account is told so
// before anything starts.
func TestUserAlone(t *testing.T) {
	processtest.Check(t)
	needRoot(t)
	daemon, err := user.Lookup("daemon")
	if err != nil {
		t.Skip("needs the user daemon:", err)
	}
	id, _ := strconv.Atoi(daemon.Uid)
	uid := uint32(id)
	for _, cpus := range [][]int{nil, {0}} {
		c := shell(`id -u; id -g; id -G; exec id -G "$(id -un)"`)
		c.User, c.Setup.CPUs = &uid, cpus
		l, exit := run(t, c)
		lines := strings.Split(l.stdout(), "\n")
		if !exit.Success() || len(lines) != 5 || lines[0] != daemon.Uid || lines[1] != daemon.Gid || lines[2] != lines[3] {
			t.Errorf("exit %+v\n%s", exit, l.dump())
		}
	}
	nobody, c := uint32(54321), shell("exit 0")
	c.User = &nobody
	if err := launcher.Check(c); err == nil || !strings.Contains(err.Error(), "choose a group") {
		t.Errorf("a user without an account: %v", err)
	}
	c.Group = &nobody
	if err := launcher.Check(c); err != nil {
		t.Error(err)
	}
}

// TestSignalOnStage: a signal that comes before the program has begun does what it does to a program in its first moment,
// whatever the runtime of the stage would make of it: it would lose SIGUSR1, and crash of SIGQUIT.
func TestSignalOnStage(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGQUIT, syscall.SIGTERM} {
		processtest.Check(t)
		c := shell("sleep 60")
		c.Setup.CPUs, c.StopSignal = []int{0}, sig
		for range 5 {
			l := launch(t, c)
			l.Stop("at once", time.Minute)
			if exit := l.awaitExit(); exit.Signal != sig || !exit.Stopped || l.stderr() != "" {
				t.Errorf("%v: exit %+v\n%s", sig, exit, l.dump())
			}
		}
		c.Stdin = fifo(t) // the stage waits for a writer who never comes
		l := launch(t, c)
		l.Stop("at once", time.Minute)
		if exit := l.awaitExit(); exit.Signal != sig {
			t.Errorf("%v, waiting for input: exit %+v\n%s", sig, exit, l.dump())
		}
	}
}

// TestUserDiesWithUs: neither a change of user nor the stage takes the parent-death signal off.
func TestUserDiesWithUs(t *testing.T) {
	for _, how := range []string{"plain", "user", "stage", "user and stage"} {
		t.Run(how, func(t *testing.T) {
			processtest.Check(t)
			if strings.Contains(how, "user") && os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			l := launch(t, processtest.Command(t, mortal, how))
			l.awaitOutput(process.Stdout, "\n")
			pid := strings.TrimSpace(l.stdout())
			if err := syscall.Kill(l.PID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			processtest.Eventually(t, "the rank is dead", func() bool {
				s, err := os.ReadFile("/proc/" + pid + "/stat")
				return err != nil || strings.Contains(string(s), ") Z ")
			})
			l.awaitExit()
		})
	}
}

var mortal = processtest.Helper("start a rank that outlives nobody", func() {
	nobody := uint32(65534)
	c := shell("echo $$; exec sleep 60 >/dev/null 2>&1")
	if strings.Contains(os.Args[1], "user") {
		c.User, c.Group = &nobody, &nobody
	}
	if strings.Contains(os.Args[1], "stage") {
		c.Setup.CPUs = []int{0}
	}
	r := newRecorder(&testing.T{})
	r.onOutput = func(_ process.Stream, b []byte) { os.Stdout.Write(b) }
	if _, err := bare.Launch(process.ID{}, c, r); err != nil {
		panic(err)
	}
	ended(r)
})

// TestUnset: a variable of ours that is not for the process.
func TestUnset(t *testing.T) {
	processtest.Check(t)
	t.Setenv("MUSTER_TEST_SECRET", "x")
	t.Setenv("MUSTER_TEST_SECRETS", "y")
	c := shell(`echo "${MUSTER_TEST_SECRET-none} $MUSTER_TEST_SECRETS"`)
	c.Unset = []string{"MUSTER_TEST_SECRET"}
	wantStdout(t, c, "none y\n")
	c.Env = []string{"MUSTER_TEST_SECRET=own"}
	wantStdout(t, c, "own y\n")
}

// TestStopSignal: the group hears the command's own signal, all of it.
func TestStopSignal(t *testing.T) {
	for _, test := range []struct {
		signal       process.Signal
		script, want string
	}{
		{syscall.SIGINT, `trap 'echo heard; exit 7' INT; echo ready; while :; do sleep 0.05; done`, "heard\n"},
		{syscall.SIGUSR1, `trap 'wait; echo heard; exit 7' USR1
			sh -c 'trap "echo child; exit" USR1; echo ready; while :; do sleep 0.05; done' & wait`, "child\nheard\n"},
	} {
		processtest.Check(t)
		c := shell(test.script)
		c.StopSignal = test.signal
		l := launch(t, c)
		l.awaitOutput(process.Stdout, "ready\n")
		l.Stop("test", time.Minute)
		exit := l.awaitExit()
		if exit.Code != 7 || !exit.Stopped || exit.KilledBy() != process.BySupervisor || l.stdout() != "ready\n"+test.want {
			t.Errorf("%v: exit %+v\n%s", test.signal, exit, l.dump())
		}
	}
}

// TestSlowCrowd: a slow consumer of half a megabyte of dump does not keep the crashed process alive for long, and what
// was left out of the exception is marked (T26).
func TestSlowCrowd(t *testing.T) {
	processtest.Check(t)
	c := process.Reexec("crowd")
	c.Env = []string{"GOTRACEBACK=all"}
	r := newRecorder(t)
	var began time.Time
	r.onOutput = func(process.Stream, []byte) {
		if began.IsZero() {
			began = time.Now()
		}
		processtest.Delay(50 * time.Millisecond)
	}
	l := launchWith(t, c, r)
	exit := l.awaitExit()
	if took := l.exitedAt.Sub(began); took > patience {
		t.Errorf("the end took %v", took)
	}
	x := l.onlyException()
	if exit.Code != 2 || !x.Truncated || !strings.Contains(x.Traceback, "left out") {
		t.Errorf("exit %+v, truncated %v", exit.Code, x.Truncated)
	}
	if n := strings.Count(l.stderr(), "goroutine "); n < 3000 {
		t.Errorf("%d goroutines of 3000 arrived", n)
	}
}

// TestFatalText: what the runtime tells only standard error becomes the exception's message, however long the dump.
func TestFatalText(t *testing.T) {
	processtest.Check(t)
	for entry, want := range map[string]string{"concurrent map": "concurrent map", "stack overflow": "stack overflow"} {
		c := process.Reexec(entry)
		c.Env = []string{"GORACE=report_bugs=0"} // the detector's reports would tear the runtime's line
		l, _ := run(t, c)
		x := l.onlyException()
		if x.Type != "fatal error" || !strings.HasPrefix(x.Message, want) || !strings.Contains(l.stderr(), "fatal error: "+x.Message+"\n") {
			t.Errorf("%s: %q: %q", entry, x.Type, x.Message)
		}
	}
}

func init() {
	worker.Register("concurrent map", func(context.Context, worker.Info) error {
		m := map[int]int{}
		for range 4 {
			go func() {
				for {
					m[1]++
				}
			}()
		}
		select {}
	})
	worker.Register("out of memory", func(context.Context, worker.Info) error {
		b := make([]byte, 1<<41) // two TiB
		return fmt.Errorf("%d bytes at %p", len(b), b)
	})
	worker.Register("stack overflow", func(context.Context, worker.Info) error {
		debug.SetMaxStack(1 << 20)
		return fmt.Errorf("%d", deeper(1))
	})
}

// TestOutOfMemory: a worker that the system gives no memory is told, with the function that asked for it (T25).
func TestOutOfMemory(t *testing.T) {
	processtest.Check(t)
	l, exit := run(t, process.Reexec("out of memory"))
	x := l.onlyException()
	if x.Type == "*errors.errorString" {
		t.Skip("this system gives any amount of memory: vm.overcommit_memory")
	}
	if x.Type != "fatal error" || !strings.HasSuffix(x.Message, "out of memory") || exit.Code != 2 || !strings.Contains(x.Traceback, "setup_linux_test.go") {
		t.Errorf("exit %+v, %q: %q\n%s", exit, x.Type, x.Message, x.Traceback)
	}
}

// deeper has an end that is never reached.
func deeper(n int) int {
	if n == 0 {
		return 0
	}
	return deeper(n+1) + 1
}

// TestUsage: memory and time are the process's own, never the supervisor's (B7).
func TestUsage(t *testing.T) {
	processtest.Check(t)
	ballast := make([]byte, 100<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	l := launch(t, process.Reexec("many megabytes"))
	l.awaitOutput(process.Stdout, "ready")
	l.Stop("test", time.Minute)
	if exit := l.awaitExit(); exit.MaxRSS < 200<<20 || exit.CPU < 50*time.Millisecond {
		t.Errorf("%d MiB, %v", exit.MaxRSS>>20, exit.CPU)
	}
	for _, cpus := range [][]int{nil, {0}} {
		c := shell("exit 0")
		c.Setup.CPUs = cpus
		if _, exit := run(t, c); exit.MaxRSS > 50<<20 {
			t.Errorf("a shell of %d MiB", exit.MaxRSS>>20)
		}
	}
	runtime.KeepAlive(ballast)
}

// python3 returns the interpreter itself: a shim in front of it would be the process that is signalled.
func python3(t *testing.T) string {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Skip("needs python3")
	}
	return strings.TrimSpace(string(out))
}
