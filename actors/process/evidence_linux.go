package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// oomKilled reports whether the kernel's out-of-memory killer ended a process: by the events of its own cgroup where the
// memory controller is there, else by the kernel's log since it was born. It is asked only about a SIGKILL that was not
// ours.
func oomKilled(pid int, born time.Duration, l *leaf) bool {
	if l != nil {
		if n, ok := oomKills(filepath.Join(l.dir, "memory.events")); ok {
			return n > 0
		}
	}
	return oomInLog(pid, born)
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

// oomInLog looks for the pid in the kernel's log, as far as we may read it.
func oomInLog(pid int, born time.Duration) bool {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
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
		found = found || tellsOfOOM(string(record[:n]), pid, born)
	}
}

// tellsOfOOM reports whether a record ("6,1234,98765432,-;… Killed process 4711 (python3) …", the third number being
// microseconds since the machine started) is about a process that was born at that time: the log goes back for weeks, and
// has those that had the number before. Its clock is not corrected and goes wrong by less than a thousandth.
func tellsOfOOM(record string, pid int, born time.Duration) bool {
	head, text, _ := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if len(fields) < 3 || !strings.Contains(text, "Killed process "+strconv.Itoa(pid)+" ") {
		return false
	}
	at, err := strconv.ParseInt(fields[2], 10, 64)
	return err == nil && time.Duration(at)*time.Microsecond > born-born/1000-time.Minute
}

// sinceBoot is the time that the kernel's log is about.
func sinceBoot() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // never fails
	return time.Duration(now.Nano())
}

// peakRSS reads the largest resident size of a living process, in bytes; 0 when it is not known. The kernel begins to count
// anew at exec.
func peakRSS(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(b, []byte("\nVmHWM:"))
	number, _, _ := bytes.Cut(bytes.TrimLeft(after, " \t"), []byte(" kB"))
	kib, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// ownPeak is the largest resident size of ours that was seen, in bytes. Ours never falls: a look at /proc for each process that
// ends is one twentieth of what a launch costs.
var ownPeak atomic.Int64

// maxRSS makes the best of what wait4 says of a process's largest resident size. A child shares our memory until it calls
// exec, so the kernel counts ours in (ru_maxrss is never below it): it is the child's only when it is larger.
func maxRSS(seen, reported int64) int64 {
	if reported <= ownPeak.Load() {
		return seen
	}
	own := peakRSS(os.Getpid())
	ownPeak.Store(own) // whoever stores a smaller one has the next one look again
	if reported > own {
		return max(seen, reported)
	}
	return seen
}
