package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// spareFiles is what is needed besides the processes: a watchdog, the port's claim, a look into /proc.
const spareFiles = 16

func (g *guard) preflight(commands []Command) error {
	return errors.Join(g.checkFiles(commands), checkProcesses(commands))
}

// checkFiles compares the descriptors that the commands need with RLIMIT_NOFILE.
func (g *guard) checkFiles(commands []Command) error {
	var limit syscall.Rlimit
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil || syscall.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return nil // not known
	}
	need, most, cgroup := spareFiles, 0, !g.layers.NoCgroup && mayPlant()
	for _, c := range commands {
		files := filesOf(c, cgroup)
		need, most = need+files, max(most, files)
	}
	need += most * min(len(commands), cap(starting)) // the other ends
	free := int(min(limit.Cur, 1<<30)) - len(open)
	if need <= free {
		return nil
	}
	return fmt.Errorf("process: %d ranks need %d file descriptors and %d of %d are free: raise ulimit -n to at least %d: %w",
		len(commands), need, max(0, free), limit.Cur, need+len(open), syscall.EMFILE)
}

// filesOf counts what is held for a running process: two streams, a pidfd, and what it has of a cgroup, a link, a crash
// pipe, and an act on the stage.
func filesOf(c Command, cgroup bool) int {
	n := 3
	if cgroup {
		n++
	}
	if !c.Plain {
		n++
	}
	if c.Entry != "" {
		n++
	}
	if !c.Setup.Empty() {
		n++
	}
	return n
}

// checkProcesses compares the number of processes with RLIMIT_NPROC, which counts threads, and which root is free of.
func checkProcesses(commands []Command) error {
	var limit syscall.Rlimit
	uid := os.Getuid()
	if uid == 0 || syscall.Getrlimit(unix.RLIMIT_NPROC, &limit) != nil || limit.Cur >= 1<<30 {
		return nil
	}
	need, used := len(commands)+1, threadsOf(uid) // and a watchdog
	if used+need <= int(limit.Cur) {
		return nil
	}
	return fmt.Errorf("process: %d ranks need %d processes and %d of the %d of user %d are free: "+
		"raise ulimit -u to at least %d: %w",
		len(commands), need, max(0, int(limit.Cur)-used), limit.Cur, uid, used+need, syscall.EAGAIN)
}

// threadsOf counts the threads of a user.
func threadsOf(uid int) (all int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range paths {
		b, _ := os.ReadFile(path)
		if status(b, "Uid:") == uid {
			all += max(0, status(b, "Threads:"))
		}
	}
	return all
}

// status reads the first number of a line of /proc/PID/status; -1 means there is none.
func status(b []byte, key string) int {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
			if fields := bytes.Fields(rest); len(fields) > 0 {
				if n, err := strconv.Atoi(string(fields[0])); err == nil {
					return n
				}
			}
		}
	}
	return -1
}
