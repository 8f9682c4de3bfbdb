package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// spareFiles is what is needed besides the processes: a watchdog, the port's claim, a look into /proc.
const spareFiles = 16

func (g *guard) preflight(commands []Command) error {
	return errors.Join(g.checkFiles(commands), checkProcesses(commands), checkMachine(len(commands)), checkPIDs(commands),
		g.checkBounds(commands))
}

// checkMachine compares the number of processes with what the kernel has numbers for, and with its memory.
func checkMachine(ranks int) error {
	load, _ := os.ReadFile("/proc/loadavg")
	memory, _ := os.ReadFile("/proc/meminfo")
	return errors.Join(
		checkTasks("pid_max", numberIn("/proc/sys/kernel", "pid_max"), string(load), ranks),
		checkTasks("threads-max", numberIn("/proc/sys/kernel", "threads-max"), string(load), ranks),
		checkMemory(string(memory), ranks))
}

// checkTasks compares what ranks need with a bound of all tasks of the machine: loadavg has how many there are.
func checkTasks(bound string, most int, loadavg string, ranks int) error {
	var load [3]float64
	var running, all int
	n, _ := fmt.Sscanf(loadavg, "%f %f %f %d/%d", &load[0], &load[1], &load[2], &running, &all)
	if need := ranks + 1; n == 5 && most >= 0 && all+need > most { // and a watchdog
		return fmt.Errorf("process: %d ranks need %d processes and %d of the machine's %d are free: raise sysctl kernel.%s to at least %d: %w",
			ranks, need, max(0, most-all), most, bound, all+need, syscall.EAGAIN)
	}
	return nil
}

// leastMemory is what a rank costs that does nothing, in bytes: a process of /bin/sleep, with our pipes and our part of it, is
// twice as much on Linux 6.18.
const leastMemory = 256 << 10

// checkMemory compares the least that ranks need with what the machine has left, as /proc/meminfo tells it.
func checkMemory(meminfo string, ranks int) error {
	free, known := uint64(0), false
	for line := range strings.Lines(meminfo) {
		var name string
		var kilobytes uint64
		if n, _ := fmt.Sscanf(line, "%s %d kB", &name, &kilobytes); n == 2 && (name == "MemAvailable:" || name == "SwapFree:") {
			free, known = free+kilobytes<<10, known || name == "MemAvailable:"
		}
	}
	if need := uint64(ranks) * leastMemory; known && need > free {
		return fmt.Errorf("process: %d ranks need at least %d MiB of memory, whatever they run, and %d MiB are free: start fewer: %w",
			ranks, need>>20, free>>20, syscall.ENOMEM)
	}
	return nil
}

// checkFiles compares the descriptors that the commands need with RLIMIT_NOFILE.
func (g *guard) checkFiles(commands []Command) error {
	var limit syscall.Rlimit
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil || syscall.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return nil // not known
	}
	need, most, cgroup := spareFiles, 0, g.wantsCgroup() && mayPlant()
	for _, c := range commands {
		files := filesOf(c, cgroup)
		need, most = need+files, max(most, files)
	}
	need += most * min(len(commands), cap(starting)) // the other ends
	var all error
	if os.Geteuid() != 0 { // root is free of it
		numbers, _ := os.ReadFile("/proc/sys/fs/file-nr")
		all = checkOpenFiles(string(numbers), len(commands), need)
	}
	free := int(min(limit.Cur, 1<<30)) - len(open)
	if need <= free {
		return all
	}
	return errors.Join(all, fmt.Errorf(
		"process: %d ranks need %d file descriptors and %d of %d are free: raise ulimit -n to at least %d: %w",
		len(commands), need, max(0, free), limit.Cur, need+len(open), syscall.EMFILE))
}

// checkOpenFiles compares what the commands need with fs.file-max, the third of the numbers in fs.file-nr; the first is
// how many files are open on this machine.
func checkOpenFiles(numbers string, ranks, need int) error {
	var open, unused, most uint64
	if n, _ := fmt.Sscan(numbers, &open, &unused, &most); n < 3 || open+uint64(need) <= most {
		return nil
	}
	return fmt.Errorf("process: %d ranks need %d open files and %d of the machine's %d are free: "+
		"raise sysctl fs.file-max to at least %d: %w", ranks, need, max(most, open)-open, most, open+uint64(need), syscall.ENFILE)
}

// checkPIDs compares the number of processes with the pids.max of our cgroups, by whoever set it: systemd's TasksMax, the
// --pids-limit of a container. Threads count.
func checkPIDs(commands []Command) error {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	own, _ := os.ReadFile("/proc/self/cgroup")
	need := len(commands) + 1 // and a watchdog
	var errs []error
	for _, dir := range pidsCgroups(string(mounts), string(own)) {
		most, used := numberIn(dir, "pids.max"), numberIn(dir, "pids.current")
		if most < 0 || used < 0 || used+need <= most {
			continue
		}
		errs = append(errs, fmt.Errorf("process: %d ranks need %d processes and %d of the %d of our cgroup are free: "+
			"raise %s/pids.max (TasksMax= of systemd, --pids-limit of a container) to at least %d: %w",
			len(commands), need, max(0, most-used), most, dir, used+need, syscall.EAGAIN))
	}
	return errors.Join(errs...)
}

// pidsCgroups lists the directories, ours and those above it, in which pids.max may be: of cgroup v2, and of v1's pids.
func pidsCgroups(mountinfo, cgroup string) (dirs []string) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		fields, types := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(types) < 3 {
			continue
		}
		v1 := types[0] == "cgroup" && slices.Contains(strings.Split(types[2], ","), "pids")
		if !v1 && types[0] != "cgroup2" {
			continue
		}
		for path := range strings.Lines(cgroup) {
			name := strings.SplitN(strings.TrimSpace(path), ":", 3)
			if len(name) < 3 || slices.Contains(strings.Split(name[1], ","), "pids") != v1 || !v1 && name[1] != "" {
				continue
			}
			below, err := filepath.Rel(fields[3], name[2])
			for ; err == nil && !strings.HasPrefix(below, ".."); below = filepath.Dir(below) {
				dirs = append(dirs, filepath.Join(fields[4], below))
				if below == "." {
					break
				}
			}
		}
	}
	return dirs
}

// numberIn reads a number; -1 means that there is none, or no limit.
func numberIn(dir, file string) int {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return -1
	}
	return n
}

// filesOf counts what is held for a running process: two streams, a pidfd, and what it has of a cgroup, a link, a crash
// pipe, a probe, an act on the stage, and an error file.
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
	if c.Ready != nil {
		n++
	}
	if !c.Setup.Empty() {
		n++
	}
	if c.wantsErrorFile() {
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
