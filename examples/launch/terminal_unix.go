//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inForeground reports whether a person who looks at the terminal looks at us: after Ctrl-Z and bg it is the shell's.
func inForeground(terminal *os.File) bool {
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp() // of a terminal that does not control us there is no telling
}

// onSuspend takes the status line away before Ctrl-Z gives the terminal to the shell, and draws it again after fg. What it
// returns ends that.
func onSuspend(s *screen) (stop func()) {
	if signal.Ignored(syscall.SIGTSTP) {
		return func() {}
	}
	c, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(c, syscall.SIGTSTP)
	go func() { // ends with stop
		for {
			select {
			case <-c:
				s.aside(suspend)
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(c)
		close(done)
	}
}

// suspend stops this process as Ctrl-Z does, and returns after SIGCONT. The signal may be another thread's to take, which stops this
// one a moment later: it must not draw meanwhile. The runtime keeps a handler for what it has notified of
// once; SIGTTIN has none, and like SIGTSTP, unlike SIGSTOP, it does nothing where no shell is there that could wake us again.
func suspend() {
	_ = unix.Kill(os.Getpid(), unix.SIGTTIN)
	time.Sleep(10 * time.Millisecond)
}
