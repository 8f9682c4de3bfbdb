package host_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/host"
	"github.com/go-muster/muster/actors/host/certs"
	"github.com/go-muster/muster/actors/host/internal/testnet"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// A deed is what a root helper is to do: run one group.
type deed struct {
	Listen   string
	Certs    string
	Hosts    int // it waits for so many
	PerHost  int
	MaxHosts int
	Lease    time.Duration
	Restarts int
	Spec     supervisor.Spec
	Map      int // this many arguments for a Go function, in place of the Spec
}

// A word is a line that a root helper writes: an event of its group, a line of a rank, something of its pool, or the end.
type word struct {
	Event  string          `json:",omitempty"`
	Rank   int             `json:",omitempty"`
	Gen    int             `json:",omitempty"`
	PID    int             `json:",omitempty"`
	Host   string          `json:",omitempty"`
	Line   string          `json:",omitempty"`
	Log    string          `json:",omitempty"`
	Reason string          `json:",omitempty"`
	Err    string          `json:",omitempty"`
	Report json.RawMessage `json:",omitempty"`
	Done   bool            `json:",omitempty"`
}

var rootHelper = processtest.Helper("root", func() {
	var d deed
	if err := json.Unmarshal([]byte(os.Args[1]), &d); err != nil {
		panic(err)
	}
	var mu sync.Mutex
	say := func(w word) {
		mu.Lock()
		defer mu.Unlock()
		b, _ := json.Marshal(w)
		_, _ = os.Stdout.Write(append(b, '\n'))
	}
	err := d.run(say)
	w := word{Done: true}
	if err != nil {
		w.Err = err.Error()
	}
	say(w)
})

// A sayer is a logger's handler.
type sayer struct {
	slog.Handler
	say func(word)
}

func (s sayer) Enabled(context.Context, slog.Level) bool { return true }
func (s sayer) Handle(_ context.Context, r slog.Record) error {
	s.say(word{Log: r.Message})
	return nil
}

func (d *deed) run(say func(word)) error {
	tls, err := certs.Load(d.Certs)
	if err != nil {
		return err
	}
	pool, err := host.Open(host.Config{
		Listen: d.Listen, TLS: tls, PerHost: d.PerHost, MaxHosts: d.MaxHosts, Lease: d.Lease, Logger: slog.New(sayer{say: say}),
	})
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pool.Await(context.Background(), d.Hosts, 0, 0); err != nil {
		return err
	}
	if d.Map > 0 {
		return d.double(pool, say)
	}
	if d.Restarts > 0 {
		d.Spec.Strategy = supervisor.AllForOne{Restarts: d.Restarts}
	}
	g, err := supervisor.Start(context.Background(), d.Spec, supervisor.WithLauncher(pool),
		supervisor.WithObserver(func(e supervisor.Event) {
			say(word{Event: string(e.Kind), Rank: e.Rank, Gen: e.Generation, PID: e.PID, Host: e.Host, Reason: e.Reason})
		}),
		supervisor.WithOutput(func(id process.ID, _ process.Stream, lines []byte) {
			for line := range strings.Lines(string(lines)) {
				say(word{Line: strings.TrimSuffix(line, "\n"), Rank: id.Rank, Gen: id.Generation})
			}
		}))
	if err != nil {
		return err
	}
	ctx, unhook := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer unhook()
	defer context.AfterFunc(ctx, func() { g.Stop("the test is over") })()
	err = g.Wait()
	report, _ := json.Marshal(g.Report())
	say(word{Report: report})
	return err
}

// double runs a Go function over the hosts, and says what each rank returned.
func (d *deed) double(pool *host.Pool, say func(word)) error {
	arguments := make([][]byte, d.Map)
	for rank := range arguments {
		arguments[rank] = bytes.Repeat([]byte{byte(rank)}, 1<<20)
	}
	results, err := supervisor.Map(context.Background(), d.Spec, double, arguments, supervisor.WithLauncher(pool))
	for rank, result := range results {
		say(word{Rank: rank, Line: fmt.Sprintf("%d bytes of %d", len(result), bytes.Count(result, []byte{byte(rank)}))})
	}
	return err
}

var agentHelper = processtest.Helper("agent", func() {
	tls, err := certs.Load(os.Args[1])
	if err == nil {
		ctx, unhook := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer unhook()
		err = host.Serve(ctx, host.AgentConfig{
			Join: os.Args[2], Name: os.Args[3], TLS: tls, Slots: 4, Stay: true, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
})

// A country is a root and hosts, each with a network namespace of its own.
type country struct {
	t      *testing.T
	net    *testnet.Net
	certs  string
	locks  string
	root   *program
	agents map[string]*program
}

// A program is a root or an agent that runs.
type program struct {
	*exec.Cmd
	stderr buffer
	words  chan word
	past   []word
	ended  chan struct{}
}

// A buffer may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newCountry is for a test that has called processtest.Check, or whose parent has.
func newCountry(t *testing.T, hosts ...string) *country {
	c := found(t, hosts...)
	for _, name := range hosts {
		c.startAgent(name)
	}
	return c
}

// found makes a country whose hosts have certificates and nothing else.
func found(t *testing.T, hosts ...string) *country {
	names := append([]string{"root"}, hosts...)
	c := &country{t: t, net: testnet.New(t, names...), certs: t.TempDir(), locks: t.TempDir(), agents: map[string]*program{}}
	var who []string
	for _, name := range names {
		who = append(who, name+","+c.net.Host(name).Addr())
	}
	if _, err := certs.Create(c.certs, who, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *country) rootAddr() string { return c.net.Host("root").Addr() + ":7070" }

func (c *country) startAgent(name string) {
	c.agents[name] = c.start(name, agentHelper, filepath.Join(c.certs, name), c.rootAddr(), name)
}

func (c *country) start(on, helper string, args ...string) *program {
	c.t.Helper()
	command := processtest.Command(c.t, helper, args...)
	p := &program{Cmd: exec.Command(command.Args[0], command.Args[1:]...), words: make(chan word, 1<<16), ended: make(chan struct{})}
	p.Env = append(os.Environ(), command.Env...)
	p.Stderr = &p.stderr
	p.WaitDelay = patience
	out, err := p.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.net.Host(on).Start(p.Cmd); err != nil {
		c.t.Fatal(err)
	}
	go func() { // ends with the program
		defer close(p.ended)
		defer close(p.words)
		p.read(out)
		_ = p.Wait()
	}()
	c.t.Cleanup(func() {
		_ = p.Process.Signal(syscall.SIGCONT)
		_ = p.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(patience):
			_ = p.Process.Kill()
			<-p.ended
			c.t.Errorf("the %s on %s does not end", helper, on)
		}
		if c.t.Failed() {
			c.t.Logf("%s on %s:\n%s", helper, on, p.stderr.String())
		}
	})
	return p
}

func (p *program) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var w word
		if json.Unmarshal(lines.Bytes(), &w) == nil {
			p.words <- w
		}
	}
}

// rule starts a root that runs a group.
func (c *country) rule(d deed) {
	d.Listen, d.Certs = c.rootAddr(), filepath.Join(c.certs, "root")
	text, err := json.Marshal(d)
	if err != nil {
		c.t.Fatal(err)
	}
	c.root = c.start("root", rootHelper, string(text))
}

// await waits for a word of the root.
func (c *country) await(what string, is func(word) bool) word {
	c.t.Helper()
	return c.within(patience, what, is)
}

func (c *country) within(patience time.Duration, what string, is func(word) bool) word {
	c.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case w, more := <-c.root.words:
			if !more {
				c.t.Fatalf("the root ended without: %s\n%s", what, c.root.tell())
			}
			c.root.past = append(c.root.past, w)
			if is(w) {
				return w
			}
		case <-late.C:
			c.t.Fatalf("after %v, still not: %s\n%s", patience, what, c.root.tell())
		}
	}
}

func (p *program) tell() string {
	var b strings.Builder
	for _, w := range p.past[max(0, len(p.past)-60):] {
		line, _ := json.Marshal(w)
		b.Write(append(line, '\n'))
	}
	return b.String() + p.stderr.String()
}

// up waits until ranks of a generation have said so.
func (c *country) up(generation, ranks int) {
	c.t.Helper()
	seen := map[int]bool{}
	c.await(fmt.Sprintf("%d ranks of generation %d are up", ranks, generation), func(w word) bool {
		if w.Line == "DOUBLE" {
			c.t.Errorf("rank %d runs twice (G-3)", w.Rank)
		}
		if w.Line == "up" && w.Gen == generation {
			seen[w.Rank] = true
		}
		return len(seen) == ranks
	})
}

func (c *country) log(prefix string) {
	c.t.Helper()
	c.await(prefix, func(w word) bool { return strings.HasPrefix(w.Log, prefix) })
}

// ranks is a command that says "up" and then runs for ever, unless another process is the same rank: they share a file system.
func (c *country) ranks(n int) []process.Command {
	return supervisor.Repeat(n, process.Command{Args: []string{"/bin/sh", "-c",
		`exec 9>"$0/$RANK"; flock -n 9 || { echo DOUBLE; exit 9; }; echo up; while :; do sleep 0.1; done`, c.locks}})
}

// lives lists the ranks that some process is.
func (c *country) lives() (ranks []string) {
	files, _ := filepath.Glob(filepath.Join(c.locks, "*"))
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			ranks = append(ranks, filepath.Base(name))
		}
		f.Close()
	}
	return ranks
}

const shortLease = 2 * time.Second

// TestHostFailures: whatever becomes of a host, its ranks are ended, then started on a spare one, and never run twice; one that
// comes back comes back with nothing (launchers B16; F-25).
func TestHostFailures(t *testing.T) {
	processtest.Check(t)
	for _, row := range []struct {
		name       string
		harm, undo func(c *country, victim string)
	}{
		{"the agent is killed", func(c *country, victim string) { _ = c.agents[victim].Process.Kill() }, func(c *country, victim string) { c.startAgent(victim) }},
		{"the agent is stopped", func(c *country, victim string) { _ = c.agents[victim].Process.Signal(syscall.SIGSTOP) },
			func(c *country, victim string) { _ = c.agents[victim].Process.Signal(syscall.SIGCONT) }},
		{"the host's interface is down", func(c *country, victim string) { _ = c.net.Host(victim).Down() }, func(c *country, victim string) { _ = c.net.Host(victim).Up() }},
		{"its agent is told to leave while it is cut off", func(c *country, victim string) {
			c.net.Host(victim).Cut()
			_ = c.agents[victim].Process.Signal(syscall.SIGTERM)
		}, func(c *country, victim string) {
			<-c.agents[victim].ended // it waits for no root
			c.net.Host(victim).Heal()
			c.startAgent(victim)
		}},
		{"the host is cut off", func(c *country, victim string) { c.net.Host(victim).Cut() }, func(c *country, victim string) { c.net.Host(victim).Heal() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel() // each waits for a lease most of the time
			c := newCountry(t, "a", "b", "c", "d")
			c.rule(deed{Hosts: 4, PerHost: 2, MaxHosts: 3, Lease: shortLease, Restarts: 2, Spec: supervisor.Spec{Ranks: c.ranks(6), Grace: time.Second}})
			c.up(0, 6)
			victim := c.hostOf(4)
			row.harm(c, victim)
			c.log("host " + victim + " is lost: ")
			c.up(1, 6)
			if n := len(c.lives()); n != 6 {
				t.Errorf("%d ranks are alive, want 6", n)
			}
			row.undo(c, victim)
			c.log("host " + victim + " has joined")
			_ = c.root.Process.Signal(syscall.SIGTERM)
			w := c.await("the end", func(w word) bool { return w.Report != nil })
			var report struct {
				Failures []struct{ Kind, Error, Host string }
			}
			if err := json.Unmarshal(w.Report, &report); err != nil {
				t.Fatal(err)
			}
			origins := 0
			for _, f := range report.Failures {
				if f.Kind == "origin" {
					origins++
				}
			}
			if origins != 1 || !strings.Contains(report.Failures[0].Error, "host "+victim+" is lost") || report.Failures[0].Host != victim {
				t.Errorf("one lost host is one failure: %+v", report.Failures)
			}
		})
	}
}

// hostOf returns the host on which a rank was started last, or is about to be told of.
func (c *country) hostOf(rank int) string {
	c.t.Helper()
	is := func(w word) bool { return w.Event == "started" && w.Rank == rank }
	for _, w := range slices.Backward(c.root.past) {
		if is(w) {
			return w.Host
		}
	}
	return c.await(fmt.Sprintf("rank %d is started", rank), is).Host
}

// TestShortPartition: a host that is cut off for less than its lease is not lost, and nothing that its ranks said meanwhile.
func TestShortPartition(t *testing.T) {
	processtest.Check(t)
	c := newCountry(t, "a", "b")
	const lines = 200
	c.rule(deed{Hosts: 2, PerHost: 1, Lease: 30 * time.Second, Spec: supervisor.Spec{Ranks: supervisor.Repeat(2, process.Command{
		Args: []string{"/bin/sh", "-c", fmt.Sprintf(`i=0; while [ $i -lt %d ]; do echo $i; i=$((i+1)); sleep 0.02; done; exit 0`, lines)},
	})}})
	next := [2]int{}
	in := func(w word) {
		if w.Line == "" {
			return
		}
		if w.Line != fmt.Sprint(next[w.Rank]) {
			t.Errorf("rank %d says %s, want %d", w.Rank, w.Line, next[w.Rank])
		}
		next[w.Rank]++
	}
	c.await("both have begun", func(w word) bool { in(w); return next[0] > 5 && next[1] > 5 })
	b := c.net.Host("b")
	b.Cut()
	ahead := next[0] + 60 // the other one goes on
	rank := 0
	if c.hostOf(0) == "b" {
		rank, ahead = 1, next[1]+60
	}
	c.await("the other rank goes on", func(w word) bool { in(w); return next[rank] > ahead })
	b.Heal()
	done := c.await("the end", func(w word) bool { in(w); return w.Done })
	if done.Err != "" || next != [2]int{lines, lines} {
		t.Errorf("error %q, %v lines, want %d each", done.Err, next, lines)
	}
}

// TestSlowNetwork: on a network that loses frames and holds others back everything arrives, and nobody is lost.
func TestSlowNetwork(t *testing.T) {
	processtest.Check(t)
	c := newCountry(t, "a", "b")
	for _, name := range []string{"a", "b"} {
		c.net.Host(name).Impair(0.02, 20*time.Millisecond)
	}
	c.rule(deed{Hosts: 2, PerHost: 2, Lease: 10 * time.Second, Spec: supervisor.Spec{Ranks: supervisor.Repeat(4, process.Command{
		Args: []string{"/bin/sh", "-c", `seq 5000`},
	})}})
	next := [4]int{}
	done := c.await("the end", func(w word) bool {
		if w.Line != "" {
			if next[w.Rank]++; w.Line != fmt.Sprint(next[w.Rank]) {
				t.Fatalf("rank %d says %s, want %d", w.Rank, w.Line, next[w.Rank])
			}
		}
		return w.Done
	})
	if done.Err != "" || next != [4]int{5000, 5000, 5000, 5000} {
		t.Errorf("error %q, %v lines", done.Err, next)
	}
}

// TestRootKilled: agents that lose their root end its ranks when their lease is over, and serve the next one with nothing of the
// old one alive.
func TestRootKilled(t *testing.T) {
	processtest.Check(t)
	for name, harm := range map[string]func(*country){
		"killed":  func(c *country) { _ = c.root.Process.Kill() },
		"stopped": func(c *country) { _ = c.root.Process.Signal(syscall.SIGSTOP) },
		"cut off": func(c *country) { c.net.Host("root").Cut() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCountry(t, "a", "b")
			c.rule(deed{Hosts: 2, PerHost: 2, Lease: shortLease, Spec: supervisor.Spec{Ranks: c.ranks(4), Grace: time.Second}})
			c.up(0, 4)
			harm(c)
			processtest.Eventually(t, "the ranks are ended", func() bool { return len(c.lives()) == 0 })
			first := c.root
			_ = first.Process.Kill()
			<-first.ended
			c.net.Host("root").Heal()
			c.rule(deed{Hosts: 2, PerHost: 2, Lease: shortLease, Spec: supervisor.Spec{Ranks: c.ranks(4), Grace: time.Second}})
			c.up(0, 4)
		})
	}
}

// TestDDP: PyTorch's DistributedDataParallel on four hosts with four ranks each, unchanged.
func TestDDP(t *testing.T) {
	if testing.Short() {
		t.Skip("sixteen interpreters with PyTorch take their time")
	}
	const python = "/usr/bin/python3" // Debian's: the one that has torch
	if err := exec.Command(python, "-c", "import torch").Run(); err != nil {
		t.Skipf("needs python3-torch: %v", err)
	}
	script, err := filepath.Abs("../../examples/train/torch/train_ddp.py")
	if err != nil {
		t.Fatal(err)
	}
	processtest.Check(t)
	c := newCountry(t, "a", "b", "c", "d")
	c.rule(deed{Hosts: 4, PerHost: 4, Lease: 20 * time.Second, Spec: supervisor.Spec{StartTimeout: 5 * time.Minute, Ranks: supervisor.Repeat(16, process.Command{
		Args: []string{python, script, "--epochs", "4"}, Env: []string{"GLOO_SOCKET_IFNAME=eth0", "OMP_NUM_THREADS=1"},
	})}})
	done := c.within(5*time.Minute, "the end", func(w word) bool { return w.Done })
	if done.Err != "" {
		t.Errorf("error %s\n%s", done.Err, c.root.tell())
	}
}

// TestElastic: a group that loses a host goes on with fewer ranks, and with more when the host is back, which uses no budget; the
// reasons are recorded (F-20).
func TestElastic(t *testing.T) {
	processtest.Check(t)
	c := newCountry(t, "a", "b", "c")
	c.rule(deed{Hosts: 3, PerHost: 2, Lease: shortLease, Restarts: 1, Spec: supervisor.Spec{
		Ranks: c.ranks(6), MinRanks: 4, Grace: time.Second, Elastic: supervisor.Elastic{Fit: true, Regrow: true, Settle: time.Second},
	}})
	c.up(0, 6)
	victim := c.hostOf(5)
	c.net.Host(victim).Cut()
	c.await("fewer ranks", func(w word) bool {
		return w.Event == "resized" && strings.Contains(w.Reason, "host "+victim+" is lost")
	})
	c.up(1, 4)
	c.net.Host(victim).Heal()
	c.await("more ranks", func(w word) bool {
		return w.Event == "resized" && strings.Contains(w.Reason, "host "+victim+" has joined")
	})
	c.up(2, 6)
}

// TestRootCutOff: a root that is cut off from all its hosts loses them, waits, and goes on when they are back.
func TestRootCutOff(t *testing.T) {
	processtest.Check(t)
	c := newCountry(t, "a", "b")
	c.rule(deed{Hosts: 2, PerHost: 2, Lease: shortLease, Restarts: 3, Spec: supervisor.Spec{Ranks: c.ranks(4), Grace: time.Second}})
	c.up(0, 4)
	c.net.Host("root").Cut()
	c.await("it waits for room", func(w word) bool { return w.Event == "waiting" && strings.Contains(w.Reason, "room") })
	processtest.Eventually(t, "the ranks are ended", func() bool { return len(c.lives()) == 0 })
	c.net.Host("root").Heal()
	c.up(1, 4)
}

// TestAgentLeaves: an agent that is told to leave stops its ranks and says so: the root waits for no lease.
func TestAgentLeaves(t *testing.T) {
	processtest.Check(t)
	c := newCountry(t, "a", "b", "c")
	c.rule(deed{Hosts: 3, PerHost: 2, MaxHosts: 2, Lease: host.MaxLease, Restarts: 1, Spec: supervisor.Spec{Ranks: c.ranks(4), Grace: time.Second}})
	c.up(0, 4)
	victim := c.hostOf(3)
	_ = c.agents[victim].Process.Signal(syscall.SIGTERM)
	c.log("host " + victim + " leaves: its agent was stopped")
	c.log("host " + victim + " is lost: its agent was stopped")
	c.up(1, 4)
}

// TestAnotherName: a host is who its certificate says.
func TestAnotherName(t *testing.T) {
	processtest.Check(t)
	c := newCountry(t, "a")
	c.rule(deed{Hosts: 2, PerHost: 1, Spec: supervisor.Spec{Ranks: c.ranks(2)}})
	c.log("host a has joined")
	b := c.start("a", agentHelper, filepath.Join(c.certs, "a"), c.rootAddr(), "b")
	c.log("host b (")
	<-b.ended
	if text := b.stderr.String(); !strings.Contains(text, "it says that it is b, and its certificate that it is a") {
		t.Errorf("the agent says:\n%s", text)
	}
	_ = c.root.Process.Kill() // it waits for a second host
}

// TestFunctionsOnFourHosts: a Go function with arguments and results of megabytes, on four hosts with four ranks each.
func TestFunctionsOnFourHosts(t *testing.T) {
	processtest.Check(t)
	c := newCountry(t, "a", "b", "c", "d")
	c.rule(deed{Hosts: 4, PerHost: 4, Lease: 20 * time.Second, Map: 16})
	ranks := map[int]bool{}
	done := c.await("the end", func(w word) bool {
		if want := fmt.Sprintf("%d bytes of %d", 2<<20, 2<<20); w.Line != "" {
			if ranks[w.Rank] = true; w.Line != want {
				t.Errorf("rank %d returned %s, want %s", w.Rank, w.Line, want)
			}
		}
		return w.Done
	})
	if done.Err != "" || len(ranks) != 16 {
		t.Errorf("error %q, %d results", done.Err, len(ranks))
	}
}

// examples builds programs of examples/.
func examples(t *testing.T, names ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range names {
		if out, err := exec.Command("go", "build", "-o", dir, "../../examples/"+name).CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", name, err, out)
		}
	}
	return dir
}

// on starts any program on a host, and returns what it has written when it has ended, as it has to do well.
func (c *country) on(host string, args ...string) (ended func() string) {
	c.t.Helper()
	var out, stderr buffer
	p := exec.Command(args[0], args[1:]...)
	p.Stdout, p.Stderr = &out, &stderr
	if err := c.net.Host(host).Start(p); err != nil {
		c.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = p.Process.Kill() })
	return sync.OnceValue(func() string {
		c.t.Helper()
		defer late.Stop()
		if err := p.Wait(); err != nil {
			c.t.Errorf("%q on %s: %v\n%s%s", args, host, err, out.String(), stderr.String())
		}
		return out.String()
	})
}

// TestExamplesOnFourHosts: the example in Go, and launch with an agent on each host, run four ranks on each of four hosts.
func TestExamplesOnFourHosts(t *testing.T) {
	processtest.Check(t)
	names := []string{"a", "b", "c", "d"}
	c := found(t, names...)
	bin, runs := examples(t, "hosts", "launch"), t.TempDir()
	if err := os.Chmod(runs, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LAUNCH_RUN_DIR", runs)
	run := func(root []string, agent func(name string) []string) string {
		var agents []func() string
		out := c.on("root", root...)
		for _, name := range names {
			agents = append(agents, c.on(name, agent(name)...))
		}
		text := out()
		for _, ended := range agents {
			ended()
		}
		return text
	}
	hosts := filepath.Join(bin, "hosts")
	got := run([]string{hosts, "root", c.rootAddr(), "4", c.certs + "/root"}, func(name string) []string {
		return []string{hosts, "agent", c.rootAddr(), name, c.certs + "/" + name}
	})
	if !strings.HasSuffix(got, "\n33860 primes below 400000\n") {
		t.Errorf("hosts: %q", got)
	}
	launch := filepath.Join(bin, "launch")
	got = run([]string{launch, "--hosts", "4", "--per-host", "4", "--listen", c.rootAddr(), "--certs", c.certs + "/root", "--output", "raw", "--",
		"sh", "-c", "echo $RANK is $LOCAL_RANK on $NODE_RANK, and meets at $MASTER_ADDR"}, func(name string) []string {
		return []string{launch, "agent", "--join", c.rootAddr(), "--slots", "4", "--certs", c.certs + "/" + name}
	})
	lines := slices.Sorted(strings.Lines(got))
	meet := strings.Fields(lines[0])[8]
	for rank := range 16 {
		if want := fmt.Sprintf("%d is %d on %d, and meets at %s\n", rank, rank%4, rank/4, meet); !slices.Contains(lines, want) {
			t.Errorf("no %q in %q", want, lines)
		}
	}
	if !strings.HasPrefix(meet, "10.77.0.") || len(lines) != 16 {
		t.Errorf("launch: %q", lines)
	}
}
