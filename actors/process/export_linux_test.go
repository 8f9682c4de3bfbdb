package process

import (
	"path/filepath"
	"testing"
)

// DrainTime is how long what outlives a process is read.
const DrainTime = drainTime

// StartTime tells of a process when it began, 0 for one that lives no longer.
var StartTime = startTime

// SendTo is the guard in front of kill(2).
var SendTo = sendTo

// HasSignalGroup reports whether the kernel can signal a group by the pidfd of its leader.
func HasSignalGroup() bool { return hasSignalGroup() }

// WithoutPidfds makes the test see a kernel that has none (T2).
func WithoutPidfds(t *testing.T) {
	pidfds = false
	t.Cleanup(func() { pidfds = true })
}

// WithoutSignalGroup makes the test see a kernel before Linux 6.9.
func WithoutSignalGroup(t *testing.T) {
	before := hasSignalGroup
	hasSignalGroup = func() bool { return false }
	t.Cleanup(func() { hasSignalGroup = before })
}

// Bindable is what makes a port good enough to be promised.
var Bindable = bindable

// OwnCgroup is where the trees stand.
func OwnCgroup(t *testing.T) string {
	own, err := ownCgroup()
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// WatchdogPID is the pid of a launcher's watchdog, 0 when there is none.
func WatchdogPID(l Launcher) int {
	g := l.(local).guard
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dog == nil {
		return 0
	}
	return g.dog.PID()
}

// Wither makes a launcher see a kernel that starts no process in a cgroup.
func Wither(l Launcher) { l.(local).guard.wither() }

// WithFaults lets f delay what is asked of the system at each seam, or refuse it, until the function it returns is called.
func WithFaults(f func(seam string) error) (end func()) {
	hook := func(s seam) error { return f(string(s)) }
	faults.Store(&hook)
	return func() { faults.Store(nil) }
}

// Namespace is where pids mean what they mean to us: part of a tree's name.
var Namespace = namespace

// What decides on bounds of memory and processes, for tests in a directory that is no cgroup.
var (
	SetBounds      = setBounds
	Obstacle       = obstacle
	Controllers    = controllers
	CheckOpenFiles = checkOpenFiles
	CheckTasks     = checkTasks
	CheckMemory    = checkMemory
	PIDsCgroups    = pidsCgroups
)

// OpenTree lets the leaves of a tree in own have controllers, as a supervisor with these pids.
func OpenTree(own string, controllers []string, ours ...int) error {
	return (&tree{dir: filepath.Join(own, "tree")}).open(controllers, ours)
}

// WithWriteFile lets the test see what a cgroup that answers with write would.
func WithWriteFile(t *testing.T, write func(path, text string) error) {
	before := writeFile
	writeFile = write
	t.Cleanup(func() { writeFile = before })
}

// TellsOfOOM reads a record of the kernel's log.
var TellsOfOOM = tellsOfOOM

// FindCgroup is OwnCgroup for programs that are no test.
var FindCgroup = ownCgroup
