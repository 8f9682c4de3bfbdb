package watchdog

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// KillCgroup ends everything in a cgroup directory and below it, forks in flight included.
//
// The kernel's own cgroup.kill signals the first thread of each process, and passes over a process whose first thread
// has ended while others live (seen on 6.18): so each is signalled as a process, too.
func KillCgroup(dir string) error {
	err := os.WriteFile(dir+"/cgroup.kill", []byte("1"), 0)
	killMembers(dir)
	return err
}

func killMembers(dir string) {
	for _, pid := range Members(dir) {
		_ = SignalMember(dir, pid, unix.SIGKILL)
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			killMembers(dir + "/" + e.Name())
		}
	}
}

// Members lists the pids of the processes in a cgroup directory, those below it left out.
func Members(dir string) []int {
	b, _ := os.ReadFile(dir + "/cgroup.procs")
	var pids []int
	for line := range bytes.Lines(b) {
		if pid, err := strconv.Atoi(string(bytes.TrimSpace(line))); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// SignalMember signals a process of a cgroup directory: the process is opened before its membership is looked at, so that
// no other one can be meant. It returns the error of a process that is gone, and ESRCH for one that is not in there.
func SignalMember(dir string, pid int, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return err
	}
	// Two names are enough: that of the tree is unique on this machine.
	names := strings.Split(strings.TrimRight(dir, "/"), "/")
	name := strings.Join(names[max(0, len(names)-2):], "/")
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "0::") && strings.HasSuffix(strings.TrimSpace(line), name) {
			return unix.PidfdSendSignal(fd, sig, nil, 0)
		}
	}
	return unix.ESRCH
}
