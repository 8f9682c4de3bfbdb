package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
)

// contained is launch as the first process of a container: it has a proc of its own, and becomes launch.
var contained = processtest.Helper("launch in a container", func() {
	if os.Getpid() == 1 {
		err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("proc", "/proc", "proc", 0, ""))
		if err != nil {
			os.Stderr.WriteString("skip: " + err.Error())
			return
		}
	}
	os.Setenv("MUSTER_TEST_HELPER", "launch in a container") // for the child that it starts
	main()
})

// contain starts launch as the first process of a pid namespace.
func contain(t *testing.T, args ...string) *cli {
	t.Helper()
	processtest.Check(t)
	if os.Geteuid() != 0 {
		t.Skip("only root may make a pid namespace")
	}
	helper := processtest.Command(t, contained)
	c := prepare(t, nil, args...)
	c.cmd.Env = append(c.cmd.Env, helper.Env...)
	c.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
	if err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("no pid namespace may be made here: %v", err)
	}
	c.begin()
	return c
}

// orphans makes a hundred processes whose parent ends before them, and waits until the first process has none of them.
const orphans = `
	i=0; while [ $i -lt 100 ]; do (setsid sleep 0.1 &); i=$((i+1)); done
	while [ "$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c '^[0-9]* (sleep) [A-Z] 1 ')" -gt 0 ]; do sleep 0.05; done
	exit 7`

// As the first process of a container launch inherits every orphan. It reaps them, steals nobody's exit, and its status is that
// of any other launch.
func TestInit(t *testing.T) {
	report := tmp(t, "report.json")
	c := contain(t, "-n", "2", "--timeout", "40s", "--grace", "100ms", "--report", report, "--", "sh", "-c",
		`echo pid $$ of $PPID; [ $RANK = 1 ] || exec sleep 1000;`+orphans)
	c.wants(7)
	if r := readReport(t, report); len(r.Failures) != 1 || r.Failures[0].Exit.Code != 7 || r.Ranks[0].Exit.Signal != "SIGTERM" {
		t.Errorf("report %+v", r)
	}
	if strings.Contains(c.stdout.String(), "of 1\n") {
		t.Error("the ranks are children of the first process")
	}
}

// Signals to the first process are launch's: T29 holds in a container.
func TestInitSignals(t *testing.T) {
	t.Run("forwarded", func(t *testing.T) {
		c := contain(t, "-n", "2", "--", "sh", "-c", `trap "echo first $RANK; exit 0" USR1; echo ready $$; while :; do sleep 1000 & wait $!; done`)
		c.stdout.await(t, 2, ready)
		c.signal(unix.SIGUSR1)
		c.stdout.await(t, 2, `first \d\n`)
		c.wants(0)
	})
	t.Run("once", func(t *testing.T) {
		c := contain(t, "-n", "2", "--grace", "1h", "--", "sh", "-c", polite)
		c.stdout.await(t, 2, ready)
		c.signal(unix.SIGTERM)
		c.wants(143)
	})
	t.Run("thrice", func(t *testing.T) {
		c := contain(t, "-n", "2", "--grace", "1h", "--", "sh", "-c", rude)
		c.stdout.await(t, 2, ready)
		c.signal(unix.SIGINT)
		c.stderr.await(t, 1, `stopping the ranks`)
		c.signal(unix.SIGINT)
		c.wants(130)
	})
}

// A launch that is killed in a container takes everything with it, its cgroups too: the first process waits for the watchdog.
func TestInitKill(t *testing.T) {
	c := contain(t, "-n", "2", "--", "sh", "-c", `setsid sleep 1000 & echo ready $$; exec sleep 1000`)
	c.stdout.await(t, 2, ready)
	left := treesOf(t, c.cmd.Process.Pid)
	child := childrenOf(t, c.cmd.Process.Pid)
	if len(child) != 1 {
		t.Fatalf("the first process has the children %v", child)
	}
	if err := unix.Kill(child[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.wants(137)
	if dirs := left(); len(dirs) > 0 {
		t.Errorf("cgroups are left: %v", dirs)
	}
}

// treesOf returns what lists the cgroup trees of programs in the pid namespace of a process.
func treesOf(t *testing.T, pid int) func() []string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &st); err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut(readText(t, "/proc/self/cgroup"), "0::")
	return func() (all []string) {
		for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
			found, _ := filepath.Glob(fmt.Sprintf("%s%s/muster-*-%d", mount, strings.TrimSpace(own), st.Ino))
			all = append(all, found...)
		}
		return all
	}
}

func childrenOf(t *testing.T, pid int) (all []int) {
	t.Helper()
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, thread := range threads {
		for _, field := range strings.Fields(readText(t, thread)) {
			all = append(all, atoi(t, field))
		}
	}
	return all
}
