package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

const (
	ranks = 4
	each  = 2000
	// chatter prints numbered lines of all lengths on both streams, the last one without its end.
	chatter = `
import os, sys
rank = os.environ["RANK"]
for i in range(%d):
    stream = sys.stdout if i %% 2 else sys.stderr
    stream.write(f"rank {rank} line {i} " + "x" * (i * 7919 %% 300) + " end\n")
sys.stdout.write(f"rank {rank} is done")
`
)

var (
	prefixed = regexp.MustCompile(`^\[(\d)\] rank (\d) (line \d+ x* end|is done)$`)
	bare     = regexp.MustCompile(`^()rank (\d) line \d+ x* end$`)
)

// Who outlives a rank by itself is named, also when all went well (T10); what a stop reaches is not worth a word.
func TestLeftBehind(t *testing.T) {
	c := start(t, "--", "sh", "-c", "for i in 1 2 3 4 5; do sleep 60 & done; exit 0")
	c.wants(0)
	c.stderr.await(t, 1, `launch: rank 0 has left behind (sleep|sh) \(pid \d+\), .*, .*, 2 more: ended, or cut off from its output\n`)
}

// Lines arrive whole, each once, and with --output prefix under the rank that wrote them.
func TestWholeLines(t *testing.T) {
	c := start(t, "-n", fmt.Sprint(ranks), "--", "python3", "-c", fmt.Sprintf(chatter, each))
	c.wants(0)
	seen := map[string]bool{}
	for _, stream := range []string{c.stdout.String(), withoutLevel(t, c.stderr.String())} {
		for line := range strings.Lines(stream) {
			m := prefixed.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if m == nil || m[1] != m[2] || seen[line] {
				t.Fatalf("line %q, seen before %v", line, seen[line])
			}
			seen[line] = true
		}
	}
	if len(seen) != ranks*(each+1) {
		t.Errorf("%d lines", len(seen))
	}
}

func TestRawOutput(t *testing.T) {
	c := start(t, "-n", fmt.Sprint(ranks), "--output", "raw", "--", "python3", "-c", fmt.Sprintf(chatter, each))
	c.wants(0)
	lines := 0
	for line := range strings.Lines(withoutLevel(t, c.stderr.String())) {
		if bare.FindString(strings.TrimSuffix(line, "\n")) == "" {
			t.Fatalf("line %q", line)
		}
		lines++
	}
	if lines != ranks*each/2 {
		t.Errorf("%d lines on standard error", lines)
	}
}

func TestNoOutput(t *testing.T) {
	logs := t.TempDir()
	c := start(t, "-n", "2", "--output", "none", "--log-dir", logs, "--", "sh", "-c", "echo out; echo err >&2")
	c.wants(0)
	if c.stdout.String() != "" || withoutLevel(t, c.stderr.String()) != "" {
		t.Errorf("%q, %q", c.stdout.String(), c.stderr.String())
	}
	if files := readTree(t, logs); len(files) != 4 {
		t.Errorf("%q", files)
	}
}

func TestRanksFilter(t *testing.T) {
	c := start(t, "-n", "6", "--ranks-filter", "0,3-4", "--", "sh", "-c", "echo rank $RANK")
	c.wants(0)
	lines := strings.Split(strings.TrimSpace(c.stdout.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%q", lines)
	}
	for _, rank := range []string{"0", "3", "4"} {
		c.stdout.await(t, 1, `(?m)^\[`+rank+`\] rank `+rank+`$`)
	}
}

// Bytes that are no text reach the terminal and the files as they are.
func TestBytesIntact(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	all = append(all, "\xff\xfe no newline at the end \x00\x80"...)
	source := file(t, "bytes", string(all), 0o644)
	logs := t.TempDir()
	c := start(t, "--output", "raw", "--log-dir", logs, "--", "sh", "-c", "cat "+source+"; cat "+source+" >&2")
	c.wants(0)
	if got := c.stdout.String(); got != string(all) {
		t.Errorf("standard output %q", got)
	}
	if got := withoutLevel(t, c.stderr.String()); got != string(all) {
		t.Errorf("standard error %q", got)
	}
	files := readTree(t, logs)
	if files["generation_0/0/stdout.log"] != string(all) || files["generation_0/0/stderr.log"] != string(all) {
		t.Errorf("%q", files)
	}
}

// A bar that a rank writes over is shown while it grows, now and then, each time as a whole line, and as what it is in the end. The
// files have it as it was written.
func TestBars(t *testing.T) {
	logs, gate := t.TempDir(), makeGate(t)
	c := startUnder(t, []string{"env", "GATE=" + gate.Name()}, "-n", "2", "--log-dir", logs, "--", "sh", "-c",
		`printf '\r10%%\r20%%'; printf '\r30%%' ; head -c 1 $GATE >/dev/null; printf '\r40%%'; printf '\r99%%'; echo; printf 'dos\r\n'; printf '\rleft'`)
	c.stdout.await(t, 2, `\[\d\] [123]0%\n`) // the line has not ended
	if _, err := gate.WriteString("12"); err != nil {
		t.Fatal(err)
	}
	c.wants(0)
	for _, rank := range []string{"0", "1"} {
		if out := c.stdout.String(); !regexp.MustCompile(`(?s)\[`+rank+`\] [123]0%\n.*\[`+rank+`\] 99%\n.*\[`+rank+`\] dos\n.*\[`+rank+`\] left\n`).MatchString(out) ||
			strings.Contains(out, "\r") || strings.Count(out, "["+rank+"]") != 4 {
			t.Errorf("rank %s: %q", rank, out)
		}
		if got, want := readTree(t, logs)["generation_0/"+rank+"/stdout.log"], "\r10%\r20%\r30%\r40%\r99%\ndos\r\n\rleft"; got != want {
			t.Errorf("rank %s: %q", rank, got)
		}
	}
}

// What is shown of bars, piece by piece.
func TestSettle(t *testing.T) {
	at, b := time.Unix(1000, 0), bars{}
	for _, step := range []struct {
		after time.Duration
		rank  int
		piece string
		shows string
	}{
		{0, 0, "a line\nand another", "a line\nand another"},
		{0, 0, "\r", ""},
		{0, 0, "1%\r", "1%\n"},
		{0, 0, "2%\r3%\r", ""},
		{0, 1, "2%\r3%\r", "3%\n"},
		{4900 * time.Millisecond, 0, "4%\r", ""},
		{100 * time.Millisecond, 0, "5%\r", "5%\n"},
		{0, 0, "done\r\n\n\r6%\r", "done\n\n"},
		{0, 0, "7%\r8%", "8%"}, // the end of the stream
	} {
		at = at.Add(step.after)
		if got := string(b.settle(process.ID{Rank: step.rank}, process.Stdout, []byte(step.piece), at)); got != step.shows {
			t.Errorf("%q shows %q, want %q", step.piece, got, step.shows)
		}
	}
}

// readTree returns the files of the only run in a log directory, by their path in it.
func readTree(t *testing.T, logs string) map[string]string {
	t.Helper()
	runs, err := filepath.Glob(logs + "/*")
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs %q, %v", runs, err)
	}
	files := map[string]string{}
	paths, _ := filepath.Glob(runs[0] + "/*/*/*")
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(runs[0], path)
		files[name] = string(content)
	}
	return files
}

// Each generation of each rank has files of its own.
func TestLogDirectory(t *testing.T) {
	logs, report := t.TempDir()+"/made/for/it", tmp(t, "report.json")
	c := start(t, "-n", "2", "--max-restarts", "1", "--log-dir", logs, "--report", report, "--", "sh", "-c",
		`echo out $RANK $TORCHELASTIC_RESTART_COUNT; echo err >&2; [ $TORCHELASTIC_RESTART_COUNT = 1 ] || exit 1`)
	c.wants(0)
	files := readTree(t, logs)
	if len(files) != 8 {
		t.Errorf("files %q", files)
	}
	if run := readReport(t, report).Run; len(files) != 0 {
		if _, err := os.Stat(filepath.Join(logs, run)); err != nil {
			t.Errorf("the directory is not named after the run: %v", err)
		}
	}
	for rank := range 2 {
		if out := files[fmt.Sprintf("generation_1/%d/stdout.log", rank)]; out != fmt.Sprintf("out %d 1\n", rank) {
			t.Errorf("rank %d: %q", rank, out)
		}
		if out := files[fmt.Sprintf("generation_1/%d/stderr.log", rank)]; out != "err\n" {
			t.Errorf("rank %d: %q", rank, out)
		}
	}
}

// A file that is there is never written to; the run goes on without.
func TestLogsAreNeverOverwritten(t *testing.T) {
	processtest.Check(t)
	defer func(was func() time.Time) { now = was }(now)
	now = func() time.Time { return time.Unix(1, 0) } // so that both runs have one name
	logs := t.TempDir()
	for run, want := range []string{"", "the logs of this run are incomplete\n"} {
		var stdout, stderr text
		code := runHere(&stdout, &stderr, "--log-dir", logs, "--", "sh", "-c", fmt.Sprint("echo run ", run))
		if code != 0 || stdout.String() != fmt.Sprintf("[0] run %d\n", run) || !strings.HasSuffix(withoutLevel(t, stderr.String()), want) ||
			strings.Count(withoutLevel(t, stderr.String()), "\n") != strings.Count(want, "\n") {
			t.Errorf("run %d: exit status %d, %q, %q", run, code, stdout.String(), stderr.String())
		}
	}
	if files := readTree(t, logs); files["generation_0/0/stdout.log"] != "run 0\n" {
		t.Errorf("%q", files)
	}
}

func runHere(stdout, stderr io.Writer, args ...string) int { return run(args, stdout, stderr) }

// Events are there while the run goes on, one JSON object a line, numbered without gaps.
func TestEvents(t *testing.T) {
	events := tmp(t, "events")
	c := start(t, "-n", "2", "--events", events, "--grace", "1h", "--", "sh", "-c", polite)
	c.stdout.await(t, 2, ready)
	processtest.Eventually(t, "an event that all ranks run", func() bool {
		text, _ := os.ReadFile(events)
		return bytes.Contains(text, []byte(`"event":"running"`))
	})
	c.signal(unix.SIGTERM)
	c.wants(143)
	j := readJournal(t, events)
	count := map[supervisor.EventKind]int{}
	for _, e := range j.Events {
		count[e.Kind]++
		if e.Kind == supervisor.EventStop && e.PID == 0 {
			t.Errorf("%+v", e)
		}
	}
	if last := j.Events[len(j.Events)-1].Kind; j.Torn || len(j.Spec.Ranks) != 2 || j.Spec.Grace != time.Hour ||
		last != "done" || count["spawn"] != 2 || count["started"] != 2 || count["running"] != 1 || count["stop"] != 2 ||
		count["exited"] != 2 || count["stopping"] != 1 {
		t.Errorf("the last is %q; %v, %+v", last, count, j.Spec)
	}
}

func readJournal(t *testing.T, path string) supervisor.Journal {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	j, err := supervisor.ReadJournal(f)
	if err != nil {
		text, _ := os.ReadFile(path)
		t.Fatalf("%v in\n%s", err, text)
	}
	return j
}

// The report of a run replaces the one before it in one step, at the end; also when the run is interrupted.
func TestReportIsReplacedInOneStep(t *testing.T) {
	const old = "an old report\n"
	report := file(t, "report.json", old, 0o600)
	c := start(t, "-n", "2", "--report", report, "--grace", "1h", "--", "sh", "-c", polite)
	was, err := os.Open(report) // whoever reads the old one goes on reading it
	if err != nil {
		t.Fatal(err)
	}
	defer was.Close()
	c.stdout.await(t, 2, ready)
	if text, err := os.ReadFile(report); err != nil || string(text) != old {
		t.Errorf("during the run: %q, %v", text, err)
	}
	c.signal(unix.SIGINT)
	c.wants(130)
	if r := readReport(t, report); r.Outcome != "interrupted" || r.ExitCode != 130 || len(r.Ranks) != 2 {
		t.Errorf("report %+v", r)
	}
	still := make([]byte, 100)
	if n, _ := was.Read(still); string(still[:n]) != old {
		t.Errorf("the old file holds %q", still[:n])
	}
	if entries, _ := os.ReadDir(filepath.Dir(report)); len(entries) != 1 {
		t.Errorf("beside the report: %v", entries)
	}
}

func TestEnvironmentAndDirectory(t *testing.T) {
	dir, _ := filepath.EvalSymlinks(t.TempDir())
	script := "echo $COLOUR-$RANK-$WORLD_SIZE-$MASTER_ADDR-$OMP_NUM_THREADS; pwd; echo port $MASTER_PORT"
	if err := os.WriteFile(dir+"/run.sh", []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	c := start(t, "-n", "2", "--env", "COLOUR=red=1", "--env", "OMP_NUM_THREADS=3", "--chdir", dir, "--", "./run.sh")
	c.wants(0)
	for rank := range 2 {
		c.stdout.await(t, 1, fmt.Sprintf(`\[%d\] red=1-%d-2-127.0.0.1-3\n`, rank, rank))
		c.stdout.await(t, 1, fmt.Sprintf(`\[%d\] %s\n`, rank, dir))
	}
	if ports := c.stdout.await(t, 2, `port (\d+)\n`); ports[0] != ports[1] || atoi(t, ports[0]) < 1024 {
		t.Errorf("ports %q", ports)
	}
}

// A script is looked for where the ranks run.
func TestScriptInDirectory(t *testing.T) {
	c := start(t, "--chdir", "testdata", "--max-restarts", "0", "-n", "1", "--", "python3", "raise.py")
	c.stdout.await(t, 1, `rank 0 pid (\d+)`)
	c.signal(unix.SIGTERM)
	c.wants(143)
}

// --plain leaves Python alone: no exception arrives, and there is no socket.
func TestPlain(t *testing.T) {
	const source = `import os; print("socket", os.path.exists("/proc/self/fd/3")); raise ValueError("plain")`
	for flag, want := range map[string]string{"--plain=true": "socket False\n", "--plain=false": "socket True\n"} {
		t.Run(flag, func(t *testing.T) {
			report := tmp(t, "report.json")
			c := start(t, flag, "--report", report, "--", "python3", "-c", source)
			c.wants(1)
			c.stdout.await(t, 1, want)
			f := readReport(t, report).Failures[0]
			if (f.Exception == nil) != (flag == "--plain=true") || !strings.HasSuffix(f.StderrTail, "ValueError: plain\n") {
				t.Errorf("failure %+v", f)
			}
		})
	}
}

// The spellings of torchrun mean the same.
func TestAliases(t *testing.T) {
	for _, spelling := range [][]string{
		{"-n", "3"}, {"--ranks", "3"}, {"--ranks=3"}, {"--nproc-per-node", "3"}, {"--nproc_per_node=3"},
	} {
		t.Run(spelling[0], func(t *testing.T) {
			report := tmp(t, "report.json")
			args := append(spelling, "--max_restarts", "1", "--report", report, "sh", "-c",
				"exit $((1 - $TORCHELASTIC_RESTART_COUNT))")
			start(t, args...).wants(0)
			if r := readReport(t, report); r.WorldSize != 3 || r.Restarts != 1 {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func TestModule(t *testing.T) {
	dir := t.TempDir()
	source := "import sys\nprint(__name__, sys.argv[1:], __file__)\nif __name__ == '__main__': raise ValueError('in a module')\n"
	if err := os.WriteFile(dir+"/work.py", []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	report := tmp(t, "report.json")
	c := start(t, "--chdir", dir, "--report", report, "-m", "work", "--lr", "0.1")
	c.wants(1)
	c.stdout.await(t, 1, regexp.QuoteMeta("[0] __main__ ['--lr', '0.1'] "+dir))
	if f := readReport(t, report).Failures[0]; f.Exception == nil || f.Exception.Message != "in a module" {
		t.Errorf("failure %+v", f)
	}
}
