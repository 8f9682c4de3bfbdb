package supervisor

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

func TestFailure(t *testing.T) {
	exception := &transport.Exception{
		Type: "ValueError", Message: "no", Cause: &transport.Exception{Type: "KeyError", Message: "'lr'"},
	}
	exit := &process.Exit{Code: 3, Stderr: []byte("oh no\n")}
	for _, c := range []struct {
		name string
		f    Failure
		says string
		is   error
		exc  bool
		exit bool
	}{
		{"an exception", Failure{Rank: 1, Generation: 2, Exception: exception},
			"rank 1@2: ValueError: no", nil, true, false},
		{"an exception and its exit", Failure{Exception: exception, Exit: exit},
			"rank 0@0: ValueError: no (exit status 3)", nil, true, true},
		{"an exception and the usual exit", Failure{Exception: exception, Exit: &process.Exit{Code: 1}},
			"rank 0@0: ValueError: no", nil, true, true},
		{"an exception, and stopped", Failure{Exception: exception, Exit: &process.Exit{Code: -1, Signal: syscall.SIGKILL, Stopped: true}},
			"rank 0@0: ValueError: no", nil, true, true},
		{"a stranger's signal", Failure{Exit: &process.Exit{Code: -1, Signal: syscall.SIGKILL}},
			"rank 0@0: signal: killed (SIGKILL), not sent by us", nil, false, true},
		{"an exit", Failure{Exit: exit}, `rank 0@0: exit status 3, after "oh no"`, nil, false, true},
		{"an exit of many words", Failure{Exit: &process.Exit{Code: 1, Stderr: []byte("a\ncaf\xe9 " + strings.Repeat("x", 200) + "\n\n")}},
			`rank 0@0: exit status 1, after "caf\xe9 ` + strings.Repeat("x", 155) + `"`, nil, false, true},
		{"a warning's source", Failure{Exit: &process.Exit{Code: 3, Stderr: []byte("a.py:3: UserWarning: old\n  warn(\"old\")\n\t\n")}},
			`rank 0@0: exit status 3, after "a.py:3: UserWarning: old"`, nil, false, true},
		{"an exit of indented words", Failure{Exit: &process.Exit{Code: 3, Stderr: []byte("  one\n\ttwo \r\n")}},
			`rank 0@0: exit status 3, after "two"`, nil, false, true},
		{"a line that was written over", Failure{Exit: &process.Exit{Code: 3, Stderr: []byte("10 %\r20 %\r")}},
			`rank 0@0: exit status 3, after "20 %"`, nil, false, true},
		{"an exit without a word", Failure{Exit: &process.Exit{Code: 1, Stderr: []byte(" \n")}}, "rank 0@0: exit status 1", nil, false, true},
		{"not ready", Failure{Err: ErrStartTimeout, Exit: exit},
			"rank 0@0: supervisor: not ready in time", ErrStartTimeout, false, true},
		{"an exit with an error", Failure{Exit: &process.Exit{Code: -1, Err: fs.ErrPermission}},
			"rank 0@0: permission denied", fs.ErrPermission, false, true},
		{"nothing", Failure{}, "rank 0@0: unknown", nil, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error = &c.f
			if err.Error() != c.says {
				t.Errorf("it says %q, want %q", err, c.says)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("it is not %v", c.is)
			}
			var exc *transport.Exception
			var exit *process.Exit
			if errors.As(err, &exc) != c.exc || errors.As(err, &exit) != c.exit {
				t.Errorf("it has exception %v, exit %v", exc, exit)
			}
		})
	}
	if tail := (&Failure{Exit: exit}).StderrTail(); tail != "oh no\n" {
		t.Errorf("the tail is %q", tail)
	}
	if tail := (&Failure{}).StderrTail(); tail != "" {
		t.Errorf("the tail of a living process is %q", tail)
	}
}

// TestReport: the JSON form is that of docs/design.md §9, to the byte. The group had two generations: an exception with
// a collateral failure, then a rank that was stopped and one that was abandoned.
func TestReport(t *testing.T) {
	r := reportOfTwoGenerations().report()
	r.Run, r.Name, r.Containment, r.Start, r.Seconds, r.ExitCode = "4711", "train", "script", epoch, 12.5, 1
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	golden(t, "testdata/report.json", strings.ReplaceAll(string(got), `"host": "`+host+`"`, `"host": "here"`)+"\n")
}

func reportOfTwoGenerations() *machine {
	m := newMachine(config{
		size: 3, grace: time.Second, exitTime: time.Second, killWait: time.Second, startTimeout: time.Minute,
		strategy: AllForOne{Restarts: 1}, random: func() float64 { return 0.5 },
	})
	second := 0
	tell := func(ev event) {
		second++
		m.step(epoch.Add(time.Duration(second)*time.Second), ev)
	}
	id := func(rank, generation int) process.ID { return process.ID{Rank: rank, Generation: generation} }
	tell(evStart{})
	for rank := range 3 {
		tell(evStarted{id(rank, 0), 40 + rank})
		tell(evReady{id(rank, 0)})
	}
	tell(evRaised{id: id(2, 0), exception: &transport.Exception{
		Type: "ValueError", Message: "no learning rate", Traceback: "Traceback …",
		Cause: &transport.Exception{Type: "KeyError", Message: "'lr'"},
	}})
	tell(evExited{id(0, 0), 40, process.Exit{
		Code: -1, Signal: syscall.SIGABRT, Core: true, Stderr: []byte("NCCL error\n"), CPU: 1500 * time.Millisecond,
	}})
	tell(evExited{id(1, 0), 41, process.Exit{Code: -1, Signal: syscall.SIGTERM, Stopped: true}})
	tell(evExited{id(2, 0), 42, process.Exit{Code: 1, Stderr: []byte("ValueError: no learning rate\n")}})
	tell(evStarted{id(0, 1), 50})
	tell(evExited{id(0, 1), 50, process.Exit{Code: 1}})
	tell(evExited{id(1, 1), 51, process.Exit{Stopped: true, CPU: time.Second, MaxRSS: 1 << 20}})
	tell(evTimer{graceTimer, m.serial[graceTimer]})
	tell(evTimer{killTimer, m.serial[killTimer]})
	tell(evExited{id(2, 1), 52, process.Exit{Code: -1, Err: ErrAbandoned, Stopped: true}})
	return m
}

// TestReportStays: a report is not written into any more.
func TestReportStays(t *testing.T) {
	m := newMachine(config{size: 9, strategy: FailFast{}, random: func() float64 { return 0 }})
	m.step(epoch, evStart{})
	exit := func(rank int, x process.Exit) { m.step(epoch, evExited{process.ID{Rank: rank}, 1, x}) }
	exit(8, process.Exit{Code: 1})
	var before []Report
	for rank := 7; rank >= 0; rank-- {
		before = append(before, m.report())
		exit(rank, process.Exit{Code: 1, Stopped: true})
	}
	all := []int{0, 1, 2, 3, 4, 5, 6, 7}
	for i, r := range before {
		if got := r.Failures[0].Stopped; !slices.Equal(got, all[8-i:]) {
			t.Errorf("a report after %d exits has come to say that %v were stopped", i, got)
		}
	}
}

// TestReportOfNothing: lists are never null.
func TestReportOfNothing(t *testing.T) {
	got, err := json.Marshal(Report{})
	if err != nil || strings.Contains(string(got), "null") {
		t.Errorf("%s, %v", got, err)
	}
}

// TestTestdata: every file in testdata is somebody's.
func TestTestdata(t *testing.T) {
	paths, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if ext := filepath.Ext(path); ext != ".txt" && ext != ".json" && ext != ".jsonl" {
			t.Errorf("nobody reads %s", path)
		}
	}
}

// O-75, O-76: a report is of the latest failures and generations; the others are forgotten.
func TestHistory(t *testing.T) {
	m := newMachine(config{size: 1, strategy: AllForOne{Restarts: -1}, history: 3, random: func() float64 { return 0 }})
	m.step(epoch, evStart{})
	for g := range 100 {
		m.step(epoch, evExited{id: process.ID{Generation: g}, exit: process.Exit{Code: 1}})
	}
	r := m.report()
	f, g := r.Failures, r.Generations
	if len(f) < 3 || len(f) > 6 || f[len(f)-1].Seq != 100 || len(g) < 3 || len(g) > 6 || g[len(g)-1].Generation != 100 {
		t.Errorf("%d failures, %d generations: %+v", len(f), len(g), g)
	}
	if r.Restarts != 100 {
		t.Errorf("%d restarts", r.Restarts)
	}
}
