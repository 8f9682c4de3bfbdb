package watchdog

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	name       = "muster-watchdog" // argv[0]
	lifelineFD = 3
	greeting   = "muster watchdog 1\n"
)

// init is the watchdog's main: it runs before the program's, and before most of the program is initialised. Packages come in the
// order of their names, as soon as all that they import have come: that is why this one imports neither path/filepath nor
// runtime/debug.
func init() {
	if os.Args[0] != name || !greeted() {
		return
	}
	guard(bufio.NewScanner(os.NewFile(lifelineFD, "lifeline")))
	exit()
}

// greeted looks, without taking it and without waiting, at the first word on the lifeline: it was said before this process
// existed.
func greeted() bool {
	word := make([]byte, len(greeting))
	n, _, err := unix.Recvfrom(lifelineFD, word, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err == nil && string(word[:n]) == greeting
}

// exit leaves without the runtime's exit hooks, which under the race detector take a second.
func exit() {
	for {
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// guard follows orders until the lifeline ends, and then carries them out.
func guard(lines *bufio.Scanner) {
	var orders Orders
	lease := time.NewTimer(never)
	words := make(chan string)
	go func() { // ends with the lifeline
		defer close(words)
		for lines.Scan() {
			words <- lines.Text()
		}
	}()
	for {
		select {
		case word, more := <-words:
			if !more {
				orders.Execute()
				return
			}
			if word == sync {
				_, _ = unix.Write(lifelineFD, []byte{'\n'})
				continue
			}
			orders.hear(word)
			if orders.Lease > 0 {
				lease.Reset(max(0, orders.Lease-monotonic()))
			}
		case <-lease.C:
			if orders.Lease > 0 && monotonic() >= orders.Lease {
				orders.Lease = 0
				orders.end(time.Now().Add(patience))
			}
		}
	}
}

const never = 1<<63 - 1

// sync is the word that is answered, with a newline: what came before it has been done.
const sync = "sync"

// hear takes one word of the lifeline's.
func (o *Orders) hear(word string) {
	switch key, value, _ := strings.Cut(word, " "); key {
	case "cgroup":
		o.Cgroup = value
	case "mark":
		o.Mark = value
	case "lease":
		n, _ := strconv.ParseInt(value, 10, 64)
		o.Lease = time.Duration(n)
	}
}

// Lease returns what Orders has of a time: it is the same for all processes of this machine, and goes on while they are stopped.
func Lease(at time.Time) time.Duration { return monotonic() + time.Until(at) }

func monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // never fails
	return time.Duration(now.Nano())
}

type impl struct {
	pid      int
	pidfd    *os.File
	lifeline *os.File
}

// environment is the watchdog's own: there is next to nothing to collect.
var environment = []string{"GOGC=off", "GOMEMLIMIT=16MiB"}

// start executes this binary as a watchdog: in a session of its own, so that no signal to our terminal or group means it,
// and without our environment, so that nothing of ours can be mistaken for something else.
func start() (w impl, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return w, fmt.Errorf("watchdog: lifeline: %w", err)
	}
	defer unix.Close(fds[1])
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fds[0])
		return w, fmt.Errorf("watchdog: %w", err)
	}
	defer unix.Close(null)
	_, err = unix.Write(fds[0], []byte(greeting))
	if err == nil {
		err = unix.SetNonblock(fds[0], true)
	}
	if err != nil {
		unix.Close(fds[0])
		return w, fmt.Errorf("watchdog: lifeline: %w", err)
	}
	pidfd := -1
	pid, err := syscall.ForkExec("/proc/self/exe", []string{name}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   environment,
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(fds[1])},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		unix.Close(fds[0])
		return w, fmt.Errorf("watchdog: start: %w", err)
	}
	w = impl{pid: pid, lifeline: os.NewFile(uintptr(fds[0]), "lifeline")}
	if pidfd >= 0 && unix.SetNonblock(pidfd, true) == nil {
		w.pidfd = os.NewFile(uintptr(pidfd), "pidfd of the watchdog")
	}
	return w, nil
}

// Settle waits until the watchdog is done with what it has begun because a lease was over: whoever is started after that is not
// meant. It returns the error of the lifeline when the watchdog is gone, or has not answered in that time.
func (w *Watchdog) Settle(patience time.Duration) error {
	_ = w.lifeline.SetDeadline(time.Now().Add(patience))
	defer w.lifeline.SetDeadline(time.Time{})
	if _, err := fmt.Fprintln(w.lifeline, sync); err != nil {
		return err
	}
	_, err := w.lifeline.Read(make([]byte, 1))
	return err
}

// PID returns the watchdog's process id.
func (w *Watchdog) PID() int { return w.pid }

// Tell gives orders. It returns the error of the lifeline when the watchdog is gone.
func (w *Watchdog) Tell(o Orders) error {
	_ = w.lifeline.SetWriteDeadline(time.Now().Add(time.Second)) // a watchdog that is stopped holds nobody up
	_, err := fmt.Fprintf(w.lifeline, "cgroup %s\nmark %s\nlease %d\n", o.Cgroup, o.Mark, o.Lease)
	return err
}

// Wait blocks until the watchdog has ended, and reaps it. A watchdog ends only when it is told to, or killed.
func (w *Watchdog) Wait() {
	if w.pidfd != nil {
		if conn, err := w.pidfd.SyscallConn(); err == nil {
			_ = conn.Read(func(fd uintptr) bool {
				var info unix.Siginfo
				err := unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
				return err != unix.EAGAIN && (err != nil || info.Signo != 0)
			})
		}
	}
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(w.pid, &status, 0, nil); err != unix.EINTR {
			break
		}
	}
	if w.pidfd != nil {
		w.pidfd.Close()
	}
	w.lifeline.Close()
}

// Release lets the watchdog carry its orders out and end. Wait sees it end, and closes the lifeline: whose number may then
// be another's.
func (w *Watchdog) Release() {
	if conn, err := w.lifeline.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
}

// Stop ends the watchdog without anything else. Wait sees it end.
func (w *Watchdog) Stop() {
	if w.pidfd == nil {
		_ = unix.Kill(w.pid, unix.SIGKILL)
		return
	}
	if conn, err := w.pidfd.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	}
}
