package main

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// stopSelf stops this process as SIGTSTP would have, and returns when somebody lets it go on. The signal is for our own thread,
// so that it has its effect before this returns: one to the process may as well take a moment longer.
func stopSelf() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP)
}

// continuable reports whether there may be somebody who lets us go on after a Ctrl-Z: a shell with job control is in our
// session. This is the kernel's rule for process groups that are orphaned, which it applies no more once a signal is caught.
// The first process of a container is no shell.
func continuable() bool {
	parent := os.Getppid()
	theirs, err := unix.Getsid(parent)
	if err != nil || parent <= 1 {
		return false
	}
	ours, err := unix.Getsid(0)
	return err == nil && ours == theirs
}
