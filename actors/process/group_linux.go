package process

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// signalGroup is PIDFD_SIGNAL_PROCESS_GROUP (Linux 6.9): the signal goes to the group whose leader the pidfd names, even
// after that was reaped, so no other group can be meant.
const signalGroup = 4

// hasSignalGroup asks the kernel once, with a signal that does nothing. ESRCH is a yes: the kernel knows the flag, and this
// process, as most that a shell or a tool starts, leads no group. One that does not know it says EINVAL.
var hasSignalGroup = sync.OnceValue(func() bool {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	err = unix.PidfdSendSignal(fd, 0, nil, signalGroup)
	return err == nil || err == unix.ESRCH
})

// pidfds is false in tests of what is done where the kernel, or a seccomp filter, has no pidfd.
var pidfds = true

// A group is the process group of one rank: its leader, which we started, and what that started in turn and left in the
// group.
type group struct {
	pid   int
	pidfd *os.File      // of the leader, registered with the poller; nil where the kernel has none
	leaf  *leaf         // what holds everybody, those who left the group as well; nil where there is none
	born  time.Duration // since boot

	mu      sync.Mutex
	reaped  bool     // the leader's pid means nothing any more
	asked   bool     // stop was called
	killed  bool     // kill was called
	reached bool     // stop or kill met a living leader
	gone    bool     // the group is empty
	onStage bool     // the leader would lose signals: see holdBack
	held    []Signal // back, in order
	peak    int64    // bytes: the leader's largest resident size that was seen
	watched *os.File // what sweep waits on: a leftover's pidfd, or the leaf's events
}

func newGroup(pid, pidfd int, l *leaf) *group {
	g := &group{pid: pid, leaf: l, born: sinceBoot()}
	switch {
	case pidfd < 0:
	case pidfds && fault(seamPidfd) == nil && unix.SetNonblock(pidfd, true) == nil:
		g.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	default:
		unix.Close(pidfd)
	}
	return g
}

func (g *group) close() {
	if g.leaf != nil {
		g.leaf.remove()
	}
	if g.pidfd != nil {
		g.pidfd.Close()
	}
}

// wait blocks until the leader and then the rest of the group have ended, and reaps the leader. No thread waits: the
// pidfd becomes readable.
//
// The leader stays a zombie, whose number nobody else can get, until everything that needs the number is done: where the
// group cannot be named by pidfd, that includes the end of the whole group.
func (g *group) wait() Exit {
	err := g.awaitLeader()
	ended := time.Now()
	if g.named() || g.leaf != nil {
		exit := g.reap(err)
		exit.Ended, exit.Left = ended, g.sweep()
		return exit
	}
	var left []Leftover
	if err == nil { // otherwise somebody reaped our child, and its number may be anybody's
		left = g.sweep()
	}
	exit := g.reap(err)
	exit.Ended, exit.Left = ended, left
	return exit
}

// named reports whether the group can be told from all others even when its leader was reaped.
func (g *group) named() bool { return g.pidfd != nil && hasSignalGroup() }

func (g *group) awaitLeader() error {
	if g.pidfd != nil && awaitPidfd(g.pidfd, unix.WEXITED|unix.WNOWAIT) == nil {
		return nil
	}
	return waitID(unix.P_PID, g.pid, unix.WEXITED|unix.WNOWAIT) // holds a thread
}

// awaitPidfd waits until a pidfd of a child is readable and waitid agrees.
func awaitPidfd(f *os.File, options int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if err := fault(seamWait); err != nil {
		return err
	}
	var result error
	err = conn.Read(func(fd uintptr) bool {
		ended, err := ended(unix.P_PIDFD, int(fd), options)
		result = err
		return ended || err != nil
	})
	if err != nil {
		return err
	}
	return result
}

// ended asks, without waiting, whether a child has ended. A pidfd that does not block answers EAGAIN for "not yet".
func ended(kind, id, options int) (bool, error) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(kind, id, &info, options|unix.WNOHANG, nil)
		switch err {
		case nil:
			return info.Signo != 0, nil
		case unix.EAGAIN:
			return false, nil
		case unix.EINTR:
		default:
			return false, os.NewSyscallError("waitid", err)
		}
	}
}

func waitID(kind, id, options int) error {
	for {
		err := unix.Waitid(kind, id, nil, options, nil)
		if err != unix.EINTR {
			return os.NewSyscallError("waitid", err)
		}
	}
}

// reap collects the leader and makes its number free.
func (g *group) reap(err error) Exit {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reaped = true
	var status unix.WaitStatus
	var usage unix.Rusage
	for err == nil {
		_, werr := unix.Wait4(g.pid, &status, 0, &usage)
		if werr == unix.EINTR {
			continue
		}
		err = os.NewSyscallError("wait4", werr)
		break
	}
	if err != nil { // somebody reaped our child: there is no proof of anything (G-8)
		return Exit{Code: -1, Err: fmt.Errorf("process: the exit status of pid %d is lost: %w", g.pid, err)}
	}
	exit := Exit{Code: -1, Stopped: g.reached, CPU: cpu(&usage), MaxRSS: maxRSS(g.peak, usage.Maxrss<<10)}
	if status.Signaled() {
		exit.Signal, exit.Core = status.Signal(), status.CoreDump()
		exit.OOM = exit.Signal == unix.SIGKILL && !g.reached && oomKilled(g.pid, g.born, g.leaf)
	} else {
		exit.Code = status.ExitStatus()
	}
	return exit
}

func cpu(u *unix.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// stop asks the whole group to end. SIGCONT lets a stopped process act on the signal.
func (g *group) stop(polite Signal) {
	if polite == 0 {
		polite = unix.SIGTERM
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reach()
	g.asked = true
	_ = g.send(polite)
	_ = g.send(unix.SIGCONT)
}

// kill ends the whole group, and the patience of sweep.
func (g *group) kill() { _ = g.tryKill() }

// tryKill is kill. Its error is that of a system at its limits: to reach who has left the group takes a descriptor.
func (g *group) tryKill() (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reach()
	g.killed = true
	_ = g.send(unix.SIGKILL)
	if g.leaf != nil && !g.gone {
		err = g.leaf.kill()
	}
	if g.watched != nil {
		_ = g.watched.SetReadDeadline(time.Now())
	}
	return err
}

func (g *group) signal(sig Signal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.send(sig)
}

// dump asks the leader alone for its last words. It returns an error when there is nobody to ask.
func (g *group) dump(sig Signal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reach(); g.reaped || g.onStage { // on the stage there are no stacks but our own
		return os.ErrProcessDone
	}
	err := unix.Kill(g.pid, sig) // not reaped: the number is ours
	_ = unix.Kill(g.pid, unix.SIGCONT)
	return err
}

// measure looks how much memory the leader has used, while it can be seen.
func (g *group) measure() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.reaped {
		g.peak = max(g.peak, peakRSS(g.pid))
	}
}

// reach notes whether the leader is alive to be told: an exit that came before our signal was no answer to it.
func (g *group) reach() {
	if g.reaped || g.reached {
		return
	}
	over, err := ended(unix.P_PID, g.pid, unix.WEXITED|unix.WNOWAIT)
	g.reached = err == nil && !over
	g.peak = max(g.peak, peakRSS(g.pid))
}

// holdBack keeps signals, but for SIGKILL, from a process that has just been put on the stage until quiet ends: it is
// a Go program there, whose runtime ignores some and makes a crash of others.
func (g *group) holdBack(quiet *os.File) {
	g.onStage = true
	go func() { // ends with the process at the latest
		_, _ = quiet.Read(make([]byte, 1))
		quiet.Close()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.onStage = false
		for _, sig := range g.held {
			_ = g.send(sig)
		}
		g.held = nil
	}()
}

// send signals the group while it is certain to be ours, and its leader if that has left it. Called with mu held.
func (g *group) send(sig Signal) (err error) {
	switch {
	case g.gone:
		return os.ErrProcessDone
	case g.onStage && sig != unix.SIGKILL:
		g.held = append(g.held, sig)
		return nil
	case g.named():
		err = g.sendByPidfd(sig)
	case g.reaped:
		return os.ErrProcessDone
	default:
		err = sendTo(-g.pid, sig)
	}
	if g.strayed() {
		return sendTo(g.pid, sig)
	}
	return err
}

// strayed reports whether the leader, as it may, has gone over to another group of the session.
func (g *group) strayed() bool {
	if g.reaped {
		return false
	}
	now, err := unix.Getpgid(g.pid)
	return err == nil && now != g.pid
}

func (g *group) sendByPidfd(sig Signal) (err error) {
	conn, err := g.pidfd.SyscallConn()
	if err != nil {
		return os.ErrProcessDone
	}
	cerr := conn.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), sig, nil, signalGroup) })
	if cerr != nil || err == unix.ESRCH {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("pidfd_send_signal", err)
}

// sendTo is the only place that names a process, or a group by its negative, by number. 0 and -1 mean everybody, and 1
// keeps everybody.
func sendTo(target int, sig Signal) error {
	if -1 <= target && target <= 1 {
		panic(fmt.Sprintf("process: %v to %d", sig, target))
	}
	err := unix.Kill(target, sig)
	if err == unix.ESRCH {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("kill", err)
}
