package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/go-muster/muster/supervisor"
)

// signals are what people and schedulers send to the launcher: the first SIGINT or SIGTERM stops the group gracefully, the
// second kills it, the third leaves at once (the ranks then die with their parent). SIGUSR1 and SIGUSR2 go to the ranks, and
// SIGTSTP (Ctrl-Z) and SIGCONT are for all of us.
type signals struct {
	stderr   io.Writer
	c        chan os.Signal
	unread   chan os.Signal // SIGPIPE, which is to be an error of the write and not the end of launch
	done     chan struct{}
	stopSelf func() // stops this process as Ctrl-Z does, and returns when it may go on
	leave    func() // what is to be done even when launch leaves at once

	asked  sync.Once
	mu     sync.Mutex
	ending syscall.Signal // the first that asked for the end
	count  int
}

// watchSignals takes the signals over before anything is started, so that none is missed. A SIGHUP that is ignored, as
// under nohup, stays ignored, and so does a SIGTSTP.
func watchSignals(stderr io.Writer) *signals {
	s := &signals{stderr: stderr, c: make(chan os.Signal, 8), unread: make(chan os.Signal, 1), done: make(chan struct{}), stopSelf: stopSelf, leave: func() {}}
	wanted := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	for _, sig := range append([]os.Signal{syscall.SIGHUP}, jobControl...) {
		if !signal.Ignored(sig) {
			wanted = append(wanted, sig)
		}
	}
	signal.Notify(s.c, append(wanted, forwarded...)...)
	if !signal.Ignored(syscall.SIGPIPE) { // to ignore it would be to have every rank ignore it
		signal.Notify(s.unread, syscall.SIGPIPE)
	}
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

// during is a context that a signal ends, for the time before there is a group. Done gives the signals back.
func (s *signals) during(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var over sync.WaitGroup
	over.Go(func() {
		for {
			select {
			case sig := <-s.c:
				switch sig := sig.(syscall.Signal); {
				case isStop(sig):
					s.stopSelf()
				case isForwarded(sig), isContinue(sig): // there is nobody yet whom it is for
				case s.note(sig) > 2:
					s.leave()
					os.Exit(exitSignal + int(sig))
				default:
					cancel(&interruptedError{sig})
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		over.Wait()
	}
}

// An interruptedError is of a launch that was told to end before it had a group.
type interruptedError struct{ by syscall.Signal }

// Error names the signal.
func (e *interruptedError) Error() string { return e.by.String() }

func (s *signals) handle(g *supervisor.Group, sig syscall.Signal) {
	switch {
	case isForwarded(sig):
		g.Signal(sig)
		return
	case isStop(sig):
		s.suspend(g)
		return
	case isContinue(sig): // after a SIGSTOP, which nobody can see come
		g.Resume()
		return
	}
	n := s.note(sig)
	if n > 2 {
		s.leave()
		os.Exit(exitSignal + int(sig))
	}
	s.end(g, sig.String(), n, "again")
}

// suspend stops the ranks, which a Ctrl-Z does not reach, and then us, until the shell lets us go on.
func (s *signals) suspend(g *supervisor.Group) {
	if !continuable() {
		return
	}
	if err := g.Suspend(); err == nil {
		s.stopSelf()
	}
	g.Resume()
}

// end stops the group, or kills it. More is what kills them, or leaves at once.
func (s *signals) end(g *supervisor.Group, by string, n int, more string) {
	if n == 1 {
		fmt.Fprintf(s.stderr, "launch: %s: stopping the ranks (%s to kill them)\n", by, more)
		g.Stop(by)
		return
	}
	fmt.Fprintf(s.stderr, "launch: %s: killing the ranks (%s to leave at once)\n", by, more)
	g.Kill(by)
}

// request stands for a SIGTERM, or with kill for two. To ask twice is not to ask for more, as it is with signals.
func (s *signals) request(g *supervisor.Group, by string, kill bool) {
	n := 1
	if kill {
		n = 2
	}
	if s.raise(n) {
		s.end(g, by, n, [...]string{1: "launch stop --kill", 2: "Ctrl-C"}[n])
	}
}

// terminate is a SIGTERM to a launch that has no group yet. To ask again is not to ask for more.
func (s *signals) terminate() {
	s.asked.Do(func() { s.c <- syscall.SIGTERM })
}

// raise counts a request for the end; false when that was asked for before.
func (s *signals) raise(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		s.ending = syscall.SIGTERM
	}
	news := s.count < n
	s.count = max(s.count, n)
	return news
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
	signal.Stop(s.unread)
	close(s.done)
}
