package watchdog

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Execute ends everything that the orders name, again and again until nothing is found: who forks while it is looked for
// is found the next time. It gives up after half a minute.
func (o Orders) Execute() {
	deadline := time.Now().Add(patience)
	o.end(deadline)
	for wait := time.Millisecond; o.Cgroup != "" && Remove(o.Cgroup) != nil && time.Now().Before(deadline); {
		time.Sleep(wait) // a zombie waits for its parent to reap it
		wait = min(2*wait, 100*time.Millisecond)
	}
}

// end ends everything, and removes nothing.
func (o Orders) end(deadline time.Time) {
	if o.Cgroup != "" {
		_ = KillCgroup(o.Cgroup)
	}
	for round, none := 0, 0; o.Mark != "" && none < calm && time.Now().Before(deadline); round++ {
		if none++; EndMarked(o.Mark) > 0 {
			none = 0
		}
		time.Sleep(min(time.Duration(round)*time.Millisecond, 20*time.Millisecond)) // they are dying
	}
}

// calm is how many rounds have to find nobody. One proves nothing: a process that forks behind the look and ends before it
// has passed its child on unseen, and one in the middle of exec has no environment for a moment.
const calm = 4

// EndMarked sends SIGKILL to every process that carries a mark in its environment, this process excepted, and returns how
// many there were.
func EndMarked(mark string) int {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	found := 0
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 1 && pid != os.Getpid() && endIfMarked(pid, mark) {
			found++
		}
	}
	return found
}

// endIfMarked opens the process before it looks: if the number was given to another one meanwhile, the signal goes to
// the one that was opened, which then is gone.
func endIfMarked(pid int, mark string) bool {
	if !marked(pid, mark) {
		return false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return marked(pid, mark) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}

// marked reads the environment with which a process was executed. A zombie has none.
func marked(pid int, mark string) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if string(kv) == mark {
			return true
		}
	}
	return false
}

// Remove removes a cgroup directory and the leaves in it. It returns the error of the one that is still in use.
func Remove(dir string) error {
	if unix.Rmdir(dir) == nil { // most have nobody below them
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := Remove(dir + "/" + e.Name()); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
