package main

import (
	"errors"
	"strings"
	"syscall"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// meaning says of a failure that does not explain itself what it usually is, and what to do about it; "" for one that does.
func meaning(f *supervisor.Failure) string {
	switch x := f.Exit; {
	case errors.Is(f.Err, supervisor.ErrHung) && f.Stacks == "":
		return "alive, but silent for too long, and with no stacks to show; --dump-signal asks for some before the kill"
	case errors.Is(f.Err, supervisor.ErrHung):
		return "alive, but stuck where its stacks say"
	case errors.Is(f.Err, supervisor.ErrStartTimeout):
		return "the step of the start that was not done in time; if it is only slow, --start-timeout gives it more"
	case diskFull(f):
		return "a full disk, or a full quota: see df -h and df -i"
	case portTaken(f):
		return "a port that another program has: ss -ltnp names it"
	case f.Exception != nil || f.Err != nil || x == nil:
		return ""
	case x.OOM:
		return "too little memory for the rank: use less of it, start fewer ranks, or raise the bound, if there is one (--memory)"
	case x.KilledBy() == process.ByStranger:
		return "a kill from outside: a person, a scheduler, or a kernel that does not let us read whether it was for memory"
	default:
		return crash(x.Signal)
	}
}

// crash says what a signal is that a program brings upon itself.
func crash(s syscall.Signal) string {
	switch s {
	case syscall.SIGSEGV, syscall.SIGILL, syscall.SIGFPE:
		return "a crash in native code: of the program, or of a library that it uses"
	case syscall.SIGBUS:
		return "a crash in native code, or a mapped file that lost its room: see df -h /dev/shm"
	case syscall.SIGABRT:
		return "a program that gave up by itself: a failed assertion, or memory that it found corrupted"
	}
	return ""
}

// portTaken reports whether a rank says that it could not listen.
func portTaken(f *supervisor.Failure) bool {
	return strings.Contains(strings.ToLower(f.Error()), "address already in use")
}

// diskFull reports whether a rank says that it had no room to write.
func diskFull(f *supervisor.Failure) bool {
	text := strings.ToLower(f.Error())
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "disk quota exceeded")
}
