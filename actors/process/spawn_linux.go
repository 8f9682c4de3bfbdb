package process

import (
	"os"
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
func spawn(g *guard, path string, c Command, env []string, files []*os.File) (*group, error) {
	l, err := g.leaf()
	if err != nil {
		return nil, err
	}
	born, err := bear(g, l, path, c, env, files)
	if err == nil || l == nil {
		return born, err
	}
	l.remove()
	if !refused(err) {
		return nil, err
	}
	without, werr := bear(g, nil, path, c, env, files)
	if werr != nil {
		return nil, err
	}
	g.wither()
	return without, nil
}

func bear(g *guard, l *leaf, path string, c Command, env []string, files []*os.File) (*group, error) {
	pidfd := -1
	sys := &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd}
	if !g.layers.NoDeathsig {
		sys.Pdeathsig = syscall.SIGKILL
	}
	if c.User != nil || c.Group != nil {
		sys.Credential = credential(c)
	}
	if isFifo(c.Stdin) {
		c.Setup.Stdin = c.Stdin
	}
	path, argv, err := stage.Wrap(path, c.Args, c.Setup)
	if err != nil {
		return nil, err
	}
	if l != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(l.handle.Fd())
	}
	b := &birth{path: path, argv: argv, done: make(chan error), attr: &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   env,
		Files: descriptors(files),
		Sys:   sys,
	}}
	births() <- b
	err = <-b.done
	runtime.KeepAlive(files)
	if err != nil {
		return nil, err
	}
	if l != nil {
		l.born()
	}
	return newGroup(b.pid, pidfd, l), nil
}

// credential is who the process runs as. Supplementary groups are the supervisor's and not for everybody: they are left.
func credential(c Command) *syscall.Credential {
	who := &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	if c.User != nil {
		who.Uid = *c.User
	}
	if c.Group != nil {
		who.Gid = *c.Group
	}
	return who
}

func descriptors(files []*os.File) []uintptr {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	return fds
}
