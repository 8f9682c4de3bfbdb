package process

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sweep ends what is left of the group after its leader, and returns who that was. A group that is being stopped keeps the
// grace that it was given, until kill ends it: a shell that dies at once must not cost the program under it its last
// checkpoint. A group whose leader ended by itself is asked at once, and killed after drainTime.
func (g *group) sweep() []Leftover {
	left := g.leftovers()
	patience := time.Time{}
	if g.wasKilled() {
		patience = time.Now() // whether that reached them is not known
	} else if len(left) > 0 && !g.beingStopped() {
		_ = g.signal(unix.SIGTERM)
		_ = g.signal(unix.SIGCONT)
		patience = time.Now().Add(drainTime)
	}
	g.askEscaped(left)
	for rest := left; g.occupied(rest); rest = g.leftovers() {
		if errors.Is(g.awaitEnd(rest, patience), os.ErrDeadlineExceeded) {
			patience = time.Time{} // SIGKILL has no answer: only the end is awaited
			if g.tryKill() != nil {
				patience = time.Now().Add(drainTime)
			}
		}
	}
	g.mu.Lock()
	g.gone = true
	g.mu.Unlock()
	return left
}

func (g *group) wasKilled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.killed
}

func (g *group) beingStopped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked || g.killed
}

// leftovers lists the living members of the group. The kernel is asked first whether there are any, which is the rule and
// costs next to nothing; it can tell once the leader was reaped.
func (g *group) leftovers() []Leftover {
	if g.leaf != nil {
		if !g.leaf.populated() {
			return nil
		}
		return g.leaf.members()
	}
	if g.named() && errors.Is(g.signal(0), os.ErrProcessDone) {
		return nil
	}
	return members(g.pid)
}

// awaitOne waits for the end of one leftover, which is not our child: its pidfd becomes readable. No event tells that a
// group became empty, so sweep waits for its members one by one. It may return early: sweep looks again.
func (g *group) awaitOne(pid int, patience time.Time) error {
	if !pidfds {
		return pause(patience)
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	switch {
	case err == unix.ESRCH:
		return nil
	case err != nil:
		return pause(patience)
	}
	f := os.NewFile(uintptr(fd), "pidfd of a leftover")
	defer f.Close()
	if _, pgid, alive := stat(strconv.Itoa(pid)); !alive || pgid != g.pid {
		return nil // it ended, and the number may be a stranger's
	}
	g.watch(f, patience)
	defer g.watch(nil, time.Time{})
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool { return readable(int(fd)) })
}

// occupied reports whether somebody lives: a leaf knows, a group has been looked through.
func (g *group) occupied(rest []Leftover) bool {
	if g.leaf != nil {
		return g.leaf.populated()
	}
	return len(rest) > 0
}

// awaitEnd waits for the end of everybody in the leaf, which is an event, or of one in the group.
func (g *group) awaitEnd(rest []Leftover, patience time.Time) error {
	if g.leaf == nil {
		return g.awaitOne(rest[0].PID, patience)
	}
	g.watch(g.leaf.events, patience)
	defer g.watch(nil, time.Time{})
	return g.leaf.awaitEmpty()
}

// askEscaped asks those in the leaf to end whom no signal to the group has reached.
func (g *group) askEscaped(left []Leftover) {
	for _, p := range left {
		if _, pgid, alive := stat(strconv.Itoa(p.PID)); g.leaf != nil && alive && (pgid != g.pid || !g.named()) {
			g.leaf.signal(p.PID, unix.SIGTERM)
			g.leaf.signal(p.PID, unix.SIGCONT)
		}
	}
}

// watch makes f what kill interrupts. A kill that came before has told everybody in the group already.
func (g *group) watch(f *os.File, patience time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watched = f; f != nil {
		_ = f.SetReadDeadline(patience)
	}
}

// pause is how to wait where there is no pidfd to wait on (before Linux 5.10, or under a filter): look again and again.
func pause(patience time.Time) error {
	time.Sleep(drainTime / 16)
	if !patience.IsZero() && time.Now().After(patience) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func readable(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0
}

// members lists the living processes of a group, from /proc.
func members(pgid int) []Leftover {
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

// isZombie tells by state and number of threads. A process whose first thread has ended looks like a zombie, but has more
// threads than that one: it lives.
func isZombie(state, threads string) bool { return strings.Contains("ZX", state) && threads <= "1" }

// stat reads name and group of a living process: "pid (comm) state ppid pgrp …", where comm may hold anything.
func stat(pid string) (comm string, pgrp int, alive bool) {
	const state, group, threads = 0, 2, 17
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if err != nil || open < 0 || shut < open {
		return "", 0, false
	}
	fields := strings.Fields(string(b[shut+1:]))
	if len(fields) <= threads || isZombie(fields[state], fields[threads]) {
		return "", 0, false
	}
	pgrp, err = strconv.Atoi(fields[group])
	return string(b[open+1 : shut]), pgrp, err == nil
}
