package process

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// sweep ends what is left of the group after its leader, and returns who that was. A group that is being stopped keeps the
// grace that it was given, until kill ends it: a shell that dies at once must not cost the program under it its last
// checkpoint. A group whose leader ended by itself is asked at once, and killed after drainTime.
func (g *group) sweep() []Leftover {
	if g.empty() {
		return nil
	}
	left := leftovers(g.pid)
	patience := time.Time{}
	if !g.beingStopped() {
		_ = g.signal(unix.SIGTERM)
		_ = g.signal(unix.SIGCONT)
		patience = time.Now().Add(drainTime)
	}
	for rest := left; len(rest) > 0 && !g.empty(); rest = leftovers(g.pid) {
		if errors.Is(g.awaitOne(rest[0].PID, patience), os.ErrDeadlineExceeded) {
			g.kill()
			patience = time.Time{} // SIGKILL has no answer: only the end is awaited
		}
	}
	g.mu.Lock()
	g.gone = true
	g.mu.Unlock()
	return left
}

func (g *group) beingStopped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked || g.killed
}

// empty asks the kernel whether anybody is left in the group of a leader that was reaped. Where it cannot tell, the group
// has been killed already.
func (g *group) empty() bool {
	if !hasSignalGroup() || g.pidfd == nil {
		return true
	}
	return errors.Is(g.signal(0), os.ErrProcessDone)
}

// awaitOne waits for the end of one leftover, which is not our child: its pidfd becomes readable. No event tells that a
// group became empty, so sweep waits for its members one by one.
func (g *group) awaitOne(pid int, patience time.Time) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil // it ended meanwhile
	}
	f := os.NewFile(uintptr(fd), "pidfd of a leftover")
	defer f.Close()
	g.watch(f, patience)
	defer g.watch(nil, time.Time{})
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool { return readable(int(fd)) })
}

// watch makes f what kill interrupts. A kill that came before has told everybody in the group already.
func (g *group) watch(f *os.File, patience time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watched = f; f != nil {
		_ = f.SetReadDeadline(patience)
	}
}

func readable(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0
}

// leftovers lists the living members of a group, from /proc. It is called only when the group is known not to be empty.
func leftovers(pgid int) []Leftover {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var left []Leftover
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if comm, group, ok := stat(name); ok && group == pgid {
			left = append(left, Leftover{PID: pid, Name: comm})
		}
	}
	return left
}

// stat reads name and group of a living process: "pid (comm) state ppid pgrp …", where comm may hold anything.
func stat(pid string) (comm string, pgrp int, alive bool) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if err != nil || open < 0 || shut < open {
		return "", 0, false
	}
	fields := bytes.Fields(b[shut+1:])
	if len(fields) < 3 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return "", 0, false
	}
	pgrp, err = strconv.Atoi(string(fields[2]))
	return string(b[open+1 : shut]), pgrp, err == nil
}
