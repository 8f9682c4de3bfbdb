package process

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"github.com/go-muster/muster/actors/process/stage"
)

// A birth is a request to the spawner threads.
type birth struct {
	path string
	argv []string
	attr *syscall.ProcAttr
	done chan error
	pid  int
}

// births reaches the spawners: goroutines locked to threads that never end. The parent-death signal fires when the thread
// that forked dies, and the runtime ends threads at will (golang/go#27505): a process started from any other thread could
// be killed by its own protection. Fewer spawners than processors, because a fork stops its thread, and with it one
// processor of the runtime, until the child has called exec.
var births = sync.OnceValue(func() chan *birth {
	queue := make(chan *birth)
	for range max(1, runtime.GOMAXPROCS(0)-1) {
		go spawner(queue) // ends with this program, on purpose
	}
	return queue
})

func spawner(queue <-chan *birth) {
	runtime.LockOSThread()
	for b := range queue {
		err := fault(seamFork)
		if err == nil {
			b.pid, err = syscall.ForkExec(b.path, b.argv, b.attr)
		}
		b.done <- err
	}
}

// spawn forks and executes a program as the leader of a new process group which dies with us, in a cgroup of its own where
// there is one. Where the kernel refuses that (an old one, or a filter on clone3), the process starts without.
func spawn(g *guard, at place, c Command, env []string, files []*os.File) (*group, error) {
	l, err := g.leaf(c)
	if err != nil {
		return nil, err
	}
	born, err := bear(g, l, at, c, env, files)
	if err == nil || l == nil {
		return born, err
	}
	l.remove()
	if !refused(err) || len(controllers(c)) > 0 {
		return nil, err
	}
	without, werr := bear(g, nil, at, c, env, files)
	if werr != nil {
		return nil, err
	}
	g.wither()
	return without, nil
}

func bear(g *guard, l *leaf, at place, c Command, env []string, files []*os.File) (*group, error) {
	c = at.onStage(c)
	pidfd := -1
	sys := &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd}
	if !g.layers.NoDeathsig {
		sys.Pdeathsig = syscall.SIGKILL
	}
	if l != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(l.handle.Fd())
	}
	who, err := c.identity()
	if err != nil {
		return nil, err
	}
	b := &birth{path: at.path, argv: c.Args, done: make(chan error), attr: &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   env,
		Files: descriptors(files),
		Sys:   sys,
	}}
	act, err := b.setTheStage(c, who, g.mark)
	if err != nil {
		return nil, err
	}
	defer act.close()
	births() <- b
	err = <-b.done
	runtime.KeepAlive(files)
	if err != nil {
		return nil, err
	}
	if l != nil {
		l.born()
	}
	born := newGroup(b.pid, pidfd, l)
	if act != nil {
		born.holdBack(act.take())
	}
	return born, nil
}

// onStage returns the command with what may hang left to the stage. Between fork and exec a child holds up its spawner, every
// other fork, and in the end the whole runtime: that has to come after the first exec, which is of this very binary.
func (at place) onStage(c Command) Command {
	if at.stdin {
		c.Setup.Stdin = fromHere(c.Stdin)
	}
	if at.far {
		c.Setup.Dir, c.Dir = cmp.Or(c.Dir, "."), ""
	}
	return c
}

// fromHere makes a path mean the same in every directory.
func fromHere(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// An act is what a process does on the stage, as far as the supervisor sees it: a pipe that ends when signals mean to
// the process what they mean to its program.
type act struct{ ours, theirs *os.File }

// setTheStage lets a process with settings begin on the stage, where it becomes who it is to be after the settings, most of
// which only we may make. It returns nil for a process without.
//
// Nobody becomes somebody else between fork and exec: the child shares our memory there, and the kernel then closes the
// memory of both (PR_SET_DUMPABLE), which we could not undo without opening it to that user for a moment.
func (b *birth) setTheStage(c Command, who *stage.Identity, mark string) (*act, error) {
	plan := stage.Plan{Settings: c.Setup, As: who, Quiet: len(b.attr.Files)}
	if plan.Empty() {
		return nil, nil
	}
	var err error
	if b.path, b.argv, err = stage.Wrap(b.path, b.argv, plan); err != nil {
		return nil, err
	}
	b.attr.Env = stage.Environment(b.attr.Env, mark, plan)
	r, w, err := pipe()
	if err != nil {
		return nil, err
	}
	b.attr.Files = append(b.attr.Files, w.Fd())
	return &act{r, w}, nil
}

// take returns our end, which close then leaves open.
func (a *act) take() *os.File {
	ours := a.ours
	a.ours = nil
	return ours
}

func (a *act) close() {
	if a == nil {
		return
	}
	a.theirs.Close()
	if a.ours != nil {
		a.ours.Close()
	}
}

func descriptors(files []*os.File) []uintptr {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	return fds
}
