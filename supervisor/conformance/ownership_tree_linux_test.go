package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// T5: a rank that fails takes its daemon along where there is a cgroup; where there is none the watchdog ends it with the
// last group of the program, and nothing outlives that.
func TestDaemonOfAFailedRank(t *testing.T) {
	for _, layers := range []string{"all", "no cgroup"} {
		t.Run(layers, func(t *testing.T) {
			processtest.Check(t)
			g := newGate(t)
			mark := fmt.Sprintf("%s=%d.%s", envOwned, os.Getpid(), t.Name())
			c := sh(`exec 9<"$1"; `+rebel+`read _ <&9; exit 7`, g.path) // at the gate before it says so
			c.Env = []string{mark}
			x := beginWith(t, context.Background(), supervisor.Spec{Ranks: []process.Command{c}},
				supervisor.WithLauncher(process.LocalWith(layersCalled(layers))))
			t.Cleanup(func() { endOwned(mark) })
			x.lineOfAll(0, "here")
			g.open()
			start := time.Now()
			f := x.failure()
			took, left := time.Since(start), owned(mark)
			if f.Exit.Code != 7 {
				t.Errorf("exit %v", f.Exit)
			}
			level := x.group.Report().Containment
			switch cgroup := strings.HasPrefix(level, "cgroup"); {
			case cgroup && (len(left) > 0 || len(f.Exit.Left) == 0):
				t.Errorf("%s: %v live, %v were left", level, left, f.Exit.Left)
			case cgroup && took > stretched(250*time.Millisecond+time.Second): // asked, and killed 250 ms later
				t.Errorf("%s: it took %v", level, took)
			case !cgroup && len(left) > 0:
				t.Errorf("%s: %v live after the group", level, left)
			}
			t.Logf("%s: exit told after %v, %d left", level, took, len(left))
		})
	}
}

// bomb is a shell that becomes 511 processes, which ignore SIGTERM; half of them leave the group if there is a second
// argument. Then it says here.
const bomb = `trap "" TERM HUP INT
	away=$2
	bomb() {
		if [ "$1" -gt 0 ]; then bomb $(($1-1)) & bomb $(($1-1)) & fi
		if [ "$1" -eq 0 ]; then exec $away sleep 1000 >/dev/null 2>&1; fi
		wait
	}
	bomb "$1" & echo here; wait`

// T8: a fork bomb, while it goes off and after, is gone at once when it is killed. Other ranks take no harm.
func TestForkBomb(t *testing.T) {
	const depth, size = 8, 512
	away := ""
	if strings.HasPrefix(process.Local().Containment(), "cgroup") {
		away = "setsid"
	}
	for _, test := range []struct {
		name string
		wait int // for so many processes
	}{{"as it goes off", 40}, {"that has gone off", size}} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			mark := fmt.Sprintf("%s=%d.%s", envOwned, os.Getpid(), t.Name())
			c := sh(bomb, fmt.Sprint(depth), away)
			c.Env = []string{mark}
			once := supervisor.StrategyFunc(func(s supervisor.State, f *supervisor.Failure) supervisor.Directive {
				if f.Generation > 0 {
					return supervisor.Directive{}
				}
				return supervisor.Directive{Action: supervisor.Restart, Ranks: []int{f.Rank}}
			})
			x := beginWith(t, context.Background(), supervisor.Spec{
				Strategy: once, Ranks: []process.Command{c, sh("echo here; exec sleep 1000"), sh("echo here; exec sleep 1000")},
			})
			full := func() bool { return len(owned(mark)) >= test.wait }
			x.lineOfAll(0, "here")
			processtest.Eventually(t, "the bomb goes off", full)
			start := time.Now()
			hold(t, x.event(supervisor.EventStarted, 0).PID).signal(t, unix.SIGKILL)
			e := x.eventOf(supervisor.EventExited, process.ID{})
			// Who is left after a death that was not asked for has 250 ms.
			if took := e.At.Sub(start); took > stretched(time.Second+250*time.Millisecond) || e.Exit.Signal != unix.SIGKILL {
				t.Errorf("exit %v after %v", e.Exit, took)
			} else {
				t.Logf("%d left, gone after %v", len(e.Exit.Left), took)
			}

			x.line(process.ID{Generation: 1}, "here")
			processtest.Eventually(t, "the second bomb goes off", full)
			start = time.Now()
			for rank := 1; rank <= 2; rank++ {
				if r := x.group.Report().Ranks[rank]; r.Outcome != supervisor.Running || r.Generation != 0 {
					t.Errorf("rank %d: %+v", rank, r)
				}
			}
			x.group.Kill("enough")
			if err := x.end(); !errors.Is(err, supervisor.ErrStopped) {
				t.Error(err)
			}
			if took := time.Since(start); took > stretched(time.Second) || len(owned(mark)) > 0 {
				t.Errorf("after %v, %d live", took, len(owned(mark)))
			} else {
				t.Logf("killed by us: gone after %v", took)
			}
		})
	}
}

// T9: no signal of ours ever reaches a stranger, though every number is used again and again. Strangers take the numbers
// of processes that have ended, and these are stopped, signalled and killed all the while.
func TestCanaries(t *testing.T) {
	var name unix.Utsname
	check(unix.Uname(&name))
	var major, minor int
	_, _ = fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	if major < 6 || major == 6 && minor < 14 {
		t.Skip("pid_max is the whole machine's before Linux 6.14")
	}
	processtest.Check(t)
	c := processtest.Command(t, aviary, fmt.Sprint(times(10_000, 1000, 100)))
	// The shell is there to reap orphans, which the supervisor does not.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `"$@"; exit $?`, "sh"}, c.Args...)...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM):
		t.Skipf("no pid namespace may be made here: %v", err)
	case strings.HasPrefix(string(out), "skip"):
		t.Skip(string(out))
	case err != nil || !strings.HasPrefix(string(out), "all canaries sing"):
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// A bird is a canary: a stranger to the launcher, in a group of its own so that signals to groups would meet it.
type bird struct {
	cmd  *exec.Cmd
	dead chan error
}

func newBird() (*bird, error) {
	b := &bird{exec.Command("sleep", "1000"), make(chan error, 1)}
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := b.cmd.Start()
	if err == nil {
		go func() { b.dead <- b.cmd.Wait() }() // ends with the process
	}
	return b, err
}

// aviary is in a pid namespace with few numbers. It launches and kills, and counts its canaries.
var aviary = processtest.Helper("aviary", func() {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Println("skip: no private mounts:", err)
		return
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		fmt.Println("skip: no proc of our own:", err)
		return
	}
	if err := os.WriteFile("/proc/sys/kernel/pid_max", []byte("400"), 0); err != nil || os.Getppid() != 1 {
		fmt.Println("skip: pid_max cannot be lowered:", err)
		return
	}
	const birds, ghosts = 60, 40
	var flock []*bird
	var graves []process.Process
	launcher, random := process.Local(), rand.New(rand.NewPCG(9, 9))
	defer launcher.Guard(nil)()
	numbers, reused, highest := map[int]bool{}, 0, 0
	cycles := number(os.Args[1])
	for cycle := range cycles {
		b, err := newBird()
		check(err)
		if numbers[b.cmd.Process.Pid] {
			reused++
		}
		if flock = append(flock, b); len(flock) > birds {
			check(flock[0].release())
			flock = flock[1:]
		}
		o := make(watcher, 1)
		c := process.Command{Args: []string{"/bin/true"}}
		if cycle%2 == 0 {
			c = sh("sleep 1000 & exec sleep 1000")
		}
		p, err := launcher.Launch(process.ID{Generation: cycle}, c, o)
		check(err)
		if cycle%2 == 0 {
			p.Kill()
		}
		<-o
		numbers[p.PID()], highest = true, max(highest, p.PID())
		if graves = append(graves, p); len(graves) > ghosts {
			graves = graves[1:]
		}
		ghost := graves[random.IntN(len(graves))]
		ghost.Stop("again", time.Second)
		_ = ghost.Signal(unix.SIGKILL)
		ghost.Kill()
		for _, b := range flock {
			select {
			case err := <-b.dead:
				fmt.Printf("cycle %d: canary %d is dead: %v\n", cycle, b.cmd.Process.Pid, err)
				os.Exit(1)
			default:
			}
		}
	}
	for _, b := range flock {
		check(b.release())
	}
	fmt.Printf("all canaries sing: %d cycles, numbers up to %d, %d canaries had the number of a dead rank\n", cycles, highest, reused)
})

// release ends a canary, which has to be alive for that.
func (b *bird) release() error {
	if err := b.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return err
	}
	if err := <-b.dead; !strings.Contains(fmt.Sprint(err), "user defined signal 2") {
		return fmt.Errorf("canary %d was killed: %w", b.cmd.Process.Pid, err)
	}
	return nil
}

// A watcher is an observer that waits for the exit only.
type watcher chan process.Exit

func (watcher) Message(transport.Message)     {}
func (watcher) Broken(error)                  {}
func (watcher) Probed(error)                  {}
func (watcher) Output(process.Stream, []byte) {}
func (w watcher) Exited(e process.Exit)       { w <- e }

// T16: each rank's own code, and the group's is that of the first failure in time.
func TestTwoCodes(t *testing.T) {
	for first := range 2 {
		t.Run(fmt.Sprintf("rank %d first", first), func(t *testing.T) {
			processtest.Check(t)
			gates, prefix := gatesOf(t, 2)
			rank := sh(`trap "" TERM; exec 9<"$1$RANK"; echo here; read _ <&9; exit $((RANK+1))`, prefix)
			x := beginWith(t, context.Background(), supervisor.Spec{
				Strategy: supervisor.FailFast{Linger: time.Hour}, Ranks: []process.Command{rank, rank},
			})
			x.lineOfAll(0, "here")
			gates[first].open()
			x.event(supervisor.EventDecided, first)
			gates[1-first].open()
			f := x.failure()
			if f.Rank != first || f.Exit.Code != first+1 {
				t.Errorf("the failure is %v", f)
			}
			for rank := range 2 {
				if code := x.rank(rank).Exit.Code; code != rank+1 {
					t.Errorf("rank %d has code %d", rank, code)
				}
			}
			if len(f.Collateral) != 1 || f.Collateral[0].Exit.Code != 2-first {
				t.Errorf("collateral %v", f.Collateral)
			}
		})
	}
}

// T17: SIGKILL by us, by the kernel for memory, and by a stranger are three causes.
func TestKillers(t *testing.T) {
	x := begin(t, supervisor.Spec{Grace: time.Millisecond, Ranks: []process.Command{sh(`trap "" TERM; echo here; exec sleep 1000`)}})
	x.lineOfAll(0, "here")
	x.group.Stop("enough")
	_ = x.end()
	wantKiller(t, x.rank(0).Exit, process.BySupervisor)

	x = begin(t, supervisor.Spec{Ranks: []process.Command{sh(`echo here; exec sleep 1000`)}})
	x.lineOfAll(0, "here")
	hold(t, x.event(supervisor.EventStarted, 0).PID).signal(t, unix.SIGKILL)
	wantKiller(t, x.failure().Exit, process.ByStranger)

	t.Run("memory", func(t *testing.T) {
		join := smallMemory(t, 32<<20)
		x := begin(t, supervisor.Spec{Ranks: []process.Command{sh(join + ` || exit 9; exec tail /dev/zero`)}})
		exit := x.failure().Exit
		if exit.Code == 9 {
			t.Skipf("no process can be limited here: %s", exit.Stderr)
		}
		wantKiller(t, exit, process.ByOOM)
	})
}

func wantKiller(t *testing.T, exit *process.Exit, by process.Killer) {
	t.Helper()
	if exit.Signal != unix.SIGKILL || exit.KilledBy() != by {
		t.Errorf("exit %v, killed by %q, want %q", exit, exit.KilledBy(), by)
	}
}

// smallMemory returns shell code that puts the shell where it has so many bytes: into a v1 cgroup beside ours, or, where the v2
// memory controller reaches it, its own leaf.
func smallMemory(t *testing.T, bytes int) string {
	t.Helper()
	limit := strconv.Itoa(bytes)
	own, err := os.ReadFile("/proc/self/cgroup")
	check(err)
	for line := range strings.Lines(string(own)) {
		_, path, ok := strings.Cut(strings.TrimSpace(line), ":memory:")
		if !ok {
			continue
		}
		if fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			t.Skipf("with v1 cgroups only the kernel's log tells, and that is closed: %v", err)
		} else {
			unix.Close(fd)
		}
		dir := filepath.Join("/sys/fs/cgroup/memory", path, fmt.Sprintf("muster-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("no memory cgroup can be made: %v", err)
		}
		t.Cleanup(func() {
			processtest.Eventually(t, "the memory cgroup is removed", func() bool { return os.Remove(dir) == nil })
		})
		if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte(limit), 0); err != nil {
			t.Skipf("no memory limit can be set: %v", err)
		}
		return "echo $$ > " + filepath.Join(dir, "cgroup.procs")
	}
	return `echo ` + limit + ` > "/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max"`
}
