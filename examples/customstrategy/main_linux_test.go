package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/supervisortest"
	"github.com/go-muster/muster/transport"
)

func TestMain(m *testing.M) { processtest.Main(m) }

var program = processtest.Helper("customstrategy", main)

// A strategy is a function of values, and its test a table of them.
func TestTraining(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	raised := func(err error) *supervisor.Failure {
		return &supervisor.Failure{Rank: 2, Exception: transport.FromError(err)}
	}
	for _, c := range []struct {
		name    string
		failure *supervisor.Failure
		ago     []time.Duration // of the restarts so far
		action  supervisor.Action
		ranks   []int // that the directive names; none are all
		after   time.Duration
		reason  string
	}{
		{"out of memory", raised(errMemory), nil, supervisor.Terminate, nil, 0, "out of memory"},
		{"out of memory in Python", &supervisor.Failure{Exception: &transport.Exception{Type: "OutOfMemoryError"}}, nil,
			supervisor.Terminate, nil, 0, "out of memory"},
		{"out of memory of the machine", &supervisor.Failure{Exit: &process.Exit{OOM: true}}, nil,
			supervisor.Terminate, nil, 0, "out of memory"},
		{"a lost peer", raised(errPeer), nil, supervisor.Restart, nil, 75 * time.Millisecond, "without the others"},
		{"a straggler", raised(errTooSlow), nil, supervisor.Restart, []int{2}, 75 * time.Millisecond, "straggler"},
		{"the second in an hour", raised(errPeer), []time.Duration{time.Minute}, supervisor.Restart, nil, 150 * time.Millisecond, ""},
		{"one too many in an hour", raised(errPeer), []time.Duration{2 * time.Minute, time.Minute}, supervisor.Terminate, nil, 0,
			"2 restarts in an hour are enough"},
		{"the hour has gone by", raised(errPeer), []time.Duration{2 * time.Hour, time.Hour}, supervisor.Restart, nil,
			75 * time.Millisecond, ""},
		{"anything else", raised(errMistaken), nil, supervisor.Terminate, nil, 0, "nobody knows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := supervisor.State{Now: now, Size: 4, Random: 0.5}
			for _, ago := range c.ago {
				state.Restarts = append(state.Restarts, now.Add(-ago))
			}
			d := training{perHour: 2}.Decide(state, c.failure)
			if d.Action != c.action || !slices.Equal(d.Ranks, c.ranks) || d.After != c.after || !strings.Contains(d.Reason, c.reason) {
				t.Errorf("%+v", d)
			}
		})
	}
}

// In a thousand worlds that are made up the strategy keeps the laws, and the group under it its invariants.
func TestTrainingInWorlds(t *testing.T) {
	supervisortest.Simulation{Restarts: 3}.Simulate(t, training{perHour: 3})
}

// The same trouble under each strategy.
func TestCustomStrategy(t *testing.T) {
	for _, c := range []struct {
		name, flags string
		code        int
		want        string // in the output
	}{
		{"its own", "", 0, "rank 1@0: step 7: lost a peer -> restart (nobody can go on without the others)\n"},
		{"its own, one alone", "", 0, "rank 1@1: step 7: slower than the others -> restart (a straggler)\n"},
		{"its own, in the end", "", 0, "rank 1@2 has trained\n"},
		{"its own, out of memory", "-trouble peer,memory", 1, "gave up after a restart: rank 1@1: step 7: CUDA out of memory"},
		{"its own, too often", "-trouble peer,peer -per-hour 1", 1, "and 1 restarts in an hour are enough"},
		{"its own, badly", "-per-hour -1", 1, "there cannot be -1 restarts in an hour"},
		{"protoactor's", "-strategy protoactor", 0, "rank 0@2 has trained\nrank 1@2 has trained\nrank 2@2 has trained\n"},
		{"protoactor's, out of memory", "-strategy protoactor -trouble memory", 1, "CUDA out of memory -> terminate"},
		{"protoactor's, too often", "-strategy protoactor -per-hour 1", 1, "slower than the others -> terminate"},
		{"rules", "-strategy rules -trouble mistake", 0, "-> restart (rule 1, the first mistake may be an accident: restart 1 of 3)\n"},
		{"what no rule matches", "-strategy rules -trouble mistake,mistake", 1, "-> terminate (nobody knows what this is)\n"},
		{"none of these", "-strategy hope", 1, `there is no strategy "hope": use own, protoactor or rules`},
		{"no such trouble", "-trouble war", 1, `there is no trouble "war"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			processtest.Check(t)
			helper := processtest.Command(t, program)
			cmd := exec.Command(helper.Args[0], strings.Fields(c.flags)...)
			cmd.Env = append(os.Environ(), helper.Env...)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) {
				t.Errorf("exit status %d\n%s", code, out)
			}
		})
	}
}
