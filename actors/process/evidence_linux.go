package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// oomKilled reports whether the kernel's out-of-memory killer ended a process: by the events of its own cgroup where the
// memory controller is there, else by the kernel's log. It is asked only about a SIGKILL that was not ours.
func oomKilled(pid int, l *leaf) bool {
	if l != nil {
		if n, ok := oomKills(filepath.Join(l.dir, "memory.events")); ok {
			return n > 0
		}
	}
	return oomInLog(pid)
}

// oomKills reads how many processes of a cgroup the out-of-memory killer has ended.
func oomKills(events string) (n int, ok bool) {
	b, err := os.ReadFile(events)
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(b) {
		if _, err := fmt.Sscanf(string(line), "oom_kill %d", &n); err == nil {
			return n, true
		}
	}
	return 0, false
}

// oomInLog looks for the pid in the kernel's log ("Killed process 4711 (python3)"), as far as we may read it.
func oomInLog(pid int) bool {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	killed := []byte("Killed process " + strconv.Itoa(pid) + " ")
	record := make([]byte, 8<<10) // one record each read
	found := false
	for {
		n, err := unix.Read(fd, record)
		switch {
		case err == unix.EPIPE || err == unix.EINTR: // records were overwritten while we read
			continue
		case err != nil || n == 0:
			return found
		}
		found = found || bytes.Contains(record[:n], killed)
	}
}

// peakRSS reads the largest resident size of a living process, in bytes; 0 when it is not known. The kernel begins to count
// anew at exec.
func peakRSS(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	var kib int64
	for line := range bytes.Lines(b) {
		if _, err := fmt.Sscanf(string(line), "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}

// maxRSS makes the best of what wait4 says of a process's largest resident size. A child shares our memory until it calls
// exec, so the kernel counts ours in (ru_maxrss is never below it): it is the child's only when it is larger.
func maxRSS(seen, reported int64) int64 {
	if reported > peakRSS(os.Getpid()) {
		return max(seen, reported)
	}
	return seen
}
