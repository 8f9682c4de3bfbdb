package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/host"
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

// ended waits until the processes have ended.
func (all handles) ended(t *testing.T) {
	t.Helper()
	for i, fd := range all {
		wait := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(wait, int(patience.Milliseconds())); n != 1 {
			t.Errorf("process %d of %d is there: %v", i, len(all), err)
		}
	}
}

// makeCertificates has launch make a CA with certificates of three hosts on the loopback interface, and tokens, which it returns.
func makeCertificates(t *testing.T, dir string) (tokens []string) {
	t.Helper()
	code, stdout, stderr := here(t, "certs", dir, "root,127.0.0.1", "a,127.0.0.1", "b,127.0.0.1", "--tokens", dir+"/tokens")
	for line := range strings.Lines(stdout) {
		if word, token, _ := strings.Cut(strings.TrimSpace(line), " "); word == "token" {
			tokens = append(tokens, strings.TrimSpace(token))
		}
	}
	if code != 0 || len(tokens) != 3 {
		t.Fatalf("exit status %d, %q, %q", code, stdout, stderr)
	}
	return tokens
}

// TestCertificates: with certificates and tokens everybody is who he says he is; others are refused, with the reason.
func TestCertificates(t *testing.T) {
	processtest.Check(t)
	dir := t.TempDir()
	tokens := makeCertificates(t, dir)
	makeCertificates(t, dir+"/other")
	root, addr := startRoot(t, "--hosts", "2", "--certs", dir+"/root", "--tokens", dir+"/tokens", "--", "sh", "-c", "echo on $NODE_RANK")
	none := startAgent(t, addr, "b", "--certs", dir+"/b")
	none.wants(1)
	if want := "launch: host: the root refuses this host: it has no join token: give it one with LAUNCH_TOKEN; launch certs makes them (--tokens)\n"; !strings.HasSuffix(none.stderr.String(), want) {
		t.Errorf("no %q", want)
	}
	bad := startAgent(t, addr, "b", "--certs", dir+"/b", "--token", "bad")
	bad.wants(1)
	other := startAgent(t, addr, "a", "--certs", dir+"/b", "--token", tokens[2])
	other.wants(1)
	if want := "it says that it is a, and its certificate that it is b"; !strings.Contains(other.stderr.String(), want) {
		t.Errorf("no %q", want)
	}
	for want, args := range map[string][]string{
		"was issued by another CA than ours":          {"--certs", dir + "/other/a"},
		"it speaks TLS, and we have no certificate: ": nil,
	} {
		stranger := startAgent(t, addr, "a", append([]string{"--patience", "2s", "--token", tokens[2]}, args...)...)
		stranger.wants(1)
		if !strings.Contains(stranger.stderr.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	a := startUnder(t, nil, "agent", "--join", addr, "--certs", dir+"/a", "--token", tokens[1]) // its name is in its certificate
	root.stderr.await(t, 1, "host a has joined")
	stolen := startAgent(t, addr, "b", "--certs", dir+"/b", "--token", tokens[1])
	stolen.wants(1)
	if !strings.Contains(stolen.stderr.String(), "the join token was used by another agent") {
		t.Error("a stolen token")
	}
	b := startAgent(t, addr, "b", "--certs", dir+"/b", "--token", tokens[2])
	root.wants(0)
	a.wants(0)
	b.wants(0)
	if strings.Contains(root.stderr.String()+a.stderr.String(), tokens[1]) {
		t.Error("the token is told")
	}
}

// TestLostHost: a group of two hosts goes on with one when the other is killed, and the loss is one failure.
func TestLostHost(t *testing.T) {
	processtest.Check(t)
	report := tmp(t, "report.json")
	root, addr := startRoot(t, "--hosts", "1:2", "--per-host", "2", "--lease", "1s", "--settle", "10s", "--max-restarts", "1",
		"--report", report, "--", "sh", "-c", "echo gen $MUSTER_GENERATION of $WORLD_SIZE; [ $MUSTER_GENERATION = 1 ] || exec sleep 1000")
	a := startAgent(t, addr, "a")
	root.stderr.await(t, 1, "host a has joined")
	b := startAgent(t, addr, "b")
	root.stdout.await(t, 4, `\] gen 0 of 4`)
	if code, stdout, _ := here(t, "ps", "sh"); code != 0 || !regexp.MustCompile(`RANK +STATE +GENERATION +RESTARTS +HOST +PID`).MatchString(stdout) ||
		!regexp.MustCompile(`\n3 +\w+ +0 +0 +b +\d`).MatchString(stdout) {
		t.Errorf("launch ps: %s", stdout)
	}
	b.signal(syscall.SIGKILL)
	_ = b.end()
	root.wants(0)
	a.wants(0)
	root.stdout.await(t, 2, `\] gen 1 of 2`)
	root.stderr.await(t, 1, `launch: rank [23] failed \(generation 0\): host b is lost: .* \(with ranks 2-3\); restart 1 of 1`)
	r := readReport(t, report)
	if r.Restarts != 1 || r.WorldSize != 2 || r.Failures[0].Host != "b" {
		t.Errorf("report %+v", r)
	}
}

// TestLostHostAccount: the account of a lost host is one line about it, with its ranks folded.
func TestLostHostAccount(t *testing.T) {
	processtest.Check(t)
	root, addr := startRoot(t, "--hosts", "1", "--per-host", "2", "--lease", "1s", "--", "sh", "-c", "echo up; exec sleep 1000")
	a := startAgent(t, addr, "a")
	root.stdout.await(t, 2, `\] up`)
	a.signal(syscall.SIGKILL)
	_ = a.end()
	root.wants(1)
	says := root.stderr.String()
	for _, want := range []string{
		`launch: rank [01] failed first \(generation 0, pid \d+, host a, after .*\): host a is lost: .* \(with ranks 0-1\)\n`,
		`launch: rank [01] alone, on host a: RANK=[01] WORLD_SIZE=2 .*MASTER_ADDR=127\.0\.0\.1 MASTER_PORT=29500 sh -c`,
	} {
		if !regexp.MustCompile(want).MatchString(says) {
			t.Errorf("no %q", want)
		}
	}
	if n := len(regexp.MustCompile(`rank \d failed`).FindAllString(says, -1)); n != 1 { // whichever was heard of first
		t.Errorf("one loss is told %d times", n)
	}
}

// TestResume: when the root is killed, agents end its ranks, and launch resume goes on with them at the next generation.
func TestResume(t *testing.T) {
	processtest.Check(t)
	journal := tmp(t, "run.jsonl")
	// The ranks of generation 1 end; those of 0 never.
	args := []string{"--hosts", "2", "--per-host", "2", "--lease", "1s", "--settle", "0s", "--max-restarts", "3", "--journal", journal, "--status", "always", "--", "sh", "-c",
		"echo gen $MUSTER_GENERATION on $NODE_RANK pid $$; [ $MUSTER_GENERATION -ge 1 ] || exec sleep 1000"}
	root, addr := startRoot(t, args...)
	a := startAgent(t, addr, "a", "--stay")
	root.stderr.await(t, 1, "host a has joined")
	b := startAgent(t, addr, "b", "--stay")
	ranks := hold(t, root.stdout.await(t, 4, `\] gen 0 on \d pid (\d+)`))
	root.stderr.await(t, 1, `launch: 4 running \| generation 0`) // so the journal has all of them
	root.signal(syscall.SIGKILL)
	_ = root.end()
	again := startUnder(t, nil, "resume", journal, "--listen", addr)
	again.wants(0)
	ranks.gone(t) // before their hosts joined again
	again.stdout.await(t, 4, `\] gen [1-9] on \d`)
	for _, want := range []string{`launch: generation 0: ranks 0, 1 on a; ranks 2, 3 on b`, `launch: goes on as generation 1, with its journal in .*run\.from-1\.jsonl`} {
		again.stderr.await(t, 1, want)
	}
	for _, agent := range []*cli{a, b} {
		agent.signal(syscall.SIGINT)
		agent.wants(0)
	}
	code, _, stderr := here(t, "resume", tmp(t, "none.jsonl"))
	if code != 2 || !strings.Contains(stderr, "cannot be read") {
		t.Errorf("%d, %q", code, stderr)
	}
}

// TestResumeOfOneMachine: a group without hosts goes on as well.
func TestResumeOfOneMachine(t *testing.T) {
	processtest.Check(t)
	journal := tmp(t, "run.jsonl")
	c := startUnder(t, nil, "-n", "2", "--journal", journal, "--", "sh", "-c",
		"echo gen $MUSTER_GENERATION pid $$; [ $MUSTER_GENERATION = 1 ] || exec sleep 1000")
	ranks := hold(t, c.stdout.await(t, 2, `\] gen 0 pid (\d+)`))
	if code, _, stderr := here(t, "resume", journal); code != 2 || !strings.Contains(stderr, "its group is still running, see launch ps") {
		t.Errorf("%d, %q", code, stderr)
	}
	c.signal(syscall.SIGKILL)
	_ = c.end()
	ranks.ended(t) // by the watchdog
	again := startUnder(t, nil, "resume", journal)
	again.wants(0)
	again.stdout.await(t, 2, `\] gen 1 pid`)
	if code, _, stderr := here(t, "resume", strings.TrimSuffix(journal, ".jsonl")+".from-1.jsonl"); code != 2 || !strings.Contains(stderr, "has ended well") {
		t.Errorf("%d, %q", code, stderr)
	}
}

// TestLeaving: an agent that is told to leave does so at once; a root that is, takes all along.
func TestLeaving(t *testing.T) {
	processtest.Check(t)
	root, addr := startRoot(t, "--hosts", "2", "--max-restarts", "1", "--", "sh", "-c", "echo pid $$; exec sleep 1000")
	a := startAgent(t, addr, "a")
	root.stderr.await(t, 1, "host a has joined")
	b := startAgent(t, addr, "b")
	spare := startAgent(t, addr, "spare")
	first := hold(t, root.stdout.await(t, 2, `pid (\d+)`))
	root.stderr.await(t, 1, "host spare has joined")
	a.signal(syscall.SIGINT)
	a.wants(0)
	if want := "launch: interrupt: this host has left\n"; !strings.HasSuffix(a.stderr.String(), want) {
		t.Errorf("no %q", want)
	}
	second := hold(t, root.stdout.await(t, 4, `pid (\d+)`)[2:])
	first.gone(t)
	root.signal(syscall.SIGTERM)
	root.wants(143)
	b.wants(0)
	spare.wants(0)
	second.gone(t)
}

// TestLeavingGracefully: the ranks of a host that leaves have their grace, in which they are heard; the launch knows at once, starts
// nothing there, and goes on elsewhere when they have ended. That is one failure.
func TestLeavingGracefully(t *testing.T) {
	processtest.Check(t)
	report := tmp(t, "report.json")
	root, addr := startRoot(t, "--hosts", "2", "--per-host", "2", "--max-restarts", "1", "--report", report, "--", "sh", "-c",
		`trap 'echo saved $RANK; exit 3' TERM; echo gen $MUSTER_GENERATION; [ $MUSTER_GENERATION = 0 ] || exit 0; while :; do sleep 0.05; done`)
	a := startAgent(t, addr, "a")
	root.stderr.await(t, 1, "host a has joined")
	b := startAgent(t, addr, "b")
	root.stderr.await(t, 1, "host b has joined")
	spare := startAgent(t, addr, "spare")
	root.stderr.await(t, 1, "host spare has joined")
	root.stdout.await(t, 4, "gen 0")
	a.signal(syscall.SIGTERM)
	root.wants(0)
	for _, agent := range []*cli{a, b, spare} {
		agent.wants(0)
	}
	root.stdout.await(t, 4, "saved [0-3]") // those on the other host are stopped for the restart
	for _, want := range []string{
		`launch: host a leaves: its agent was stopped\n`, `launch: host a is lost: its agent was stopped\n`,
		`launch: rank [01] failed \(generation 0\): host a is lost: its agent was stopped \(with ranks 0-1\); restart 1 of 1`,
	} {
		root.stderr.await(t, 1, want)
	}
	want := "launch: terminated: leaving; ranks that run here are stopped (again to kill them)\n" +
		"launch: the launch is left when what runs for it has ended: 2 ranks\nlaunch: terminated: this host has left\n"
	if says := a.stderr.String(); !strings.HasSuffix(says, want) {
		t.Errorf("no %q in %q", want, says)
	}
	if r := readReport(t, report); r.Restarts != 1 || len(r.Failures) != 2 {
		t.Errorf("report %+v", r)
	}
}

// TestLeavingAtOnce: a second signal kills the ranks of a host that leaves, and a third leaves without waiting for that.
func TestLeavingAtOnce(t *testing.T) {
	processtest.Check(t)
	stubborn := []string{"--hosts", "1", "--grace", "1000s", "--lease", "1s", "--", "sh", "-c", `trap '' TERM; echo pid $$; while :; do sleep 0.05; done`}
	root, addr := startRoot(t, stubborn...)
	a := startAgent(t, addr, "a")
	ranks := hold(t, root.stdout.await(t, 1, `pid (\d+)`))
	a.signal(syscall.SIGTERM)
	root.stderr.await(t, 1, "host a leaves")
	a.signal(syscall.SIGINT)
	a.wants(0)
	ranks.gone(t)
	if want := "launch: interrupt: killing the ranks (again to leave at once)\n"; !strings.Contains(a.stderr.String(), want) {
		t.Errorf("no %q", want)
	}
	root.wants(1)

	root, addr = startRoot(t, stubborn...)
	a = startAgent(t, addr, "a")
	ranks = hold(t, root.stdout.await(t, 1, `pid (\d+)`))
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGCONT} {
		a.signal(sig) // it finds three at once
	}
	if code := a.end(); code <= 128 {
		t.Errorf("exit status %d, want that of a signal", code)
	}
	ranks.ended(t) // by the watchdog
	root.wants(1)
}

// TestLeavingAlone: an agent whose root does not answer asks its ranks to end, kills them after their grace, and leaves.
func TestLeavingAlone(t *testing.T) {
	processtest.Check(t)
	asked := tmp(t, "asked")
	root, addr := startRoot(t, "--hosts", "1", "--lease", "10m", "--", "sh", "-c",
		`trap 'echo asked >>"$0"' TERM; echo pid $$; while :; do sleep 0.05; done`, asked)
	a := startAgent(t, addr, "a", "--grace", "300ms")
	ranks := hold(t, root.stdout.await(t, 1, `pid (\d+)`))
	root.signal(syscall.SIGSTOP)
	a.signal(syscall.SIGTERM)
	a.wants(0)
	ranks.gone(t)
	if text, err := os.ReadFile(asked); string(text) != "asked\n" {
		t.Errorf("%q, %v: it is to be asked once", text, err)
	}
	root.signal(syscall.SIGKILL)
	_ = root.end()
}

// free is the address of a port on the loopback interface where nobody listens.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestAgentsAreInvited: agents that wait are called by a launch that knows where, whoever is started first.
func TestAgentsAreInvited(t *testing.T) {
	processtest.Check(t)
	at := []string{free(t), free(t)}
	invited := func(i int) *cli {
		return startUnder(t, nil, "agent", "--listen", at[i], "--name", string(rune('a'+i)), "--slots", "1")
	}
	a := invited(0)
	a.stderr.await(t, 1, `it waits at \S+ for a launch that invites it \(--agents\)`)
	root, addr := startRoot(t, "--hosts", "2", "--agents", strings.Join(at, ","), "--", "sh", "-c", "echo $RANK on $NODE_RANK")
	root.stderr.await(t, 1, "host a has joined")
	b := invited(1)
	root.wants(0)
	a.wants(0)
	b.wants(0)
	root.stdout.await(t, 1, `\[1\] 1 on 1`)
	b.stderr.await(t, 1, "joined the launch: "+addr)
}

// TestRegrow: a group that started with fewer hosts than it may have is restarted with more ranks when one joins, which uses no
// restart up.
func TestRegrow(t *testing.T) {
	processtest.Check(t)
	report := tmp(t, "report.json")
	root, addr := startRoot(t, "--hosts", "1:2", "--regrow", "--settle", "200ms", "--prefix", "%h: %r/%n ", "--report", report, "--", "sh", "-c",
		"echo gen $MUSTER_GENERATION of $WORLD_SIZE; [ $WORLD_SIZE = 2 ] || exec sleep 1000")
	a := startAgent(t, addr, "a")
	root.stdout.await(t, 1, `a: 0/1 gen 0 of 1`)
	b := startAgent(t, addr, "b")
	root.wants(0)
	a.wants(0)
	b.wants(0)
	root.stdout.await(t, 1, `a: 0/2 gen 1 of 2`)
	root.stdout.await(t, 1, `b: 1/2 gen 1 of 2`) // each rank where it runs
	root.stderr.await(t, 1, "launch: goes on with 2 ranks\n")
	if strings.Contains(root.stderr.String(), "waits for hosts") {
		t.Error("hosts are waited for twice")
	}
	r := readReport(t, report)
	if r.WorldSize != 2 || len(r.Failures) != 0 {
		t.Errorf("report %+v", r)
	}
	if why := r.Generations[1].Reason; why != "resized from 1 to 2: host b has joined" {
		t.Errorf("reason %q", why)
	}
}

// TestPlace: ranks fill one host before the next, or are spread evenly.
func TestPlace(t *testing.T) {
	processtest.Check(t)
	for place, want := range map[string]string{"pack": "0 on 0\n1 on 0\n2 on 1\n", "spread": "0 on 0\n1 on 1\n2 on 2\n"} {
		root, addr := startRoot(t, "--hosts", "3", "-n", "3", "--place", place, "--output", "raw", "--", "sh", "-c", "echo $RANK on $NODE_RANK")
		agents := []*cli{startAgent(t, addr, "a"), startAgent(t, addr, "b"), startAgent(t, addr, "c")}
		root.wants(0)
		for _, agent := range agents {
			agent.wants(0)
		}
		lines := slices.Sorted(strings.Lines(root.stdout.String()))
		if got := strings.Join(lines, ""); got != want {
			t.Errorf("%s: %q, want %q", place, got, want)
		}
	}
}

// TestAdvertise: root and agents are reached where they say, which is where ranks meet as well.
func TestAdvertise(t *testing.T) {
	processtest.Check(t)
	named := func(addr string) string { return strings.Replace(addr, "127.0.0.1", "localhost", 1) }
	at, agentAt := free(t), free(t)
	root := startUnder(t, nil, "--hosts", "1", "--listen", at, "--advertise", named(at), "--", "sh", "-c", "echo meet at $MASTER_ADDR")
	root.stderr.await(t, 1, "launch agent --join "+named(at)+"\n")
	a := startAgent(t, named(at), "a", "--listen", agentAt, "--advertise", named(agentAt))
	root.wants(0)
	a.wants(0)
	root.stdout.await(t, 1, `meet at localhost\n`)
}

// TestNoEtcd: a store that is not there is told of at once, and again when that is why nobody was found, with what to do; it keeps
// nobody from joining without it.
func TestNoEtcd(t *testing.T) {
	processtest.Check(t)
	store := free(t)
	says := regexp.QuoteMeta("launch: --etcd: discovery: the store is out of reach: "+store+": ") +
		`.*connection refused: it is waited for; see whether it runs there, or join without it \(launch agent --join\)\n`
	late := startUnder(t, nil, "--hosts", "1", "--listen", "127.0.0.1:0", "--etcd", store, "--cluster", "c", "--join-timeout", "5s", "--", "true")
	lost := startUnder(t, nil, "agent", "--listen", "127.0.0.1:0", "--etcd", store, "--cluster", "c", "--patience", "5s")
	root, addr := startRoot(t, "--hosts", "1", "--etcd", store, "--cluster", "c", "--", "true")
	root.stderr.await(t, 1, says)
	a := startAgent(t, addr, "a")
	root.wants(0)
	a.wants(0)
	late.wants(124)
	lost.wants(1)
	late.stderr.await(t, 1, says)
	lost.stderr.await(t, 1, says)
	late.stderr.await(t, 1, `1 host of 1 missing: none has joined; --etcd: discovery: the store is out of reach: .* refused; on each host run launch agent --join`)
	lost.stderr.await(t, 1, `no root was found in 5s .*; --etcd: discovery: the store is out of reach: .* refused\n`)
}

// TestAgentEnvironment: an agent that finds the variables of a launch is not misled by them, and its ranks find neither.
func TestAgentEnvironment(t *testing.T) {
	processtest.Check(t)
	root, addr := startRoot(t, "--hosts", "1", "--prefix", "%h ", "--", "sh", "-c", "echo $LAUNCH_LISTEN$LAUNCH_NAME$LAUNCH_MAX_RESTARTS$LAUNCH_AGENT_NAME.")
	for name, value := range map[string]string{
		"LAUNCH_LISTEN": "10.1.2.3:7070", "LAUNCH_NAME": "train", "LAUNCH_ADVERTISE": "10.1.2.3:7070", "LAUNCH_MAX_RESTARTS": "3",
		"LAUNCH_AGENT_NAME": "a", "LAUNCH_SLOTS": "1", "LAUNCH_JOIN": addr, "LAUNCH_AGENT_PATIENCE": "60s",
	} {
		t.Setenv(name, value)
	}
	a := startUnder(t, nil, "agent")
	root.wants(0)
	a.wants(0)
	root.stdout.await(t, 1, `a \.\n`)
	a.stderr.await(t, 1, "this host has 1 slot, ")
	t.Setenv("LAUNCH_AGENT_SLOTS", "none")
	if code, _, stderr := here(t, "agent"); code != 2 || !strings.Contains(stderr, `LAUNCH_AGENT_SLOTS: --slots "none": give the number of ranks`) {
		t.Errorf("%d, %q", code, stderr)
	}
}

// TestWaitHosts: a group that has too few hosts for a restart says what it waits for, and ends when they do not come.
func TestWaitHosts(t *testing.T) {
	processtest.Check(t)
	root, addr := startRoot(t, "--hosts", "2", "--wait-hosts", "1s", "--max-restarts", "3", "--", "sh", "-c", "echo up; exec sleep 1000")
	a := startAgent(t, addr, "a")
	b := startAgent(t, addr, "b")
	root.stdout.await(t, 2, "up")
	b.signal(syscall.SIGTERM)
	root.wants(124)
	a.wants(0)
	b.wants(0)
	root.stderr.await(t, 1, `launch: waits for hosts: room for 1 rank on 1 host, 2 needed; for 1s at the most\n`)
	root.stderr.await(t, 1, `launch: decided: restart \(restart 1 of 3\), and then: there is no room on the hosts: room for 1 rank on 1 host, 2 needed, after a wait of 1s; exit status 124`)
}

// TestWaitingIsReached: a launch that waits for its hosts is one of those that run: it is listed, and can be stopped.
func TestWaitingIsReached(t *testing.T) {
	processtest.Check(t)
	root, _ := startRoot(t, "--hosts", "2", "--name", "train", "--", "true")
	if table, _ := ask(t, 0, "ps"); !regexp.MustCompile(`\n\S+ +train +2 +waiting +0 +0 +\d+`).MatchString(table) {
		t.Errorf("%s", table)
	}
	if ranks, _ := ask(t, 0, "ps", "train"); !regexp.MustCompile(`\n1 +waiting +0 +0 `).MatchString(ranks) {
		t.Errorf("%s", ranks)
	}
	for _, verb := range [][]string{{"restart"}, {"dump", "0"}} {
		if _, says := ask(t, 1, verb...); !strings.Contains(says, "the group waits for its hosts, and has not begun") {
			t.Errorf("%q: %q", verb, says)
		}
	}
	ask(t, 0, "stop", "train")
	root.wants(143)
	if want := "launch: terminated: hosts are waited for no longer\n"; !strings.HasSuffix(root.stderr.String(), want) {
		t.Errorf("no %q", want)
	}
	if left := runsIn(t); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}

// TestEtcd: launches and agents find each other in an etcd, and an agent that stays finds the next launch.
func TestEtcd(t *testing.T) {
	processtest.Check(t)
	path, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("needs etcd: apt-get install etcd-server")
	}
	store, peers := free(t), "http://"+free(t)
	etcd := exec.Command(path, "--name", "one", "--data-dir", t.TempDir(), "--listen-client-urls", "http://"+store, "--advertise-client-urls", "http://"+store,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "one="+peers)
	if err := etcd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = etcd.Process.Kill()
		_ = etcd.Wait()
	})
	meet := []string{"--listen", "127.0.0.1:0", "--etcd", store, "--cluster", "c"}
	agent := func(name string, args ...string) *cli {
		return startUnder(t, nil, append(append([]string{"agent", "--name", name, "--slots", "1"}, meet...), args...)...)
	}
	a, b := agent("a"), agent("b", "--stay")
	for _, hosts := range []string{"2", "1"} {
		root := startUnder(t, nil, append(append([]string{"--hosts", hosts}, meet...), "--", "sh", "-c", "echo $RANK on $NODE_RANK")...)
		root.wants(0)
	}
	a.wants(0)
	b.stderr.await(t, 2, "launch: joined the launch: ")
	b.signal(syscall.SIGTERM)
	b.wants(0)
}

// TestOtherVersion: a host with another version of Muster, or another system, is told apart.
func TestOtherVersion(t *testing.T) {
	h := host.Host{Places: 2, Capacity: host.Capacity{CPUs: 1, GPUs: 2}, Containment: "group", Version: musterVersion(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if got := describeHost(h); got != "2 places, 1 CPU, 2 GPUs, group" {
		t.Error(got)
	}
	h.Version, h.System = "v0", "plan9/386"
	if got, want := describeHost(h), "2 places, 1 CPU, 2 GPUs, group, plan9/386, Muster v0, and here it is "+musterVersion(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSelf: the machine of the root is a host, too.
func TestSelf(t *testing.T) {
	processtest.Check(t)
	root, _ := startRoot(t, "--hosts", "1", "--per-host", "2", "--self", "--", "sh", "-c", "echo $RANK of $WORLD_SIZE")
	root.wants(0)
	root.stdout.await(t, 1, `\[1\] 1 of 2`)
}

// TestMistakesOfHosts: what cannot be is told before anything starts, with what to do about it.
func TestMistakesOfHosts(t *testing.T) {
	processtest.Check(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().String()
	for args, want := range map[string]string{
		"--hosts 2 true":                                        "--hosts 2: say with --listen HOST:PORT where the hosts join this launch",
		"--hosts 4:2 --listen 127.0.0.1:0 true":                 "--hosts 4:2: MAX is less than MIN: write 2:4",
		"--hosts x --listen 127.0.0.1:0 true":                   `--hosts "x": write a number of hosts, or MIN:MAX, such as 2:4`,
		"--per-host 4 true":                                     "--per-host 4: say with --listen HOST:PORT where hosts join this launch; on one machine, write -n 4",
		"--self true":                                           "--self: it is about hosts that join this launch",
		"-n 5 --hosts 2 --per-host 2 --listen 127.0.0.1:0 true": "--ranks 5: 2 hosts with 2 ranks each have room for 4",
		"--listen 10.1.2.3:7070 true":                           "--listen 10.1.2.3:7070: a group that others can reach wants certificates: launch certs",
		"--listen 0.0.0.0:7070 true":                            "--listen 0.0.0.0:7070: those are all addresses of this machine: say with --advertise",
		"--listen here true":                                    `--listen "here": write HOST:PORT`,
		"--listen " + taken + " true":                           "listens there: end that one, or choose another port",
		"--listen 127.0.0.1:0 --certs /nosuch true":             "--certs /nosuch: certs: open /nosuch/ca.pem: no such file or directory",
		"--listen 127.0.0.1:0 --tokens f true":                  "--tokens f: without --certs a token could be read on its way",
		"--listen 127.0.0.1:0 --place here true":                `--place "here": choose pack or spread`,
		"--listen 127.0.0.1:0 --lease 1ms true":                 "--lease 1ms: give from 500ms to 10m0s",
		"--listen 127.0.0.1:0 --regrow true":                    "--regrow: a group on 1 hosts never grows: write --hosts MIN:MAX",
		"--listen 127.0.0.1:0 --bind core true":                 "--bind core: it is about the processors of this machine",
		"--listen 127.0.0.1:0 --stdin 0 true":                   "--stdin 0: no rank of another machine reads",
		"--listen 127.0.0.1:0 --without cgroup true":            "--without cgroup: each host protects its own ranks",
		"--listen 127.0.0.1:0 --etcd 127.0.0.1:1 true":          "--etcd 127.0.0.1:1: say with --cluster NAME",
		"--listen 127.0.0.1:http true":                          `--listen "127.0.0.1:http": write HOST:PORT`,
		"--listen 127.0.0.1:0 --advertise here true":            `--advertise "here": write HOST:PORT as others dial it`,
		"--listen 127.0.0.1:0 --advertise 0.0.0.0:7070 true":    `--advertise "0.0.0.0:7070": write HOST:PORT as others dial it`,
		"--listen 127.0.0.1:0 --agents a:7071,b true":           `--agents "b": write HOST:PORT of each agent`,
		"agent --join 127.0.0.1:http":                           `--join "127.0.0.1:http": write HOST:PORT of the launch`,
		"agent --listen 127.0.0.1:0":                            "--listen 127.0.0.1:0: a launch that invites this agent (--agents) has to know its port",
		"agent --join 127.0.0.1:7070 --grace -1s":               "--grace -1s: a time cannot be negative",
		"agent":                      "agent: say with --join HOST:PORT which launch this host is for",
		"agent --join here":          `--join "here": write HOST:PORT of the launch`,
		"agent --join 10.1.2.3:7070": "--join 10.1.2.3:7070: a launch on another machine wants certificates",
		"agent --join 127.0.0.1:7070 --slots many":      `--slots "many": give the number of ranks that this host takes`,
		"agent --join 127.0.0.1:7070 true":              `agent: "true": it takes no command`,
		"agent --etcd 127.0.0.1:1 --cluster c":          "--etcd 127.0.0.1:1: say with --listen HOST:PORT where the launch reaches this agent",
		"agent --join 127.0.0.1:7070 --listen " + taken: "listens there: end that one, or choose another port",
		"certs dir": "certs: give a directory and the hosts",
		"resume":    "resume: give one journal",
	} {
		code, _, stderr := here(t, strings.Fields(args)...)
		if code != 2 || !strings.HasPrefix(stderr, "launch: ") || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit status %d, %q, want %q", args, code, stderr, want)
		}
	}
}

// TestNameTaken: a second host of a name waits until the first is gone, and says so; one with too few slots is told.
func TestNameTaken(t *testing.T) {
	processtest.Check(t)
	root, addr := startRoot(t, "--hosts", "1:2", "--per-host", "3", "--settle", "1000s", "--", "true")
	a := startAgent(t, addr, "a")
	root.stderr.await(t, 1, "host a has joined")
	twin := startAgent(t, addr, "a", "--patience", "2s")
	twin.wants(1)
	if !strings.Contains(twin.stderr.String(), "it refuses this host: there is a host a already") {
		t.Error("no reason")
	}
	b := startAgent(t, addr, "b")
	root.wants(2)
	a.wants(0)
	b.wants(0)
	if want := "host a: it has 2 slots, 3 are wanted: give its agent more (--slots), or take fewer ranks of each host"; !strings.Contains(root.stderr.String(), want) {
		t.Errorf("no %q", want)
	}
}
