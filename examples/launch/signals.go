package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/go-muster/muster/supervisor"
)

// signals are what people and schedulers send to the launcher: the first SIGINT or SIGTERM stops the group gracefully, the
// second kills it, the third leaves at once (the ranks then die with their parent). SIGUSR1 and SIGUSR2 go to the ranks.
type signals struct {
	stderr io.Writer
	leave  func() // before the third one's end
	c      chan os.Signal
	done   chan struct{}

	mu     sync.Mutex
	ending syscall.Signal // the first that asked for the end
	count  int
}

// watchSignals takes the signals over before anything is started, so that none is missed. A SIGHUP that is ignored, as
// under nohup, stays ignored.
func watchSignals(stderr io.Writer) *signals {
	s := &signals{stderr: stderr, c: make(chan os.Signal, 8), done: make(chan struct{})}
	wanted := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	signal.Notify(s.c, append(wanted, forwarded...)...)
	return s
}

// forward passes signals on to the group until stop.
func (s *signals) forward(g *supervisor.Group) {
	go func() { // ends with stop
		for {
			select {
			case sig := <-s.c:
				s.handle(g, sig.(syscall.Signal))
			case <-s.done:
				return
			}
		}
	}()
}

func (s *signals) handle(g *supervisor.Group, sig syscall.Signal) {
	if isForwarded(sig) {
		g.Signal(sig)
		return
	}
	switch s.note(sig) {
	case 1:
		fmt.Fprintf(s.stderr, "launch: %v: stopping the ranks (again to kill them)\n", sig)
		g.Stop(sig.String())
	case 2:
		fmt.Fprintf(s.stderr, "launch: %v: killing the ranks (again to leave at once)\n", sig)
		g.Kill(sig.String())
	default:
		s.leave()
		os.Exit(exitSignal + int(sig))
	}
}

// note counts a signal that asks for the end.
func (s *signals) note(sig syscall.Signal) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count++; s.count == 1 {
		s.ending = sig
	}
	return s.count
}

func (s *signals) first() syscall.Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

func (s *signals) stop() {
	signal.Stop(s.c)
	close(s.done)
}
