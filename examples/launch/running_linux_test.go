package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/examples/launch/internal/runs"
)

// ask is a launch about running groups that has ended.
func ask(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	c := prepare(t, nil, args...)
	c.begin()
	c.wants(code)
	return c.stdout.String(), c.stderr.String()
}

// runsIn are the entries of the test's directory of runs.
func runsIn(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(runDir(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// While it runs, a group is listed, in a table and in JSON; then nothing is left of it.
func TestPs(t *testing.T) {
	c := start(t, "-n", "2", "--name", "train", "--", "sh", "-c", polite)
	c.stdout.await(t, 2, ready)
	processtest.Eventually(t, "the group is running", func() bool {
		table, _ := ask(t, 0, "ps")
		return regexp.MustCompile(`^RUN +NAME +RANKS +STATE +GENERATION +RESTARTS +UPTIME +COMMAND\n` +
			`\S+ +train +2 +running +0 +0 +\d+m?s +sh -c .*\n$`).MatchString(table)
	})
	var list []runs.Status
	text, _ := ask(t, 0, "ps", "--json")
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 1 || list[0].PID != c.cmd.Process.Pid || list[0].Size != 2 {
		t.Errorf("%v in %s", err, text)
	}
	for _, args := range [][]string{{"ps", "train"}, {"ps", list[0].Run[:len(list[0].Run)-1]}, {"status"}, {"status", "tr"}} {
		ranks, _ := ask(t, 0, args...)
		if !regexp.MustCompile(`^RANK +STATE.*\n0 +running +0 +0 +\d+ .*\n1 +running +0 +0 +\d+ .*\n$`).MatchString(ranks) {
			t.Errorf("%q: %s", args, ranks)
		}
	}
	var one runs.Status
	text, _ = ask(t, 0, "ps", "train", "--json")
	if err := json.Unmarshal([]byte(text), &one); err != nil || len(one.Members) != 2 || one.Members[1].State != "running" {
		t.Errorf("%v in %s", err, text)
	}
	if names, _ := ask(t, 0, "__complete", "stop", ""); !strings.HasPrefix(names, one.Run+"\ttrain\n:") {
		t.Errorf("%s", names)
	}
	_, says := ask(t, 1, "ps", "other")
	if !strings.HasPrefix(says, `launch: no such run: "other": there is `+one.Run+" (train)\n") {
		t.Errorf("%q", says)
	}
	c.signal(unix.SIGTERM)
	c.wants(143)
	if left := runsIn(t); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
	if table, _ := ask(t, 0, "ps"); strings.Count(table, "\n") != 1 {
		t.Errorf("%s", table)
	}
	if _, says := ask(t, 1, "logs"); says != "launch: no such run: no group of yours is running\n" {
		t.Errorf("%q", says)
	}
}

// Ranks that have a role are listed with it.
func TestPsOfRoles(t *testing.T) {
	c := start(t, "-n", "2", "--role", "trainer", "--", "sh", "-c", polite)
	c.stdout.await(t, 2, ready)
	ranks, _ := ask(t, 0, "status")
	if !regexp.MustCompile(`^RANK +ROLE +STATE.*\n0 +trainer/0 +\S+ +0 .*\n1 +trainer/1 +\S+ +0 .*\n$`).MatchString(ranks) {
		t.Errorf("%s", ranks)
	}
	c.signal(unix.SIGTERM)
	c.wants(143)
}

// Two groups of one name must be told apart; what begins the names of both is neither.
func TestAmbiguousRun(t *testing.T) {
	a := start(t, "--name", "train", "--", "sh", "-c", polite)
	b := startUnder(t, nil, "--name", "train", "--", "sh", "-c", polite)
	a.stdout.await(t, 1, ready)
	b.stdout.await(t, 1, ready)
	if _, says := ask(t, 1, "stop", "tr"); !strings.Contains(says, `"tr" is more than one: `) || strings.Count(says, "(train)") != 2 {
		t.Errorf("%q", says)
	}
	if _, says := ask(t, 1, "stop"); !strings.Contains(says, "say which: ") {
		t.Errorf("%q", says)
	}
	for _, c := range []*cli{a, b} {
		c.signal(unix.SIGTERM)
		c.wants(143)
	}
}

// launch stop is a SIGTERM that waits for the end; asked again it asks for no more, and --kill leaves no grace.
func TestStopByName(t *testing.T) {
	report := tmp(t, "report.json")
	c := start(t, "--name", "rude", "--grace", "1h", "--report", report, "--", "sh", "-c", rude)
	rank := hold(t, c.stdout.await(t, 1, ready))
	for range 3 {
		polite := prepare(t, nil, "stop", "rude")
		polite.begin()
		polite.stderr.await(t, 1, `launch: stopping \S+\n`)
		defer polite.wants(0)
	}
	if err := unix.PidfdSendSignal(rank[0], 0, nil, 0); err != nil {
		t.Errorf("the rank: %v", err)
	}
	ask(t, 0, "stop", "--kill", "rude")
	rank.gone(t)
	c.wants(143)
	if r := readReport(t, report); r.Outcome != "interrupted" || r.ExitCode != 143 {
		t.Errorf("report %+v", r)
	}
	if says := c.stderr.String(); strings.Count(says, ": stopping the ranks (launch stop --kill to kill them)\n") != 1 ||
		strings.Count(says, ": killing the ranks (Ctrl-C to leave at once)\n") != 1 {
		t.Errorf("%s", says)
	}
}

// Logs are what was written before, and with -f what comes, to the last line, in each generation. They come from memory, or
// from the files that there are.
func TestLogs(t *testing.T) {
	for name, more := range map[string][]string{"memory": nil, "files": {"--log-dir", t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			c := start(t, append(more, "-n", "2", "--max-restarts", "1", "--output", "none", "--", "sh", "-c", `
				echo begin $RANK.$TORCHELASTIC_RESTART_COUNT; echo wrong $RANK >&2
				[ $RANK$TORCHELASTIC_RESTART_COUNT = 10 ] && exit 3
				trap "printf 'last word'; exit 0" USR1; echo ready $$; while :; do sleep 1000 & wait $!; done`)...)
			all, one := prepare(t, nil, "logs", "-f"), prepare(t, nil, "logs", "-f", "1")
			processtest.Eventually(t, "the run is there", func() bool { return len(runsIn(t)) > 0 })
			all.begin()
			one.begin()
			all.stdout.await(t, 2, `ready \d+\n`)
			all.stdout.await(t, 1, `\[1\] begin 1.1\n`)
			one.stdout.await(t, 1, `ready \d+\n`)
			before, _ := ask(t, 0, "logs", "0")
			if !strings.Contains(before, "begin 0.1\n") || strings.Contains(before, "begin 1") {
				t.Errorf("%q", before)
			}
			if _, says := ask(t, 1, "logs", "2"); says != "launch: there is no rank 2: the last one is 1\n" {
				t.Errorf("%q", says)
			}
			c.signal(unix.SIGUSR1)
			c.wants(0)
			all.wants(0)
			one.wants(0)
			if got := all.stdout.String(); strings.Count(got, "last word") != 2 || !strings.Contains(got, "[1] begin 1.0\n") {
				t.Errorf("%q", got)
			}
			if got := one.stdout.String(); !strings.HasSuffix(got, "last word") || strings.Contains(got, "begin 0") {
				t.Errorf("%q", got)
			}
			if got := all.stderr.String(); strings.Count(got, "wrong 1\n") != 2 {
				t.Errorf("%q", got)
			}
		})
	}
}

// Who follows may be interrupted, which is nothing to the group.
func TestInterruptedLogs(t *testing.T) {
	c := start(t, "--", "sh", "-c", polite)
	c.stdout.await(t, 1, ready)
	for signal, code := range map[unix.Signal]int{unix.SIGINT: 130, unix.SIGTERM: 143} {
		logs := prepare(t, nil, "logs", "-f")
		logs.begin()
		logs.stdout.await(t, 1, ready)
		logs.signal(signal)
		logs.wants(code)
	}
	ask(t, 0, "stop")
	c.wants(143)
}

// A group without a name is called after its script, module or program: that is what people call it.
func TestNameOfAGroup(t *testing.T) {
	for line, want := range map[string]string{
		"python3 -u examples/train.py --lr 1": "train.py", "/usr/bin/python3 -m pkg.train": "pkg.train", "python3 script -m x": "python3",
		"python3 -c pass": "python3", "/opt/bin/worker --of train.py": "worker", "./run.py": "run.py", "python3 -m": "python3",
	} {
		if got := nameOf(strings.Fields(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// A rank that writes more than is kept loses its oldest lines, and logs say how much.
func TestLogsAreBounded(t *testing.T) {
	c := start(t, "--output", "none", "--", "sh", "-c",
		`echo first; i=0; while [ $i -lt 2000 ]; do echo "a line of one hundred bytes, or about as many as that, of which there are more than are kept: $i"; i=$((i+1)); done; echo the end; exec sleep 1000`)
	var out, says string
	processtest.Eventually(t, "all is written", func() bool {
		if len(runsIn(t)) == 0 {
			return false
		}
		out, says = ask(t, 0, "logs")
		return strings.HasSuffix(out, "[0] the end\n")
	})
	if strings.Contains(out, "first") || len(out) < 32<<10 || len(out) > 80<<10 || !strings.Contains(says, "bytes are not kept any more") {
		t.Errorf("%d bytes, %q", len(out), says)
	}
	ask(t, 0, "stop")
	c.wants(143)
}

// A dump is the stacks of a rank that runs on.
func TestDumpByName(t *testing.T) {
	c := start(t, "-n", "2", "--name", "py", "--", "python3", "-c",
		"def deep():\n  import time; print('ready', flush=True); time.sleep(1000)\ndeep()")
	c.stdout.await(t, 2, `ready\n`)
	if text, _ := ask(t, 0, "dump", "1"); !strings.Contains(text, "in deep") {
		t.Errorf("%q", text)
	}
	for _, args := range [][]string{{"dump"}, {"dump", "py"}, {"dump", "py", "0,1"}, {"dump", "py", "x"}, {"stop", "py", "1"}, {"ps", "--all"}} {
		if _, says := ask(t, 2, args...); strings.Count(says, "\n") != 1 {
			t.Errorf("%q: %q", args, says)
		}
	}
	ask(t, 0, "stop", "--kill")
	c.wants(143)
}

// A restart by name is the next generation, and uses none of the restarts that failures have.
func TestRestartByName(t *testing.T) {
	c := start(t, "-n", "2", "--name", "train", "--max-restarts", "0", "--", "sh", "-c", `echo ready $TORCHELASTIC_RESTART_COUNT; exec sleep 1000`)
	c.stdout.await(t, 2, `ready 0\n`)
	processtest.Eventually(t, "the group is running", func() bool {
		table, _ := ask(t, 0, "ps")
		return strings.Contains(table, " running ")
	})
	if _, says := ask(t, 0, "restart", "train"); !regexp.MustCompile(`^launch: restarting all ranks of \S+\n$`).MatchString(says) {
		t.Errorf("%q", says)
	}
	c.stdout.await(t, 2, `ready 1\n`)
	processtest.Eventually(t, "the group is running again", func() bool {
		table, _ := ask(t, 0, "ps")
		return regexp.MustCompile(` running +1 +1 `).MatchString(table)
	})
	if _, says := ask(t, 0, "restart", "1"); !regexp.MustCompile(`^launch: restarting rank 1 of \S+\n$`).MatchString(says) {
		t.Errorf("%q", says)
	}
	c.stdout.await(t, 1, `\[1\] ready 2\n`)
	if strings.Contains(c.stdout.String(), "[0] ready 2") {
		t.Error("the other rank was restarted, too")
	}
	processtest.Eventually(t, "one rank is of the next generation", func() bool {
		ranks, _ := ask(t, 0, "ps", "train")
		return regexp.MustCompile(`\n0 +running +1 +1 .*\n1 +running +2 +2 `).MatchString(ranks)
	})
	if _, says := ask(t, 1, "restart", "2"); strings.Count(says, "\n") != 1 || !strings.Contains(says, "2") {
		t.Errorf("%q", says)
	}
	ask(t, 0, "stop")
	c.wants(143)
}

// After SIGKILL the directory of a run is stale, and removed by whoever looks: never that of one that lives, not even one that
// does not answer.
func TestStaleRun(t *testing.T) {
	c := start(t, "--name", "killed", "--", "sh", "-c", polite)
	c.stdout.await(t, 1, ready)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
	if len(runsIn(t)) != 1 {
		t.Fatalf("%q", runsIn(t))
	}
	foreign := filepath.Join(runDir(t), "notes")
	if err := os.MkdirAll(filepath.Join(foreign, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	next := startUnder(t, nil, "--name", "stopped", "--", "sh", "-c", polite)
	next.stdout.await(t, 1, ready)
	if left := runsIn(t); len(left) != 2 || left[1] != "notes" && left[0] != "notes" {
		t.Errorf("%q", left)
	}
	next.signal(unix.SIGSTOP)
	if table, _ := ask(t, 0, "ps"); !strings.Contains(table, " stopped ") || !strings.Contains(table, " silent ") {
		t.Errorf("%s", table)
	}
	next.signal(unix.SIGCONT)
	next.signal(unix.SIGTERM)
	next.wants(143)
	if _, err := os.Stat(filepath.Join(foreign, "deep")); err != nil {
		t.Error(err)
	}
}

// The directory goes on the last way out, too (T29).
func TestThirdSignalLeavesNoRun(t *testing.T) {
	c := start(t, "--grace", "1h", "--", "sh", "-c", rude)
	c.stdout.await(t, 1, ready)
	c.signal(unix.SIGSTOP) // so that all three are there at once
	for range 3 {
		c.signal(unix.SIGINT)
		c.signal(unix.SIGTERM)
		c.signal(unix.SIGHUP)
	}
	c.signal(unix.SIGCONT)
	c.end()
	if left := runsIn(t); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}

// A directory of runs that others may use, or have made, is not used: one that was chosen must be good, before anything starts.
func TestUnsafeRunDir(t *testing.T) {
	for name, test := range map[string]struct {
		make func(t *testing.T, dir string) error
		says string
	}{
		"open to others":  {func(_ *testing.T, dir string) error { return os.Mkdir(dir, 0o777) }, "is open to others"},
		"a symbolic link": {func(t *testing.T, dir string) error { return os.Symlink(t.TempDir(), dir) }, "is a symbolic link"},
		"a file":          {func(_ *testing.T, dir string) error { return os.WriteFile(dir, nil, 0o600) }, "not a directory"},
		"somebody else's": {func(t *testing.T, dir string) error {
			if os.Geteuid() != 0 {
				t.Skip("only root can make a directory of somebody else's")
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.Chown(dir, 65534, 65534)
		}, "belongs to user 65534"},
	} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			dir := tmp(t, "runs")
			old := unix.Umask(0)
			err := test.make(t, dir)
			unix.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("LAUNCH_RUN_DIR", dir)
			if code, _, says := here(t, "true"); code != 2 || !strings.Contains(says, test.says) || strings.Count(says, "\n") != 1 {
				t.Errorf("%d, %q", code, says)
			}
			if _, says := ask(t, 1, "ps"); name != "a file" && !strings.Contains(says, test.says) {
				t.Errorf("%q", says)
			}
		})
	}
}

// The path of the socket may be longer than the address of one.
func TestLongRunDir(t *testing.T) {
	processtest.Check(t)
	dir := tmp(t, strings.Repeat("long", 40))
	t.Setenv("LAUNCH_RUN_DIR", dir)
	c := startUnder(t, nil, "--", "sh", "-c", polite)
	c.stdout.await(t, 1, ready)
	ask(t, 0, "stop")
	c.wants(143)
}

// What does not speak the protocol is told so, or cut off, and the group is none the worse.
func TestBadRequests(t *testing.T) {
	c := start(t, "--", "sh", "-c", polite)
	c.stdout.await(t, 1, ready)
	socket := filepath.Join(runDir(t), runsIn(t)[0], "socket")
	for text, want := range map[string]string{
		"{}\n":                              "knows no",
		"no JSON\n":                         "no request: invalid",
		`{"op":"dump","ranks":[-1]}` + "\n": "no rank -1",
		`{"op":"restart"`:                   "no request: unexpected EOF",
		strings.Repeat("x", 3<<20):          "no request: a line is too long",
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		go func() { // ends with the connection
			_, _ = conn.Write([]byte(text))
			_ = conn.(*net.UnixConn).CloseWrite()
		}()
		got := make([]byte, 1000)
		n, _ := conn.Read(got)
		if !strings.Contains(string(got[:n]), want) {
			t.Errorf("%.20q: %q", text, got[:n])
		}
		conn.Close()
	}
	ask(t, 0, "stop")
	c.wants(143)
}

// Another user is refused, even one that has got as far as the socket.
func TestForeignUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	c := start(t, "--", "sh", "-c", polite)
	c.stdout.await(t, 1, ready)
	dir := filepath.Join(runDir(t), runsIn(t)[0])
	socket := filepath.Join(dir, "socket")
	for _, path := range []string{filepath.Dir(filepath.Dir(dir)), filepath.Dir(dir), dir, socket} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", interpreter(), "-c", `if True:
		import socket, sys
		s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(1000))
		`, socket).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "you are user 65534") {
		t.Errorf("%v, %s", err, out)
	}
	c.signal(unix.SIGTERM)
	c.wants(143)
}
