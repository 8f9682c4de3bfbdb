package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// startRoot starts launch with hosts, and returns the address at which they join.
func startRoot(t *testing.T, args ...string) (*cli, string) {
	t.Helper()
	c := startUnder(t, nil, append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	line := c.stderr.await(t, 1, `launch agent --join ([\d.]+:\d+)`)[0]
	return c, line
}

// startAgent starts an agent that joins a root, with two slots.
func startAgent(t *testing.T, root, name string, args ...string) *cli {
	t.Helper()
	return startUnder(t, nil, append([]string{"agent", "--join", root, "--name", name, "--slots", "2"}, args...)...)
}

// TestTwoHosts: ranks of two agents find the contract of torchrun, and everything ends with the group.
func TestTwoHosts(t *testing.T) {
	processtest.Check(t)
	root, addr := startRoot(t, "--hosts", "2", "--per-host", "2", "--", "sh", "-c",
		"echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $NODE_RANK/$GROUP_WORLD_SIZE $MASTER_ADDR")
	a := startAgent(t, addr, "a")
	root.stderr.await(t, 1, "host a has joined: 2 places, ")
	b := startAgent(t, addr, "b")
	root.wants(0)
	a.wants(0)
	b.wants(0)
	for rank, says := range []string{"0/4 0/2 0/2", "1/4 1/2 0/2", "2/4 0/2 1/2", "3/4 1/2 1/2"} {
		if want := fmt.Sprintf("[%d] %s 127.0.0.1\n", rank, says); !strings.Contains(root.stdout.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if says := a.stderr.String(); !strings.Contains(says, "launch: joined the launch: "+addr) || !strings.HasSuffix(says, "launch: the launch is done\n") {
		t.Errorf("agent: %q", says)
	}
}

// TestHostsMissing: what is missing is told, with what to do about it, and the status is that of a timeout.
func TestHostsMissing(t *testing.T) {
	processtest.Check(t)
	root, addr := startRoot(t, "--hosts", "2", "--join-timeout", "2s", "--", "true")
	a := startAgent(t, addr, "a")
	root.wants(124)
	a.wants(0)
	want := "launch: --join-timeout 2s: 1 host of 2 missing: joined: a; on each host run launch agent --join " + addr + "\n"
	if !strings.HasSuffix(root.stderr.String(), want) {
		t.Errorf("no %q", want)
	}
}

// TestInterruptedBeforeHosts: Ctrl-C ends the waiting.
func TestInterruptedBeforeHosts(t *testing.T) {
	processtest.Check(t)
	root, _ := startRoot(t, "--hosts", "2", "--", "true")
	root.signal(syscall.SIGINT)
	root.wants(130)
	if want := "launch: interrupt: hosts are waited for no longer\n"; !strings.HasSuffix(root.stderr.String(), want) {
		t.Errorf("no %q", want)
	}
}
