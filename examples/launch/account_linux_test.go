package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/colorprofile"
	"github.com/cockroachdb/datadriven"
	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// What launch says at the end, to the letter, of each way to end (T20, T25, T27). The file is rewritten by -rewrite.
func TestAccounts(t *testing.T) {
	processtest.Check(t)
	datadriven.RunTest(t, "testdata/accounts", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "run":
			return runAccount(t, d)
		case "tell": // what cannot be had on every machine, or not in a fixed order
			var b strings.Builder
			imagined[d.CmdArgs[0].Key]().print(&b)
			return b.String()
		}
		t.Fatalf("no such command: %s", d.Cmd)
		return ""
	})
}

// runAccount runs a script under launch and returns the end of its standard error, without what differs between runs. After
// the script, a key such as flags=(…) holds launch's; interrupt sends a SIGINT once all have said "ready".
func runAccount(t *testing.T, d *datadriven.TestData) string {
	dir := t.TempDir()
	name, interpreter := "script.sh", "sh"
	if d.HasArg("python") {
		name, interpreter = "script.py", "python3"
	}
	if err := os.WriteFile(dir+"/"+name, []byte(d.Input+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"--chdir", dir}
	for _, a := range d.CmdArgs {
		if a.Key == "flags" {
			args = append(args, strings.Fields(strings.ReplaceAll(strings.Join(a.Vals, ","), "DIR", dir))...)
		}
	}
	c := startUnder(t, nil, append(args, "--", interpreter, name)...)
	if d.HasArg("interrupt") {
		c.stdout.await(t, 2, `ready`)
		c.signal(unix.SIGINT)
	}
	code := c.end()
	said := c.stderr.String()
	at := regexp.MustCompile(`(?m)^launch: (rank \d+ failed first|interrupt$|stopped|the group)`).FindStringIndex(said)
	if at == nil {
		t.Fatalf("no account in %q", said)
	}
	return fmt.Sprintf("exit status %d\n%s", code, alike(said[at[0]:], dir))
}

var varying = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`pid \d+`), "pid PID"},
	{regexp.MustCompile(`\b(after:?) [\dms.µ]+([,)])`), "$1 TIME$2"},
	{regexp.MustCompile(`(?m)^ *[~^]+\n`), ""}, // under a line, from Python 3.11 on
	{regexp.MustCompile(`/logs/[^/ ]+`), "/logs/RUN"},
	{regexp.MustCompile(`(?m)^ *File "(<muster>|<string>|.*/lib/python3[^"]*)", .*\n`), ""}, // ours, and Python's own
	{regexp.MustCompile(`0x[0-9a-f]+( \[python[^]]*\])?`), "0xN"},                           // a name from Python 3.14 on
	{regexp.MustCompile(`(?m)^ *Thread 0xN.*:\n( *<no Python frame>\n)?\n`), ""},            // of ours only
	{regexp.MustCompile(`GATE=\S+`), "GATE=GATE"},
	{regexp.MustCompile(` OMP_NUM_THREADS=1`), ""}, // not where it is set already
}

// alike leaves out of a text what differs from one run, machine or Python to another.
func alike(text, dir string) string {
	text = strings.ReplaceAll(text, dir, "DIR")
	for _, d := range varying {
		text = d.from.ReplaceAllString(text, d.to)
	}
	return text
}

// imagined are ends of groups that never were.
var imagined = map[string]func() account{
	"out-of-memory": func() account {
		return accountOf(&supervisor.Failure{Exit: &process.Exit{
			Code: -1, Signal: syscall.SIGKILL, OOM: true, Stderr: []byte("epoch 1\nloading shard 7\n"),
		}, Stopped: []int{0, 2, 3}})
	},
	"group-of-exceptions": func() account {
		const printed = "  + Exception Group Traceback (most recent call last):\n  | ExceptionGroup: both (1 sub-exception)\n"
		return accountOf(&supervisor.Failure{
			Exception: &transport.Exception{Type: "ExceptionGroup", Message: "both (1 sub-exception)", Traceback: printed},
			Exit:      &process.Exit{Code: 1, Stderr: []byte("epoch 1\n" + printed)},
		})
	},
	"core-dumped": func() account {
		return accountOf(&supervisor.Failure{Exit: &process.Exit{Code: -1, Signal: syscall.SIGBUS, Core: true}})
	},
	"many-collateral": func() account {
		f := &supervisor.Failure{Exception: &transport.Exception{Type: "ValueError", Message: "no learning rate"}, Stopped: []int{28, 29}}
		for rank := range 28 {
			message := "peer is gone"
			if rank == 11 {
				message = "timed out"
			}
			if rank != 1 {
				f.Collateral = append(f.Collateral, &supervisor.Failure{Rank: rank, Exception: &transport.Exception{
					Type: "ConnectionError", Message: message, Traceback: "a long one\n",
				}})
			}
		}
		return accountOf(f)
	},
	"a-long-history": func() account {
		a := accountOf(&supervisor.Failure{Generation: 20, Exit: &process.Exit{Code: 3}})
		gave := &supervisor.GaveUpError{Restarts: 20}
		for generation := range 20 {
			gave.History = append(gave.History, &supervisor.Failure{
				Generation: generation, Rank: generation / 3, Exit: &process.Exit{Code: 1 + generation/12},
			})
		}
		var last *supervisor.Failure
		if f, ok := a.err.(*supervisor.Failure); ok {
			last = f
		}
		gave.History = append(gave.History, last)
		a.err = gave
		return a
	},
}

// accountOf is the account of rank 1's failure, after a second.
func accountOf(f *supervisor.Failure) account {
	f.Rank, f.PID, f.Uptime = 1, 4711, time.Second
	f.Directive.Reason = "no restarts are allowed"
	return account{
		report: supervisor.Report{ExitCode: 1}, err: f, logs: "logs/run-1",
		alone: func(id process.ID) string { return "RANK=" + strconv.Itoa(id.Rank) + " ./train" },
		paint: func(_ style, text string) string { return text },
	}
}

// Where there are colours the first line stands out, and without its colours the account is the same.
func TestColouredAccount(t *testing.T) {
	a := imagined["out-of-memory"]()
	var plain, coloured strings.Builder
	a.print(&plain)
	a.paint = paintWith(colorprofile.ANSI)
	a.print(&coloured)
	if !strings.HasPrefix(coloured.String(), "\x1b[1;31mlaunch: rank 1 failed first") {
		t.Errorf("%q", coloured.String())
	}
	if got := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(coloured.String(), ""); got != plain.String() {
		t.Errorf("without its colours:\n%s", got)
	}
}

// The command line of one rank does in a shell what it did in the group, whatever stands in it.
func TestRankAlone(t *testing.T) {
	dir := t.TempDir()
	script := `printf '%s|' "$RANK" "$WORLD_SIZE" "$COLOUR" "$@"; pwd` + "\n# it's \\ \"all\" one\targument"
	c := start(t, "-n", "2", "--chdir", dir, "--env", "COLOUR=it's red", "--", "bash", "-c",
		`[ $RANK = 0 ] && exec sleep 1000; [ -z "$MUSTER_RUN_ID" ] || exit 3; `+script, "x", "a b", "", `$HOME`)
	c.wants(3)
	line := c.stderr.await(t, 1, `launch: rank 1 alone: (.*)\n`)[0]
	out, err := exec.Command("bash", "-c", line).Output()
	if want := "1|2|it's red|a b||$HOME|" + dir + "\n"; err != nil || string(out) != want {
		t.Errorf("%s\ngives %q, %v; want %q", line, out, err, want)
	}
}

// A value that looks like a secret is not printed.
func TestSecretsAreNotPrinted(t *testing.T) {
	c := start(t, "--env", "HF_TOKEN=hunter2", "--env", "SEED=7", "--", "sh", "-c", "exit 3")
	c.wants(3)
	c.stderr.await(t, 1, `rank 0 alone: .* HF_TOKEN="\$HF_TOKEN" SEED=7 sh -c 'exit 3'\n`)
	if strings.Contains(c.stderr.String(), "hunter2") {
		t.Error("the secret is in the account")
	}
}

// Many ranks are the first of them and a number: the account of a large group is to be read as well.
func TestRankList(t *testing.T) {
	var odd []int
	for rank := 1; rank < 300; rank += 2 {
		odd = append(odd, rank)
	}
	for want, ranks := range map[string][]int{
		"rank 7": {7}, "ranks 0, 1": {0, 1}, "ranks 0-2": {0, 1, 2}, "ranks 0, 2-5, 8, 9": {0, 2, 3, 4, 5, 8, 9},
		"ranks 1, 3, 5, 7, 9, 11, 13, 15": odd[:8], "ranks 1, 3, 5, 7, 9 and 145 more": odd,
		"ranks 0-9, 11, 13, 15, 17 and 141 more": append(span(0, 10), odd[5:]...),
	} {
		if got := rankList(ranks); got != want {
			t.Errorf("%v: %q, want %q", ranks, got, want)
		}
	}
}

// However much an exception says, its account can be read; the report has all of it.
func TestLongAccount(t *testing.T) {
	report := tmp(t, "report.json")
	c := start(t, "--output", "none", "--report", report, "--", "python3", "-c",
		`raise ValueError("w" * 5000 + "".join(f"\nline {i}" for i in range(1000)) + "\n" + "é" * 5000)`)
	c.wants(1)
	account := c.stderr.String()
	if n := strings.Count(account, "\n"); n > 120 || len(account) > 12_000 {
		t.Errorf("%d lines, %d bytes", n, len(account))
	}
	for _, want := range []string{
		`(?m)^launch: rank 0 failed first \(.*\): ValueError: w{300,400}…$`, `(?m)^    ValueError: w{300,400}…$`, `(?m)^    line 20$`,
		`(?m)^    … \d{3} lines are left out: see traceback in --report$`, `(?m)^    line 999$`, `(?m)^    é{100,200}…$`,
	} {
		if !regexp.MustCompile(want).MatchString(account) {
			t.Errorf("no %s in %s", want, account)
		}
	}
	if f := readReport(t, report).Failures[0]; !strings.Contains(f.Exception.Traceback, "line 500") {
		t.Error("the report has no line 500")
	}
}
