//go:build !unix && !windows

package process

import (
	"errors"
	"os"
	"sync"
)

// A group is one process: this system's groups are not used yet, so what the process starts is not ended with it.
type group struct {
	pid     int
	process *os.Process

	mu      sync.Mutex
	reached bool
	over    bool
}

func spawn(_ *guard, at place, c Command, env []string, files []*os.File) (*group, error) {
	if len(files) > 3 {
		return nil, errors.ErrUnsupported
	}
	argv := append([]string{at.path}, c.Args[1:]...)
	p, err := os.StartProcess(at.path, argv, &os.ProcAttr{Dir: c.Dir, Env: env, Files: files})
	if err != nil {
		return nil, err
	}
	return &group{pid: p.Pid, process: p}, nil
}

func (g *group) close() {}

func (g *group) measure() {}

func (g *group) dump(Signal) error { return errors.ErrUnsupported }

func (g *group) wait() Exit {
	state, err := g.process.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	if err != nil {
		return Exit{Code: -1, Err: err}
	}
	return Exit{Code: state.ExitCode(), Stopped: g.reached, CPU: state.UserTime() + state.SystemTime()}
}

// stop ends the process at once: there is no polite signal here.
func (g *group) stop(Signal) { g.kill() }

func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reached = g.reached || !g.over
	_ = g.process.Kill()
}

func (g *group) signal(Signal) error { return errors.ErrUnsupported }
