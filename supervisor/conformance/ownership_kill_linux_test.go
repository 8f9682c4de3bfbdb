package conformance_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// The tests of ownership_*_linux_test.go are about processes that do not want to be owned: T4 to T9, T14, T16, T17, T28,
// T31, T32 and the scale of T1. MUSTER_TEST_SOAK=1 runs those that repeat something as often as a release wants it.

var soak = os.Getenv("MUSTER_TEST_SOAK") != ""

// times returns how often something is repeated: in a soak, as a rule, and with -short.
func times(soaked, rule, short int) int {
	switch {
	case soak:
		return soaked
	case testing.Short():
		return short
	}
	return rule
}

// stretched is a time on a machine that has nothing else to do, made longer by what else waits for its processors.
func stretched(d time.Duration) time.Duration {
	var load float64
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(b), &load)
	}
	return time.Duration(float64(d) * max(1, 2*load/float64(runtime.NumCPU())))
}

const (
	envOwned  = "MUSTER_TEST_OWNED"  // marks all that one round of a test has started
	envDaemon = "MUSTER_TEST_DAEMON" // marks those of them that got away from their rank
)

// owned lists the living processes that have a variable in their environment, without the watchdogs, which have none.
func owned(kv string) (pids []int) {
	dir, err := os.Open("/proc")
	check(err)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	check(err)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if slices.Contains(environOf(pid), kv) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func environOf(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return strings.Split(string(b), "\x00")
}

func nameOf(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))
}

// endOwned kills what a round has left.
func endOwned(kv string) {
	for _, pid := range owned(kv) {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			if slices.Contains(environOf(pid), kv) {
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			}
			unix.Close(fd)
		}
	}
}

// soon looks again and again, as what it looks for tells nobody, and returns how long that took.
func soon(within time.Duration, done func() bool) (time.Duration, bool) {
	start := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		switch took := time.Since(start); {
		case done():
			return took, true
		case took > within:
			return took, false
		}
		<-tick.C
	}
}

// trees lists the cgroup trees of a process, where there is a v2 hierarchy.
func trees(pid int) []string {
	own := ownCgroup()
	if own == "" {
		return nil
	}
	return treesIn(own, pid)
}

func treesIn(cgroup string, pid int) []string {
	found, _ := filepath.Glob(filepath.Join(cgroup, fmt.Sprintf("muster-%d-*", pid)))
	return found
}

// ownCgroup returns the directory of our v2 cgroup, "" where there is no such hierarchy.
func ownCgroup() string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	check(err)
	own, err := os.ReadFile("/proc/self/cgroup")
	check(err)
	var point, path string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); strings.Contains(line, " - cgroup2 ") && len(f) > 4 {
			point = f[4]
			break
		}
	}
	for line := range strings.Lines(string(own)) {
		if after, ok := strings.CutPrefix(line, "0::"); ok {
			path = strings.TrimSpace(after)
		}
	}
	if point == "" {
		return ""
	}
	return filepath.Join(point, path)
}

// rebel is a rank that ignores what can be ignored, and leaves a daemon behind a double fork, in a session of its own. It
// says here, and does what its argument says.
const rebel = `trap "" TERM HUP INT
	(` + envDaemon + `=1 setsid sleep 1000 </dev/null >/dev/null 2>&1 3>&- &)
	echo here; `

// mortal is a supervisor whose group restarts all the time; its ranks have to be killed for that. It prints a line for each
// event.
var mortal = processtest.Helper("mortal", func() {
	err := supervisor.Run(context.Background(), supervisor.Spec{
		Grace:    10 * time.Millisecond,
		Strategy: supervisor.AllForOne{Restarts: -1},
		Ranks:    []process.Command{sh(rebel + `exec sleep 1000`), sh(rebel + `exec sleep 0.03 && exit 1`), sh(`sleep 0.05; exit 3`)},
	},
		supervisor.WithLauncher(process.LocalWith(layersCalled(os.Args[1]))),
		supervisor.WithOutput(nil),
		supervisor.WithObserver(func(e supervisor.Event) { fmt.Println(e.Kind) }))
	fmt.Fprintln(os.Stderr, err)
})

func layersCalled(name string) process.Layers {
	return map[string]process.Layers{
		"all": {}, "planted": {}, "no cgroup": {NoCgroup: true}, "neither": {NoCgroup: true, NoWatchdog: true},
	}[name]
}

// A murder is a supervisor process that is killed at a random moment, and how it went.
type murder struct {
	layers, mark string
	planted      bool          // it is killed when it has a cgroup tree,
	events       int           // after so many events,
	after        time.Duration // and then some

	pid    int
	said   []string
	killed time.Time
}

func newMurder(layers string, seed, n int) *murder {
	r := rand.New(rand.NewPCG(uint64(seed), uint64(n)))
	m := &murder{layers: layers, mark: fmt.Sprintf("%s=%d.%s.%d", envOwned, os.Getpid(), layers, n)}
	switch {
	case layers == "planted": // while the guard is being put up
		m.planted, m.after = true, time.Duration(r.Int64N(int64(time.Millisecond)))*time.Duration(n%2)
	case n%4 == 0: // from the very beginning: the guard is being put up
		m.after = time.Duration(r.Int64N(int64(60 * time.Millisecond)))
	case n%4 == 1: // the first start
		m.events, m.after = 1+r.IntN(8), time.Duration(r.Int64N(int64(3*time.Millisecond)))
	default: // any stage of some restart
		m.events, m.after = 1+r.IntN(40), time.Duration(r.Int64N(int64(8*time.Millisecond)))
	}
	return m
}

func (m *murder) commit(c process.Command) error {
	cmd := exec.Command(c.Args[0], append(c.Args[1:], m.layers)...)
	cmd.Env = append(append(os.Environ(), c.Env...), m.mark)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	m.pid = cmd.Process.Pid
	if m.planted {
		for end := time.Now().Add(patience); len(trees(m.pid)) == 0 && time.Now().Before(end); {
			runtime.Gosched() // a tick would be too late
		}
	}
	lines := bufio.NewScanner(stdout)
	for len(m.said) < m.events && lines.Scan() {
		m.said = append(m.said, lines.Text())
	}
	if m.after > 0 {
		<-time.After(m.after)
	}
	m.killed = time.Now()
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	_ = cmd.Wait() // killed
	if len(m.said) < m.events {
		return fmt.Errorf("the supervisor ended by itself after %q", m.said)
	}
	return nil
}

func (m *murder) String() string {
	last := "nothing"
	if len(m.said) > 0 {
		last = fmt.Sprintf("event %d, %s,", len(m.said), m.said[len(m.said)-1])
	}
	return fmt.Sprintf("%s: killed %v after %s", m.mark, m.after, last)
}

// murders commits n of them, some at a time.
func murders(t *testing.T, layers string, atOnce, n int, autopsy func(*murder)) {
	t.Helper()
	const seed = 42
	c := processtest.Command(t, mortal)
	var next atomic.Int64
	var gang sync.WaitGroup
	start := time.Now()
	for range atOnce {
		gang.Go(func() {
			for i := next.Add(1); i <= int64(n) && !t.Failed(); i = next.Add(1) {
				m := newMurder(layers, seed, int(i))
				if err := m.commit(c); err != nil {
					t.Errorf("%v: %v", m, err)
				}
				autopsy(m)
				endForGood(m.mark)
			}
		})
	}
	gang.Wait()
	t.Logf("%d supervisors killed in %v", n, time.Since(start))
}

// endForGood ends what the weakest level leaves. A daemon may be between two forks while /proc is read: only several looks
// that find nobody prove that nobody is there.
func endForGood(mark string) {
	for empty := 0; empty < 5; empty++ {
		if len(owned(mark)) > 0 {
			endOwned(mark)
			empty = -1
		}
	}
}

// A supervisor that is killed at any moment takes along all that it started, and all that these have: T4 and T6. No tree
// stays in the cgroup hierarchy either.
func TestMurder(t *testing.T) {
	for _, layers := range []string{"all", "no cgroup"} {
		t.Run(layers, func(t *testing.T) {
			processtest.Check(t)
			level := process.LocalWith(layersCalled(layers)).Containment()
			if !strings.Contains(level, "watchdog") {
				t.Skipf("containment is %s", level)
			}
			n := times(1000, 200, 12)
			if layers != "all" {
				n = times(1000, 60, 8)
			}
			var mu sync.Mutex
			var took []time.Duration
			murders(t, layers, 2*runtime.NumCPU(), n, func(m *murder) {
				limit := stretched(time.Second)
				_, gone := soon(limit, func() bool { return len(owned(m.mark)) == 0 })
				d := time.Since(m.killed)
				if !gone {
					for _, pid := range owned(m.mark) {
						t.Errorf("%v: pid %d lives after %v: %s", m, pid, d, nameOf(pid))
					}
				}
				if _, gone := soon(5*limit, func() bool { return len(trees(m.pid)) == 0 }); !gone {
					t.Errorf("%v: the tree stands: %v", m, trees(m.pid))
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, d)
			})
			slices.Sort(took)
			t.Logf("%s: all gone after %v (median), %v (most)", level, took[len(took)/2], took[len(took)-1])
		})
	}
}

// No tree is left by a supervisor that is killed while it puts up its guard. These come one by one: each one sweeps away
// what those before it left.
func TestMurderAtTheBeginning(t *testing.T) {
	processtest.Check(t)
	if level := process.Local().Containment(); level != "cgroup+watchdog" {
		t.Skipf("containment is %s", level)
	}
	murders(t, "planted", 1, times(400, 40, 10), func(m *murder) {
		if _, gone := soon(stretched(5*time.Second), func() bool { return len(trees(m.pid)) == 0 && len(owned(m.mark)) == 0 }); !gone {
			t.Errorf("%v: the tree stands: %v; alive: %v", m, trees(m.pid), owned(m.mark))
		}
	})
}

// The weakest level is told (T31): a group runs, and a supervisor's death ends the ranks (T4). What left its rank lives on;
// that is what docs/operations.md says, and why there are stronger ones.
func TestMurderAtTheWeakestLevel(t *testing.T) {
	processtest.Check(t)
	launcher := process.LocalWith(layersCalled("neither"))
	x := beginWith(t, context.Background(), supervisor.Spec{Ranks: supervisor.Repeat(3, sh("echo here"))},
		supervisor.WithLauncher(launcher))
	if err := x.end(); err != nil {
		t.Error(err)
	}
	x.lineOfAll(0, "here")
	if level := x.group.Report().Containment; level != "group+deathsig" {
		t.Errorf("containment is %s", level)
	}
	var escaped atomic.Int64
	murders(t, "neither", 2*runtime.NumCPU(), times(200, 40, 8), func(m *murder) {
		ranks := func() (ranks []int) {
			for _, pid := range owned(m.mark) {
				if env := environOf(pid); !slices.Contains(env, envDaemon+"=1") && isLeader(pid) {
					ranks = append(ranks, pid)
				}
			}
			return ranks
		}
		if d, gone := soon(stretched(time.Second), func() bool { return len(ranks()) == 0 }); !gone {
			t.Errorf("%v: ranks %v live after %v", m, ranks(), d)
		}
		for _, pid := range owned(m.mark) {
			if slices.Contains(environOf(pid), envDaemon+"=1") {
				escaped.Add(1)
			}
		}
	})
	if escaped.Load() == 0 {
		t.Error("no daemon survived: the level is better than docs/operations.md says")
	}
	t.Logf("%d daemons got away, and were killed by the test", escaped.Load())
}

// statOf returns the fields of /proc/PID/stat after the name: state, parent, group, session and so on.
func statOf(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 20 {
		return make([]string, 20)
	}
	return fields
}

func parentOf(pid int) int { return field(pid, 1) }

func isLeader(pid int) bool { return field(pid, 2) == pid }

func field(pid, i int) int {
	n, _ := strconv.Atoi(statOf(pid)[i])
	return n
}

// watchdogOf returns the watchdog among the children of a process, 0 when there is none.
func watchdogOf(pid int) int {
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		child, _ := strconv.Atoi(filepath.Base(name))
		if parentOf(child) == pid && nameOf(child) == "muster-watchdog" {
			return child
		}
	}
	return 0
}

// quiet is a supervisor of two ranks with daemons that lets itself be killed.
var quiet = processtest.Helper("quiet", func() {
	fmt.Fprintln(os.Stderr, supervisor.Run(context.Background(), supervisor.Spec{
		Ranks: supervisor.Repeat(2, sh(rebel+`exec sleep 1000`)),
	}, supervisor.WithObserver(func(e supervisor.Event) {
		if e.Kind == supervisor.EventNotice {
			fmt.Println("notice")
		}
	})))
})

// T7: the watchdog may be killed. The supervisor tells it and has another one; if that comes too late, the ranks still die
// with the supervisor, and the next one on this machine ends what is left.
func TestWatchdogDies(t *testing.T) {
	if level := process.Local().Containment(); !strings.Contains(level, "watchdog") {
		t.Skipf("containment is %s", level)
	}
	t.Run("and is replaced", func(t *testing.T) {
		x := begin(t, supervisor.Spec{Ranks: supervisor.Repeat(2, sh(rebel+"exec sleep 1000"))})
		x.lineOfAll(0, "here")
		first := watchdogOf(os.Getpid())
		hold(t, first).signal(t, unix.SIGKILL)
		e := x.event(supervisor.EventNotice, -1)
		second := watchdogOf(os.Getpid())
		if !strings.Contains(e.Reason, fmt.Sprint(first)) || !strings.Contains(e.Reason, fmt.Sprintf("replaced (pid %d)", second)) {
			t.Errorf("the watchdog was %d and is %d; told: %s", first, second, e.Reason)
		}
		x.group.Kill("enough")
		_ = x.end()
		if r := x.group.Report(); !strings.Contains(r.Containment, "watchdog") || len(r.Failures) > 0 {
			t.Errorf("containment %s, failures %v", r.Containment, r.Failures)
		}
	})
	t.Run("and the new one does its work", func(t *testing.T) {
		processtest.Check(t)
		self, mark, lines := quietSupervisor(t)
		hold(t, watchdogOf(self.Pid)).signal(t, unix.SIGKILL)
		if !lines.Scan() || lines.Text() != "notice" {
			t.Fatalf("the supervisor says %q", lines.Text())
		}
		_ = self.Kill()
		if d, gone := soon(stretched(time.Second), func() bool { return len(owned(mark)) == 0 }); !gone {
			t.Errorf("after %v, %v are alive", d, owned(mark))
		}
	})
	t.Run("and then the supervisor", func(t *testing.T) {
		processtest.Check(t)
		self, mark, _ := quietSupervisor(t)
		t.Cleanup(func() { endOwned(mark) })
		ranks := ranksOf(t, self.Pid)
		dog := hold(t, watchdogOf(self.Pid))
		_ = self.Signal(unix.SIGSTOP) // or it would have a new one
		dog.signal(t, unix.SIGKILL)
		if !dog.gone(patience) {
			t.Fatal("the watchdog lives")
		}
		_ = self.Kill()
		_, _ = self.Wait() // until its last thread has ended it lives
		for _, rank := range ranks {
			if !rank.gone(stretched(time.Second)) {
				t.Error("a rank has survived watchdog and supervisor")
			}
		}
		if len(trees(self.Pid)) == 0 {
			return // no cgroups here: the daemons are beyond reach
		}
		process.LocalWith(process.Layers{}).Guard(nil)() // as the next supervisor does
		if d, gone := soon(stretched(time.Second), func() bool { return len(owned(mark)) == 0 }); !gone {
			t.Errorf("%v after the next supervisor came, %v are alive", d, owned(mark))
		}
	})
}

func quietSupervisor(t *testing.T) (self *os.Process, mark string, lines *bufio.Scanner) {
	t.Helper()
	mark = fmt.Sprintf("%s=%d.%s", envOwned, os.Getpid(), t.Name())
	c := processtest.Command(t, quiet)
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = append(append(os.Environ(), c.Env...), mark)
	stdout, err := cmd.StdoutPipe()
	check(err)
	check(cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines = bufio.NewScanner(stdout)
	for range 2 {
		if !lines.Scan() {
			t.Fatal("the supervisor has ended")
		}
	}
	return cmd.Process, mark, lines
}

// ranksOf returns the children of a supervisor that lead a process group, its watchdog excepted.
func ranksOf(t *testing.T, supervisor int) (ranks []handle) {
	t.Helper()
	dog := watchdogOf(supervisor)
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		if pid, _ := strconv.Atoi(filepath.Base(name)); pid != dog && parentOf(pid) == supervisor {
			ranks = append(ranks, hold(t, pid))
		}
	}
	if len(ranks) != 2 {
		t.Fatalf("%d ranks", len(ranks))
	}
	return ranks
}
