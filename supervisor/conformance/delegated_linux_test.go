package conformance_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// nobody is an ordinary user.
const nobody = 65534

// ordinary is a supervisor of two ranks with daemons that tells its level.
var ordinary = processtest.Helper("ordinary", func() {
	_, err := supervisor.Start(context.Background(), supervisor.Spec{Ranks: supervisor.Repeat(2, sh(rebel+`exec sleep 1000`))})
	fmt.Println(process.Local().Containment(), os.Getuid(), err)
	select {}
})

// A user with a delegated subtree of the cgroups has all that root has: each rank in a leaf of its own, and nothing is left of
// a supervisor that is killed, not even a directory. One without has the level below, and says so.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user and delegate cgroups")
	}
	for _, test := range []struct {
		name, level string
		delegated   bool
	}{{"delegated", "cgroup+watchdog", true}, {"not delegated", "group+watchdog", false}} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			mark := fmt.Sprintf("%s=%d.%s", envOwned, os.Getpid(), strings.ReplaceAll(t.Name(), " ", "_"))
			c := processtest.Command(t, ordinary)
			cmd := exec.Command("/proc/self/exe") // the directory of this binary may be closed to others
			cmd.Env = append(append(os.Environ(), c.Env...), mark)
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			var dir string
			if test.delegated {
				dir = delegate(t)
				handle, err := os.Open(dir)
				check(err)
				defer handle.Close()
				cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(handle.Fd())
			}
			stdout, err := cmd.StdoutPipe()
			check(err)
			check(cmd.Start())
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				endForGood(mark)
			})
			wantLines(t, bufio.NewScanner(stdout), fmt.Sprintf("%s %d <nil>", test.level, nobody), "here", "here")
			processtest.Eventually(t, "both ranks and both daemons live", func() bool { return len(owned(mark)) >= 5 })
			for _, pid := range owned(mark) {
				if pid != cmd.Process.Pid && test.delegated != inLeaf(pid, dir) {
					t.Errorf("pid %d (%s) is in %q", pid, nameOf(pid), cgroupOf(pid))
				}
			}
			_ = cmd.Process.Kill()
			limit := stretched(5 * time.Second)
			if _, gone := soon(limit, func() bool { return len(owned(mark)) == 0 }); !gone {
				t.Errorf("%v live", owned(mark))
			}
			_ = cmd.Wait()
			if _, gone := soon(limit, func() bool { return dir == "" || len(treesIn(dir, cmd.Process.Pid)) == 0 }); !gone {
				t.Errorf("%v stands", treesIn(dir, cmd.Process.Pid))
			}
		})
	}
}

// delegate makes a cgroup below ours that belongs to nobody, as systemd's Delegate=yes does, and returns its directory.
func delegate(t *testing.T) string {
	t.Helper()
	own := ownCgroup()
	if own == "" {
		t.Skip("there is no cgroup v2 hierarchy")
	}
	dir := filepath.Join(own, fmt.Sprintf("delegated-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no cgroup can be made: %v", err)
	}
	t.Cleanup(func() {
		processtest.Eventually(t, "the cgroup is removed", func() bool { return unix.Rmdir(dir) == nil })
	})
	for _, file := range []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
		check(os.Chown(filepath.Join(dir, file), nobody, nobody))
	}
	return dir
}

// inLeaf reports whether a process is in a cgroup below a tree of muster's in a directory.
func inLeaf(pid int, dir string) bool {
	_, below, ok := strings.Cut(cgroupOf(pid), "/"+filepath.Base(dir)+"/muster-")
	return ok && dir != "" && strings.Contains(below, "/")
}

func cgroupOf(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return ""
}

// wantLines reads lines, which may come in any order.
func wantLines(t *testing.T, s *bufio.Scanner, want ...string) {
	t.Helper()
	missing := map[string]int{}
	for _, line := range want {
		missing[line]++
	}
	for range want {
		if !s.Scan() || missing[s.Text()] == 0 {
			t.Fatalf("it says %q, want %q", s.Text(), want)
		}
		missing[s.Text()]--
	}
}
