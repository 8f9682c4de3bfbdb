package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// smallDisk returns a directory with room for so many bytes.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// talkative writes far more than a small disk holds, in each of two generations, and ends badly once.
const talkative = `i=0; while [ $i -lt 500 ]; do echo "line $i of rank $RANK, which is as long as a line is that says what a rank does"; i=$((i+1)); done
	echo "end of $RANK.$TORCHELASTIC_RESTART_COUNT"; [ $TORCHELASTIC_RESTART_COUNT = 1 ] || exit 3`

// A full disk costs the logs and the journal their end, which the console says in a line for each, and the report. The ranks
// lose nothing, not a line on the console, and the end is that of any other run.
func TestFullDisk(t *testing.T) {
	processtest.Check(t)
	disk, report := smallDisk(t, 64<<10), tmp(t, "report.json")
	c := startUnder(t, nil, "-n", "8", "--max-restarts", "1", "--log-dir", disk, "--journal", disk+"/run.jsonl", "--report", report,
		"--", "sh", "-c", talkative)
	c.wants(0)
	for _, rank := range []string{"0", "3", "7"} {
		if got := c.stdout.String(); strings.Count(got, "["+rank+"] line ") < 500 || strings.Count(got, "["+rank+"] end of "+rank+".1\n") != 1 {
			t.Errorf("rank %s has lost lines", rank)
		}
	}
	says := c.stderr.String()
	for _, want := range []string{"no space left on device: the logs of this run are incomplete\n", "the journal ends before event "} {
		if strings.Count(says, want) != 1 {
			t.Errorf("not once %q in %s", want, says)
		}
	}
	file, err := os.Open(report)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := supervisor.ReadReport(file)
	if err != nil || r.Outcome != supervisor.Succeeded || r.Restarts != 1 || len(r.Problems) != 2 ||
		!strings.HasPrefix(r.Problems[0], "--log-dir: ") || !strings.HasPrefix(r.Problems[1], "--journal: ") {
		t.Errorf("%v, report %+v", err, r)
	}
	journal, err := os.Open(disk + "/run.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	if j, err := supervisor.ReadJournal(journal); err != nil || len(j.Events) == 0 {
		t.Errorf("the journal: %v, %d events", err, len(j.Events))
	}
}

// A report that has no room leaves the one that was there, whole, and nothing else, and is written elsewhere; the exit status
// stays what it is.
func TestFullDiskAtTheReport(t *testing.T) {
	for name, test := range map[string]struct {
		signal bool
		code   int
	}{"failed": {false, 3}, "interrupted": {true, 143}} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			disk := smallDisk(t, 16<<10)
			if err := os.WriteFile(disk+"/report.json", []byte("{}\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			elsewhere := t.TempDir()
			c := startUnder(t, []string{"env", "TMPDIR=" + elsewhere}, "-n", "2", "--report", disk+"/report.json", "--", "sh", "-c",
				`trap "exit 3" USR1; echo ready $$; while :; do sleep 1000 & wait $!; done`)
			c.stdout.await(t, 2, ready)
			fillUp(t, disk)
			if test.signal {
				c.signal(unix.SIGTERM)
			} else {
				c.signal(unix.SIGUSR1)
			}
			c.wants(test.code)
			if got := c.stderr.String(); strings.Count(got, "launch: --report: ") != 1 || strings.Count(got, "no space left on device: it is in "+elsewhere) != 1 {
				t.Errorf("%s", got)
			}
			if found, err := filepath.Glob(elsewhere + "/*.report.json"); err != nil || len(found) != 1 {
				t.Errorf("%v, %v", found, err)
			} else if r := readReport(t, found[0]); r.ExitCode != test.code || len(r.Problems) != 1 || !strings.HasPrefix(r.Problems[0], "--report: ") {
				t.Errorf("report %+v", r)
			}
			entries, err := os.ReadDir(disk)
			if err != nil || len(entries) != 2 || readText(t, disk+"/report.json") != "{}\n" {
				t.Errorf("%v, %v, %s", err, entries, readText(t, disk+"/report.json"))
			}
		})
	}
}

// Output that nobody reads, or that has no room, is lost, which is said and in the report. The ranks go on, and find SIGPIPE as
// it always is.
func TestOutputIsLost(t *testing.T) {
	for name, stdout := range map[string]func(t *testing.T) *os.File{"broken pipe": unreadPipe, "no space left on device": fullDevice} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			report, dir := tmp(t, "report.json"), t.TempDir()
			c := prepare(t, nil, "-n", "2", "--report", report, "--log-dir", dir, "--", "sh", "-c",
				`echo one; ignored=$(sed -n "s/^SigIgn:[[:space:]]*//p" /proc/self/status); [ $((0x$ignored & 0x1000)) = 0 ] && echo two; exit 3`)
			to := stdout(t)
			c.cmd.Stdout = to
			c.begin()
			to.Close()
			c.wants(3)
			if got, want := c.stderr.String(), "launch: stdout: "+name+": not all that the ranks write is shown\n"; strings.Count(got, want) != 1 {
				t.Errorf("not once %q in %s", want, got)
			}
			if r := readReport(t, report); len(r.Problems) != 1 || r.Problems[0] != "stdout: "+name || r.ExitCode != 3 {
				t.Errorf("report %+v", r)
			}
			files, err := filepath.Glob(dir + "/*/generation_0/*/stdout.log")
			if err != nil || len(files) != 2 {
				t.Fatalf("%q, %v", files, err)
			}
			if r := readReport(t, report); readText(t, files[r.Failures[0].Rank]) != "one\ntwo\n" {
				t.Errorf("the log of rank %d: %q", r.Failures[0].Rank, readText(t, files[r.Failures[0].Rank]))
			}
		})
	}
}

// unreadPipe is the end of a pipe that nobody reads.
func unreadPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	return w
}

func fullDevice(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fillUp leaves no room on a disk.
func fillUp(t *testing.T, disk string) {
	t.Helper()
	f, err := os.Create(disk + "/filler")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
}

// A bound on the size of files (ulimit -f) is as a full disk: SIGXFSZ ends neither launch nor a rank.
func TestFileSizeLimit(t *testing.T) {
	processtest.Check(t)
	report := tmp(t, "report.json")
	c := startUnder(t, []string{"bash", "-c", `ulimit -f 8; exec "$@"`, "bash"}, "-n", "2", "--max-restarts", "1",
		"--log-dir", t.TempDir(), "--report", report, "--", "sh", "-c", talkative)
	c.wants(0)
	if got := c.stdout.String(); strings.Count(got, " end of 0.1\n") != 1 || strings.Count(got, " end of 1.1\n") != 1 {
		t.Errorf("a rank has lost lines: %s", got)
	}
	if text := readText(t, report); !strings.Contains(text, "file too large\"") || !strings.Contains(c.stderr.String(), "file too large: the logs") {
		t.Errorf("%s", text)
	}
}
