package process_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// fakeCgroup makes a directory with the files of a cgroup, each "name=content".
func fakeCgroup(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range files {
		name, content, _ := strings.Cut(file, "=")
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func content(t *testing.T, elements ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// TestSetBounds: what is written, and that a bound which cannot be written is an error.
func TestSetBounds(t *testing.T) {
	leaf := fakeCgroup(t, "memory.max=", "pids.max=")
	if err := process.SetBounds(leaf, process.Command{Memory: 1 << 40, PIDs: 7}); err != nil {
		t.Fatal(err)
	}
	if m, p := content(t, leaf, "memory.max"), content(t, leaf, "pids.max"); m != "1099511627776" || p != "7" {
		t.Errorf("memory.max %q, pids.max %q", m, p)
	}
	if err := process.SetBounds(fakeCgroup(t, "pids.max="), process.Command{Memory: 1}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a memory controller: %v", err)
	}
	if err := process.SetBounds(fakeCgroup(t), process.Command{}); err != nil {
		t.Error(err)
	}
}

func TestControllers(t *testing.T) {
	got := process.Controllers(process.Command{PIDs: 1}, process.Command{Memory: 1, PIDs: 2}, process.Command{})
	if !slices.Equal(got, []string{"memory", "pids"}) {
		t.Errorf("%v", got)
	}
}

// TestObstacle: why a cgroup will not hand on controllers, before anything is changed.
func TestObstacle(t *testing.T) {
	const all = "cgroup.controllers=cpu memory pids\n"
	for name, test := range map[string]struct {
		files []string
		want  string
		is    error
	}{
		"hybrid":            {[]string{"cgroup.controllers=hugetlb\n"}, "no bounds of memory, pids: our cgroup", errors.ErrUnsupported},
		"one of two":        {[]string{"cgroup.controllers=pids\n"}, "no bounds of memory: our cgroup", errors.ErrUnsupported},
		"handed on already": {[]string{all, "cgroup.subtree_control=memory pids\n", "cgroup.type=domain\n", "cgroup.procs=1\n2\n"}, "", nil},
		"the root":          {[]string{all, "cgroup.subtree_control=\n", "cgroup.procs=1\n2\n"}, "", nil},
		"we are alone":      {[]string{all, "cgroup.subtree_control=\n", "cgroup.type=domain\n", "cgroup.procs=4711\n4712\n"}, "", nil},
		"others are here": {[]string{all, "cgroup.subtree_control=\n", "cgroup.type=domain\n", "cgroup.procs=4711\n88\n"},
			"holds 1 other processes (88 is one)", syscall.EBUSY},
		"not ours": {[]string{all, "cgroup.type=domain\n"}, "is not ours to change", fs.ErrPermission},
	} {
		t.Run(name, func(t *testing.T) {
			dir := fakeCgroup(t, test.files...)
			err := process.Obstacle(dir, []string{"memory", "pids"}, []int{4711, 4712})
			if !errors.Is(err, test.is) || err != nil && (!strings.Contains(err.Error(), test.want) ||
				!strings.Contains(err.Error(), "systemd-run --user --scope -p Delegate=yes")) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestOpenTree: controllers are handed on from above to below; where our own cgroup refuses because we are in it, and nobody
// else, we go into a child of it and ask again.
func TestOpenTree(t *testing.T) {
	own := fakeCgroup(t, "cgroup.controllers=memory pids\n", "cgroup.subtree_control=", "cgroup.type=domain\n", "cgroup.procs=11\n12\n",
		"tree/cgroup.subtree_control=", "muster-home/cgroup.procs=")
	var wrote []string
	moved := 0
	process.WithWriteFile(t, func(path, text string) error {
		path, _ = filepath.Rel(own, path)
		if path == "cgroup.subtree_control" && moved < 2 {
			return syscall.EBUSY
		}
		if path == "muster-home/cgroup.procs" {
			moved++
		}
		wrote = append(wrote, path+" "+text)
		return nil
	})
	if err := process.OpenTree(own, []string{"memory", "pids"}, 11, 12); err != nil {
		t.Fatal(err)
	}
	want := []string{"muster-home/cgroup.procs 11", "muster-home/cgroup.procs 12",
		"cgroup.subtree_control +memory +pids", "tree/cgroup.subtree_control +memory +pids"}
	if !slices.Equal(wrote, want) {
		t.Errorf("%q", wrote)
	}
	wrote, moved = nil, 0
	if err := process.OpenTree(own, []string{"memory"}, 11); !errors.Is(err, syscall.EBUSY) || len(wrote) != 0 {
		t.Errorf("with a stranger: %v, %q", err, wrote)
	}
}

// TestBounds: a rank cannot use more than it may, and is told to be out of memory (T8, T17). Without the controllers it is
// an error before anything starts.
func TestBounds(t *testing.T) {
	processtest.Check(t)
	c := shell(`g=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup); cat $g/memory.max $g/pids.max`)
	c.Memory, c.PIDs = 64<<20, 20
	l := process.LocalWith(process.Layers{})
	if err := l.(process.Preflighter).Preflight([]process.Command{c}); err != nil {
		if _, lerr := l.Launch(process.ID{}, c, newRecorder(t)); lerr == nil {
			t.Errorf("it was started in spite of %v", err)
		}
		t.Skip("needs a cgroup v2 with the controllers memory and pids, delegated to this test:", err)
	}
	wantStdout(t, c, fmt.Sprintf("%d\n20\n", 64<<20))
	greedy := process.Command{Args: []string{"/bin/sh", "-c", `x=x; while :; do x=$x$x; done`}, Memory: 32 << 20}
	if _, exit := run(t, greedy); exit.Signal != syscall.SIGKILL || !exit.OOM {
		t.Errorf("exit %+v", exit)
	}
	many := shell(`for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done`)
	many.PIDs = 4
	if l, exit := run(t, many); exit.Success() {
		t.Errorf("nine children\n%s", l.dump())
	}
}

// TestBoundsWithoutCgroup: who leaves cgroups out has no bounds, and does not start.
func TestBoundsWithoutCgroup(t *testing.T) {
	processtest.Check(t)
	c := shell("exit 0")
	c.PIDs = 5
	l := process.LocalWith(process.Layers{NoCgroup: true})
	err := l.(process.Preflighter).Preflight([]process.Command{{}, c})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "no bounds of pids without cgroups") {
		t.Errorf("%v", err)
	}
	if _, err := l.Launch(process.ID{}, c, newRecorder(t)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("launch: %v", err)
	}
}

// TestOpenFilesOfTheMachine: fs.file-max.
func TestOpenFilesOfTheMachine(t *testing.T) {
	for numbers, full := range map[string]bool{"990 0 1000\n": true, "2000 0 1000": true, "900 0 1000\n": false, "": false, "x": false} {
		err := process.CheckOpenFiles(numbers, 3, 50)
		if errors.Is(err, syscall.ENFILE) != full {
			t.Errorf("%q: %v", numbers, err)
		}
	}
}

// TestTasksOfTheMachine: the kernel has so many numbers for processes, root's too.
func TestTasksOfTheMachine(t *testing.T) {
	for _, test := range []struct {
		most int
		load string
		want string
	}{
		{1000, "0.20 0.18 0.12 1/800 11206\n", "process: 200 ranks need 201 processes and 200 of the machine's 1000 are free: " +
			"raise sysctl kernel.pid_max to at least 1001: resource temporarily unavailable"},
		{1001, "0.20 0.18 0.12 1/800 11206\n", ""},
		{100, "1.00 1.00 1.00 3/800 11206\n", "process: 200 ranks need 201 processes and 0 of the machine's 100 are free: " +
			"raise sysctl kernel.pid_max to at least 1001: resource temporarily unavailable"},
		{-1, "0.20 0.18 0.12 1/800 11206\n", ""}, {100, "", ""}, {100, "x", ""},
	} {
		got := ""
		if err := process.CheckTasks("pid_max", test.most, test.load, 200); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%d, %q: %q, want %q", test.most, test.load, got, test.want)
		}
	}
}

// TestMemoryOfTheMachine: ranks that cannot fit whatever they run are not begun; swap is memory, too.
func TestMemoryOfTheMachine(t *testing.T) {
	for text, want := range map[string]string{
		"MemTotal: 9000000 kB\nMemAvailable:  102400 kB\nSwapFree: 1024 kB\n": "process: 1000 ranks need at least 250 MiB of memory, " +
			"whatever they run, and 101 MiB are free: start fewer: cannot allocate memory",
		"MemAvailable:  102400 kB\nSwapFree: 153600 kB\n": "",
		"MemAvailable:  256000 kB\n":                      "",
		"SwapFree: 1024 kB\n":                             "", // a kernel that does not tell
		"":                                                "",
	} {
		got := ""
		if err := process.CheckMemory(text, 1000); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestPIDsCgroups: the directories where pids.max may be, in v1 and v2, from ours upwards to what is mounted.
func TestPIDsCgroups(t *testing.T) {
	mounts := `30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
31 24 0:27 /docker/x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
`
	got := process.PIDsCgroups(mounts, "8:pids:/docker/x/y\n4:memory:/m\n0::/a.slice/b\n")
	want := []string{"/sys/fs/cgroup/unified/a.slice/b", "/sys/fs/cgroup/unified/a.slice", "/sys/fs/cgroup/unified",
		"/sys/fs/cgroup/pids/y", "/sys/fs/cgroup/pids"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// confine moves this process into a new cgroup of its own that may have so many processes and threads.
func confine(dir string, most int) {
	must(os.WriteFile(filepath.Join(dir, "pids.max"), []byte(strconv.Itoa(most)), 0))
	must(os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0))
}

// pidsCgroup makes a cgroup in which the number of processes can be bounded.
func pidsCgroup(t *testing.T) string {
	t.Helper()
	mounts, own := content(t, "/proc/self/mountinfo"), content(t, "/proc/self/cgroup")
	for _, parent := range process.PIDsCgroups(mounts, own) {
		dir := filepath.Join(parent, fmt.Sprintf("muster-test-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { processtest.Eventually(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil }) })
		if _, err := os.Stat(filepath.Join(dir, "pids.max")); err == nil {
			return dir
		}
	}
	t.Skip("needs a cgroup, of v1 or v2, in which pids.max can be written")
	return ""
}

// TestStepAside: the kernel's own rule. A program that is alone in a cgroup which is to hand on a controller goes into a child
// of it, and stands there no less than before.
func TestStepAside(t *testing.T) {
	processtest.Check(t)
	dir, controller := handingOn(t)
	l, exit := run(t, processtest.Command(t, alone, dir, controller))
	want := fmt.Sprintf("%s\n%s\n%s\n", controller, controller, dir)
	if l.stdout() != want || !exit.Success() {
		t.Errorf("exit %v\n%s\nwant %q", &exit, l.dump(), want)
	}
	if l, _ := run(t, processtest.Command(t, alone, dir, controller, "again")); l.stdout() != want {
		t.Errorf("in the home of another: %s", l.dump())
	}
}

// alone is a supervisor that is alone in a cgroup.
var alone = processtest.Helper("alone", func() {
	dir, controller := os.Args[1], os.Args[2]
	where, tree := dir, filepath.Join(dir, "tree")
	if len(os.Args) > 3 {
		where = filepath.Join(dir, "muster-home")
	} else {
		must(os.Mkdir(tree, 0o755))
	}
	must(os.WriteFile(filepath.Join(where, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0))
	must(process.OpenTree(dir, []string{controller}, os.Getpid()))
	for _, file := range []string{"cgroup.subtree_control", "tree/cgroup.subtree_control"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		must(err)
		fmt.Print(string(b))
	}
	own, err := process.FindCgroup()
	must(err)
	fmt.Println(own)
})

// handingOn makes a cgroup that has a controller, of whatever is there, and could hand it on.
func handingOn(t *testing.T) (dir, controller string) {
	t.Helper()
	own, err := process.FindCgroup()
	if err != nil {
		t.Skip("needs cgroup v2:", err)
	}
	all := strings.Fields(content(t, own, "cgroup.controllers"))
	if len(all) == 0 {
		t.Skip("needs a cgroup v2 with a controller, and", own, "has none")
	}
	controller = all[len(all)-1]
	control := filepath.Join(own, "cgroup.subtree_control")
	if !slices.Contains(strings.Fields(content(t, control)), controller) {
		if err := os.WriteFile(control, []byte("+"+controller), 0); err != nil {
			t.Skip("needs a cgroup v2 that may hand a controller on:", err)
		}
		t.Cleanup(func() { _ = os.WriteFile(control, []byte("-"+controller), 0) })
	}
	dir = filepath.Join(own, fmt.Sprintf("muster-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("needs a writable cgroup:", err)
	}
	t.Cleanup(func() {
		processtest.Eventually(t, "the cgroups are empty", func() bool {
			for _, child := range []string{"tree", "muster-home"} {
				_ = os.Remove(filepath.Join(dir, child))
			}
			return os.Remove(dir) == nil
		})
	})
	return dir, controller
}
