package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files")

// The first promise: a chained exception, one restart, and everything about it in the report.
func TestOneRestart(t *testing.T) {
	report := tmp(t, "report.json")
	c := start(t, "-n", "4", "--max-restarts", "1", "--report", report, "--", "python3", "testdata/raise.py")
	c.wants(0)
	r := readReport(t, report)
	if r.Outcome != "succeeded" || r.Restarts != 1 || r.Generation != 1 || r.WorldSize != 4 || len(r.Failures) != 1 {
		t.Fatalf("report %+v", r)
	}
	f := r.Failures[0]
	if f.Kind != "origin" || f.Rank != 2 || f.Generation != 0 || f.Seq != 1 || f.PID == 0 || f.Exit.Code != 1 {
		t.Errorf("failure %+v", f)
	}
	e := f.Exception
	if e == nil || e.Type != "ValueError" || e.Message != "no learning rate" || e.Module != "builtins" ||
		!strings.HasPrefix(e.Traceback, "Traceback (most recent call last):") ||
		!strings.HasSuffix(e.Traceback, "\nValueError: no learning rate\n") {
		t.Fatalf("exception %+v", e)
	}
	if e.Cause == nil || e.Cause.Type != "KeyError" || e.Cause.Message != "'lr'" || e.Cause.Traceback == "" {
		t.Errorf("cause %+v", e.Cause)
	}
	for rank, r := range r.Ranks {
		if r.Rank != rank || r.Generation != 1 || r.Outcome != "succeeded" {
			t.Errorf("rank %d: %+v", rank, r)
		}
	}
	if want := "launch: rank 2 failed (generation 0): ValueError: no learning rate; restart 1 of 1\n"; !strings.Contains(
		c.stderr.String(), want) {
		t.Errorf("no %q", want)
	}
}

// The second: without a restart the standard error ends with what happened, and nobody is left.
func TestNoRestart(t *testing.T) {
	report := tmp(t, "report.json")
	gate := makeGate(t)
	c := start(t, "-n", "4", "--max-restarts", "0", "--report", report, "--env", "GATE="+gate.Name(), "--",
		"python3", "testdata/raise.py")
	ranks := hold(t, c.stdout.await(t, 4, `rank \d pid (\d+)`))
	if _, err := gate.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	c.wants(1)
	ranks.gone(t)
	golden(t, "testdata/failure.golden", normal(lastReport(t, c.stderr.String())))
	r := readReport(t, report)
	if r.Outcome != "failed" || r.ExitCode != 1 || r.Restarts != 0 || len(r.Failures) != 1 {
		t.Errorf("report %+v", r)
	}
	for _, rank := range []int{0, 1, 3} {
		if r.Ranks[rank].Outcome != "stopped" || r.Ranks[rank].Exit.KilledBy != "supervisor" {
			t.Errorf("rank %d: %+v", rank, r.Ranks[rank])
		}
	}
}

// makeGate makes a FIFO, a byte in which lets one reader go on.
func makeGate(t *testing.T) *os.File {
	t.Helper()
	path := tmp(t, "gate")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	gate, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	return gate
}

// lastReport is what standard error ends with.
func lastReport(t *testing.T, stderr string) string {
	t.Helper()
	i := strings.Index(stderr, "launch: rank")
	if i < 0 {
		t.Fatalf("no report in %q", stderr)
	}
	return stderr[i:]
}

// normal leaves out of a text what differs from one machine or Python to the other.
func normal(text string) string {
	dir, _ := os.Getwd()
	return alike(text, filepath.Join(dir, "testdata"))
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is otherwise; got\n%s", path, got)
	}
}

// A run that fails, restarts from its checkpoint and goes on learns what an undisturbed run learns, to the bit.
func TestTrainingRestartsFromCheckpoint(t *testing.T) {
	dir := t.TempDir()
	whole, broken, report := filepath.Join(dir, "whole"), filepath.Join(dir, "broken"), filepath.Join(dir, "report.json")
	train := []string{"python3", "../train/python/train.py", "--epochs", "3", "--floor", "0.5"}
	c := start(t, append([]string{"-n", "4", "--"}, append(train, "--checkpoint", whole)...)...)
	c.wants(0)
	c = startUnder(t, nil, append([]string{"-n", "4", "--max-restarts", "1", "--report", report, "--"},
		append(train, "--checkpoint", broken, "--fail-rank", "2", "--fail-epoch", "2")...)...)
	c.wants(0)
	c.stdout.await(t, 1, `\[0\] world size 4, \d+ images, 0 epochs done\n`)
	c.stdout.await(t, 1, `\[0\] world size 4, \d+ images, 1 epochs done\n`)
	r := readReport(t, report)
	if r.Restarts != 1 || len(r.Failures) == 0 {
		t.Fatalf("report %+v", r)
	}
	if f := r.Failures[0]; f.Rank != 2 || f.Kind != "origin" || f.Exception == nil || f.Exception.Type != "ValueError" ||
		f.Exception.Cause == nil || f.Exception.Cause.Type != "RuntimeError" {
		t.Errorf("failure %+v", f)
	}
	want, err1 := os.ReadFile(whole)
	got, err2 := os.ReadFile(broken)
	if err1 != nil || err2 != nil || string(got) != string(want) {
		t.Errorf("the checkpoints differ (%v, %v)", err1, err2)
	}
}
