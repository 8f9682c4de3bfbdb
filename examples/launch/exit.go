package main

import (
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/stage"
	"github.com/go-muster/muster/supervisor"
)

// The exit statuses that are not a rank's own.
const (
	exitFailure = 1
	exitUsage   = 2
	exitTimeout = 124 // as timeout(1)
	exitCannot  = 126 // as a shell: found, but cannot be executed
	exitMissing = 127 // as a shell: not found
	exitSignal  = 128 // plus the signal's number
)

// exitOfStart is the status when nothing was started.
func exitOfStart(err error) int {
	var wrong *usageError
	var late *lateError
	var interrupted *interruptedError
	switch {
	case errors.As(err, &late):
		return exitTimeout
	case errors.As(err, &interrupted):
		return exitSignal + int(interrupted.by)
	case errors.As(err, &wrong):
		return exitUsage
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return exitMissing
	case errors.Is(err, fs.ErrPermission):
		return exitCannot
	case errors.Is(err, supervisor.ErrSpec), errors.Is(err, stage.ErrSettings), errors.Is(err, process.ErrProbe):
		return exitUsage
	}
	return exitFailure
}

// exitStatus is the status of a group that has ended.
func exitStatus(r supervisor.Report, err error, interrupted syscall.Signal) int {
	var failure *supervisor.Failure
	switch {
	case err == nil:
		return 0
	case r.Outcome == supervisor.TimedOut:
		return exitTimeout
	case r.Outcome == supervisor.Interrupted && interrupted != 0:
		return exitSignal + int(interrupted)
	case errors.Is(err, supervisor.ErrNoRoom):
		return exitTimeout
	case errors.As(err, &failure):
		return exitOfFailure(failure)
	}
	return exitFailure
}

// exitOfFailure is the origin's own: its code, 128+n for a signal, 1 when it has none that means failure.
func exitOfFailure(f *supervisor.Failure) int {
	switch {
	case f.Err != nil && f.PID == 0:
		return exitOfStart(f.Err)
	case f.Exit == nil, f.Exit.Stopped && f.Exit.Signal != 0:
		return exitFailure // we ended it: the exception is what it had to say
	case f.Exit.Signal != 0:
		return exitSignal + int(f.Exit.Signal)
	case f.Exit.Code > 0:
		return f.Exit.Code
	}
	return exitFailure
}

// oneLine joins an error's lines, for people and for grep, and leaves out the names of our packages, and that what was
// written on a command line is a spec.
func oneLine(err error) string {
	return ours.Replace(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// ours are the words of an error that say nothing to who wrote a command line.
var ours = strings.NewReplacer(supervisor.ErrSpec.Error()+": ", "", stage.ErrSettings.Error()+": ", "",
	"supervisor: ", "", "process: ", "", "stage: ", "", "runs: ", "",
	"Significant: ", "significant: ", "Success.Ranks: ", "success: ", "Success.Need is", "the quorum is", ": "+fs.ErrInvalid.Error(), "")
