package main

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lastOrphans is how long the first process of a container waits for others after launch has ended: its own end kills them.
// The watchdog of a launch that was killed needs the time to take down the cgroups.
const lastOrphans = 2 * time.Second

// isInit reports whether this is the first process of a container. Every orphan in it becomes its child and stays as a zombie
// until it is waited for, which launch itself must not do: it would steal the exit of a rank.
func isInit() bool { return os.Getpid() == 1 }

// runInit runs launch as a child, passes signals on to it, reaps, and returns its exit status.
func runInit() int {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, inherited()...) // before the child is there to be missed
	path, err := os.Executable()
	if err != nil {
		return complain(os.Stderr, err)
	}
	child, err := os.StartProcess(path, os.Args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return complain(os.Stderr, err)
	}
	giveTerminal(child.Pid)
	var late <-chan time.Time
	status, ended := unix.WaitStatus(0), false
	for {
		select {
		case <-late:
			return statusOf(status)
		case sig := <-signals:
			if sig != syscall.SIGCHLD && !ended {
				_ = unix.Kill(child.Pid, sig.(syscall.Signal)) // not reaped: the number is the child's
			}
		}
		if s, found := reap(child.Pid); found {
			status, ended, late = s, true, time.After(lastOrphans)
		}
		if ended && alone() {
			return statusOf(status)
		}
	}
}

// inherited are the signals that launch would get in our place. An ignored one stays so, in the child as well. SIGURG is the
// runtime's own, and what a fault of ours raises is nobody else's.
func inherited() (all []os.Signal) {
	ours := []syscall.Signal{
		unix.SIGURG, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS, unix.SIGABRT,
		unix.SIGTTIN, unix.SIGTTOU, unix.SIGPIPE, unix.SIGKILL, unix.SIGSTOP, unix.SIGPROF,
	}
	for s := syscall.Signal(1); s <= unix.SIGSYS; s++ {
		if s == unix.SIGCHLD || !slices.Contains(ours, s) && !signal.Ignored(s) {
			all = append(all, s)
		}
	}
	return all
}

// giveTerminal makes the group of the child the one to which a Ctrl-C goes, if there is a terminal: it must come once, and
// not by us again.
func giveTerminal(group int) {
	if tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		_ = unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, group)
		unix.Close(tty)
	}
}

// reap takes everybody who has ended. We have started one process, so that nobody's exit is stolen.
func reap(child int) (status unix.WaitStatus, ended bool) {
	for {
		var s unix.WaitStatus
		pid, err := unix.Wait4(-1, &s, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
		case err != nil || pid <= 0:
			return status, ended
		case pid == child:
			status, ended = s, true
		}
	}
}

// alone reports whether there is no child any more, without taking one.
func alone() bool {
	return unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD
}

func statusOf(s unix.WaitStatus) int {
	if s.Signaled() {
		return exitSignal + int(s.Signal())
	}
	return s.ExitStatus()
}
