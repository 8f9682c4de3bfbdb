//go:build unix && !linux

package process

import (
	"os"
	"sync"
	"syscall"
)

// A group is the process group of one rank. This system has no pidfd and no parent-death signal: waiting holds a thread,
// and what leaves the group, or outlives a supervisor that was killed, is not ours to find.
type group struct {
	pid     int
	process *os.Process

	mu      sync.Mutex
	reaped  bool
	reached bool
}

func spawn(_ *guard, at place, c Command, env []string, files []*os.File) (*group, error) {
	p, err := os.StartProcess(at.path, c.Args, &os.ProcAttr{
		Dir: c.Dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, err
	}
	return &group{pid: p.Pid, process: p}, nil
}

func (g *group) close() {}

func (g *group) measure() {}

func (g *group) dump(sig Signal) error { return g.tell(sig) }

func (g *group) wait() Exit {
	state, err := g.process.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.reaped = true
		return Exit{Code: -1, Err: err}
	}
	_ = syscall.Kill(-g.pid, syscall.SIGKILL) // what is left in the group keeps its number from being reused
	g.reaped = true
	status := state.Sys().(syscall.WaitStatus)
	exit := Exit{Code: status.ExitStatus(), Stopped: g.reached, CPU: state.UserTime() + state.SystemTime()}
	if status.Signaled() {
		exit.Signal, exit.Core = status.Signal(), status.CoreDump()
	}
	return exit
}

func (g *group) stop(polite Signal) {
	if polite == 0 {
		polite = syscall.SIGTERM
	}
	_ = g.tell(polite)
	_ = g.signal(syscall.SIGCONT)
}

func (g *group) kill() { _ = g.tell(syscall.SIGKILL) }

func (g *group) tell(sig Signal) error {
	g.mu.Lock()
	g.reached = g.reached || !g.reaped
	g.mu.Unlock()
	return g.signal(sig)
}

func (g *group) signal(sig Signal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reaped || g.pid <= 1 {
		return os.ErrProcessDone
	}
	return syscall.Kill(-g.pid, sig)
}
