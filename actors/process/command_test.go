package process_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/stage"
)

// TestCommand: a command is data, and prints as one would type it.
func TestCommand(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"python3", "train.py", "--lr=0.1"}, "python3 train.py --lr=0.1"},
		{[]string{"sh", "-c", "echo $HOME", ""}, `sh -c "echo $HOME" ""`},
		{[]string{`a"b`, "a\tb", `a\b`}, `"a\"b" "a\tb" "a\\b"`},
	} {
		if got := (process.Command{Args: test.args}).String(); got != test.want {
			t.Errorf("%q prints as %s, want %s", test.args, got, test.want)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := process.Reexec("entry", "a", "b")
	if !slices.Equal(c.Args, []string{self, "a", "b"}) || c.Entry != "entry" || !c.Speaks || c.Plain {
		t.Errorf("%+v", c)
	}
	c.Argument, c.Env = []byte{0xff, 0}, []string{"A=b"}
	c.Heartbeat, c.Dumps, c.Ready = time.Second, true, &process.Probe{TCP: "127.0.0.1:$PORT"}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back process.Command
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(back); err != nil || string(again) != string(text) || *back.Ready != *c.Ready {
		t.Errorf("%s became %s (%v)", text, again, err)
	}
}

// TestExitJSON: the exit of the report of design.md §9.
// TestCheckTellsAll: one look at a command finds everything that is wrong with it.
func TestCheckTellsAll(t *testing.T) {
	nice := 99
	c := process.Command{Args: []string{"no-such-program"}, Dir: "/no/such/dir", Stdin: "/no/such/input"}
	c.Setup.Nice = &nice
	err := process.Local().Check(c)
	for _, want := range []error{exec.ErrNotFound, fs.ErrNotExist, stage.ErrSettings} {
		wantErrorIs(t, err, want)
	}
	for _, want := range []string{"no-such-program", "/no/such/dir", "/no/such/input", "nice 99"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
}

func TestExitJSON(t *testing.T) {
	for _, test := range []struct {
		exit process.Exit
		want string
	}{
		{process.Exit{}, `{"code":0,"signal":"","core":false,"oom":false,"killed_by":""}`},
		{process.Exit{Code: -1, Signal: syscall.SIGABRT, Core: true},
			`{"code":-1,"signal":"SIGABRT","core":true,"oom":false,"killed_by":""}`},
		{process.Exit{Code: -1, Signal: syscall.SIGKILL, Stopped: true},
			`{"code":-1,"signal":"SIGKILL","core":false,"oom":false,"killed_by":"supervisor"}`},
		{process.Exit{Code: 3, Silent: true}, `{"code":3,"signal":"","core":false,"oom":false,"silent":true,"killed_by":""}`},
		{process.Exit{Code: -1, Err: errors.New("lost"), Left: []process.Leftover{{PID: 7, Name: "sleep"}}},
			`{"code":-1,"signal":"","core":false,"oom":false,"killed_by":"","error":"lost","left":[{"pid":7,"name":"sleep"}]}`},
		{process.Exit{Code: 3, Report: "unparseable"},
			`{"code":3,"signal":"","core":false,"oom":false,"killed_by":"","report":"unparseable"}`},
	} {
		got, err := json.Marshal(test.exit)
		if err != nil || string(got) != test.want {
			t.Errorf("%s (%v), want %s", got, err, test.want)
		}
		var back process.Exit
		if err := json.Unmarshal(got, &back); err != nil || back.Error() != test.exit.Error() {
			t.Errorf("%s becomes %q (%v), want %q", got, back.Error(), err, test.exit.Error())
		}
	}
}

// TestNames: the texts that reach a log.
func TestNames(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{process.ID{Rank: 3, Generation: 1}.String(), "3@1"},
		{process.Stdout.String(), "stdout"},
		{process.Stderr.String(), "stderr"},
		{process.SignalName(0), ""},
		{process.SignalName(syscall.SIGTERM), "SIGTERM"},
		{process.SignalName(99), "signal 99"},
		{(&process.Exit{Code: -1, Signal: syscall.SIGABRT, Core: true}).Error(), "signal: aborted (SIGABRT, core dumped)"},
		{(&process.Exit{Code: 3}).Error(), "exit status 3"},
		{(&process.Exit{Err: process.ErrNoResult}).Error(), process.ErrNoResult.Error()},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

// TestConditions: everything that is set up is told, and nothing else.
func TestConditions(t *testing.T) {
	nice, score, uid := -3, 500, uint32(7)
	c := process.Command{Stdin: "in", Memory: 1 << 30, PIDs: 9, User: &uid, Group: &uid, StopSignal: 2, DumpSignal: 3,
		Setup: stage.Settings{CPUs: []int{8, 2, 1, 0, 1}, Nodes: []int{1}, Nice: &nice, OOMScoreAdj: &score,
			Limits: map[string]stage.Limit{"nofile": {Soft: 1, Hard: 2}, "core": {Hard: stage.Unlimited}, "as": stage.Exactly(stage.Unlimited)}}}
	want := []string{"stdin in", "cpus 0-2,8", "memory of numa node 1", "nice -3", "oom_score_adj 500", "limit as unlimited",
		"limit core 0:unlimited", "limit nofile 1:2", "memory 1073741824 bytes", "pids 9", "user 7", "group 7"}
	if got := c.Conditions(); len(got) != len(want)+2 || !slices.Equal(got[:len(want)], want) {
		t.Errorf("%q", got)
	}
	for text, probe := range map[string]process.Probe{
		"ready by tcp:a:1": {TCP: "a:1"}, "ready by http://a/b": {HTTP: "http://a/b"}, "ready by line:^x": {Line: "^x"},
		"ready by fd": {FD: true},
	} {
		if got := (process.Command{Ready: &probe}).Conditions(); !slices.Equal(got, []string{text}) {
			t.Errorf("%q, want %q", got, text)
		}
	}
	if got := (process.Command{Args: []string{"x"}, Dir: "y", Env: []string{"Z=z"}}).Conditions(); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestParseSignal: names and numbers come back as the signals that they mean.
func TestParseSignal(t *testing.T) {
	for text, want := range map[string]process.Signal{
		"SIGTERM": syscall.SIGTERM, "15": syscall.SIGTERM, "signal 99": 99, "99": 99, "1": syscall.SIGHUP,
		"": 0, "0": 0, "-1": 0, "128": 0, "TERM": 0, "sigterm": 0, "SIGNIX": 0, "9x": 0,
	} {
		got, err := process.ParseSignal(text)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for s := process.Signal(1); s < 65; s++ {
		if got, err := process.ParseSignal(process.SignalName(s)); got != s || err != nil {
			t.Errorf("%s is %v, %v", process.SignalName(s), got, err)
		}
	}
}
