package process

import (
	"os"
	"runtime"
	"sync"
	"syscall"
)

const containment = "group+deathsig"

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
		var err error
		b.pid, err = syscall.ForkExec(b.path, b.argv, b.attr)
		b.done <- err
	}
}

// spawn forks and executes a program as the leader of a new process group which dies with us.
func spawn(path string, c Command, env []string, files []*os.File) (*group, error) {
	pidfd := -1
	b := &birth{path: path, argv: c.Args, done: make(chan error), attr: &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   env,
		Files: descriptors(files),
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
	}}
	births() <- b
	err := <-b.done
	runtime.KeepAlive(files)
	if err != nil {
		return nil, err
	}
	return newGroup(b.pid, pidfd), nil
}

func descriptors(files []*os.File) []uintptr {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	return fds
}
