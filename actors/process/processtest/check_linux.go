package processtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// descriptors returns what this process has open, by number.
func descriptors() map[string]string {
	const dir = "/proc/self/fd/"
	open := map[string]string{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if target, err := os.Readlink(dir + e.Name()); err == nil { // an error: that was the directory itself
			open[e.Name()] = target
		}
	}
	return open
}

// living lists the processes that have the mark in their environment.
func living(mark string) string {
	var b strings.Builder
	for _, pid := range pids() {
		if marked(pid, mark) {
			fmt.Fprintf(&b, "  %s\n", describe(pid))
		}
	}
	return b.String()
}

// zombies lists the children of this process that nobody has reaped.
func zombies() string {
	var b strings.Builder
	for _, pid := range pids() {
		s, err := status(pid)
		if err == nil && s.state == "Z" && s.parent == os.Getpid() {
			fmt.Fprintf(&b, "  %s\n", describe(pid))
		}
	}
	return b.String()
}

// killAll kills the processes that have the mark, until there is none.
func killAll(mark string) {
	poll(func() bool {
		gone := true
		for _, pid := range pids() {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue
			}
			if marked(pid, mark) { // the descriptor was open before: the number cannot have changed hands since
				_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
				gone = false
			}
			unix.Close(fd)
		}
		return gone
	})
}

func pids() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() {
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return all
}

func marked(pid int, mark string) bool {
	dir := fmt.Sprintf("/proc/%d", pid)
	if hasMark(dir, mark) {
		return true
	}
	// A process whose first thread has ended shows what it has in its other threads only.
	if s, err := status(pid); err != nil || s.state != "Z" {
		return false
	}
	threads, _ := filepath.Glob(dir + "/task/*")
	return slices.ContainsFunc(threads, func(thread string) bool { return hasMark(thread, mark) })
}

func hasMark(dir, mark string) bool {
	environ, err := os.ReadFile(dir + "/environ")
	return err == nil && slices.Contains(strings.Split(string(environ), "\x00"), mark)
}

type procStatus struct {
	name, state   string
	parent, group int
}

// status reads "pid (name) state parent group …", where the name may hold anything.
func status(pid int) (s procStatus, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	first, last := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if first < 0 || last < first {
		return s, fmt.Errorf("processtest: %q is no status", b)
	}
	s.name = string(b[first+1 : last])
	_, err = fmt.Sscan(string(b[last+1:]), &s.state, &s.parent, &s.group)
	return s, err
}

func describe(pid int) string {
	s, err := status(pid)
	if err != nil {
		return fmt.Sprintf("pid %d, gone meanwhile", pid)
	}
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := strings.Join(strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"), " ")
	return fmt.Sprintf("pid %d (%s), state %s, parent %d, group %d: %.200s", pid, s.name, s.state, s.parent, s.group, words)
}
