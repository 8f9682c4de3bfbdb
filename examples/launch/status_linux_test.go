package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

const talker = `
import os, sys, time
rank = os.environ["RANK"]
for i in range(300):
    stream = sys.stdout if i % 2 else sys.stderr
    stream.write(f"rank {rank} line {i} " + "x" * (i * 7919 % 40) + " end\n")
    stream.flush()
    if i % 50 == 0:
        time.sleep(.15)
`

// There is a status line while lines are written, which tears none of them, and is away at the end.
func TestStatusTearsNothing(t *testing.T) {
	s := sit(t, 80, nil, "-n", "3", "--", "python3", "-c", talker)
	rows := s.rows(0)
	whole := regexp.MustCompile(`^\[(\d)\] rank \d line \d+ x* end$`)
	seen := map[string]bool{}
	for i, row := range rows {
		if i == 0 && strings.HasPrefix(row, "launch: containment ") {
			continue
		}
		if !whole.MatchString(row) || seen[row] {
			t.Errorf("row %d is %q, seen before %v", i, row, seen[row])
		}
		seen[row] = true
	}
	if len(seen) != 900 {
		t.Errorf("%d lines", len(seen))
	}
	if drawn := strings.Count(s.shown.String(), "| generation 0 |"); drawn < 3 {
		t.Errorf("the line was drawn %d times", drawn)
	}
}

// However much is written, the line is there behind it, in the same write: it neither goes nor flickers.
func TestStatusIsBehindEveryLine(t *testing.T) {
	var terminal strings.Builder
	made := 0
	s := &screen{term: &terminal, width: func() int { return 20 }, text: func() string { made++; return "how it stands, in short" }}
	const line = eraseLine + noWrap + "how it stands, in …" + wrap
	w := s.through(&terminal)
	s.begin()
	s.last = now().Add(time.Hour) // it need not be made anew
	for _, test := range []struct{ write, shows string }{
		{"one\n", eraseLine + "one\n" + line},
		{"two\nthree\n", eraseLine + "two\nthree\n" + line},
		{"half", eraseLine + "half"}, // the line would stand in it
		{" a line\n", " a line\n" + line},
	} {
		terminal.Reset()
		if n, err := w.Write([]byte(test.write)); n != len(test.write) || err != nil || terminal.String() != test.shows {
			t.Errorf("%q: %d, %v, shows %q, want %q", test.write, n, err, terminal.String(), test.shows)
		}
	}
	if made != 1 {
		t.Errorf("it was made %d times", made)
	}
	terminal.Reset()
	if s.end(); terminal.String() != eraseLine {
		t.Errorf("the end shows %q", terminal.String())
	}
	terminal.Reset()
	if _, _ = w.Write([]byte("after\n")); terminal.String() != "after\n" {
		t.Errorf("after the end: %q", terminal.String())
	}
}

// However the run ends, the line is away, and the account is whole.
func TestStatusEnds(t *testing.T) {
	const line = `launch: \S*2 running \| generation 0 \| 0 restarts left \| \d+s`
	const gated = "echo up; head -c 1 $GATE >/dev/null"
	stuck := []string{"-n", "2", "--grace", "1h", "--", "sh", "-c", rude}
	for name, test := range map[string]struct {
		code    int
		args    []string
		signals int
		last    string
	}{
		"well":        {0, []string{"-n", "2", "--ready", "line:up", "--", "sh", "-c", gated}, 0, `\[\d\] up`},
		"a failure":   {3, []string{"-n", "2", "--ready", "line:up", "--", "sh", "-c", gated + "; exit 3"}, 0, `launch: rank \d alone: .*`},
		"interrupted": {130, []string{"-n", "2", "--", "sh", "-c", polite}, 1, `launch: after: .*`},
		"killed":      {130, stuck, 2, `launch: after: .*`},
		"at once":     {130, stuck, 3, `.*`},
	} {
		t.Run(name, func(t *testing.T) {
			gate := makeGate(t)
			s := sit(t, 300, []string{"GATE=" + gate.Name()}, test.args...)
			plain := regexp.MustCompile(`\x1b\[[0-9;]*m`)
			processtest.Eventually(t, "the line is there", func() bool {
				return regexp.MustCompile(line).MatchString(plain.ReplaceAllString(s.shown.String(), ""))
			})
			if _, err := gate.WriteString("12"); err != nil {
				t.Fatal(err)
			}
			for i, says := range []string{"stopping the ranks", "killing the ranks", ""}[:test.signals] {
				s.signal(unix.SIGINT)
				if i < test.signals-1 {
					s.shown.await(t, 1, says)
				}
			}
			rows := s.rows(test.code)
			for _, row := range rows {
				if strings.Contains(row, "| generation") {
					t.Errorf("left behind: %q", row)
				}
			}
			if last := rows[len(rows)-1]; !regexp.MustCompile(`^` + test.last + `$`).MatchString(last) {
				t.Errorf("the last row is %q", last)
			}
		})
	}
}

// The line is cut to the terminal, also to one that changes; where there is no room there is none.
func TestStatusOnNarrowTerminals(t *testing.T) {
	s := sit(t, 30, nil, "-n", "2", "--", "sh", "-c", polite)
	s.shown.await(t, 1, `2 running \| gener`)
	if strings.Contains(s.shown.String(), "restarts left") {
		t.Error("it is longer than the terminal is wide")
	}
	s.resize(100)
	s.shown.await(t, 1, `restarts left \| \d+s\x1b`)
	s.resize(10)
	drawn := func() int { return strings.Count(s.shown.String(), "2 running") }
	processtest.Eventually(t, "it is drawn no more", func() bool {
		before := drawn()
		processtest.Eventually(t, "a while has passed", after(1500*time.Millisecond))
		return drawn() == before
	})
	s.signal(unix.SIGTERM)
	s.wants(143)
}

// after returns what is true when some time has passed.
func after(d time.Duration) func() bool {
	until := time.Now().Add(d)
	return func() bool { return time.Now().After(until) }
}

// Neither a dumb terminal nor one on which nobody looks at us has a line, and NO_COLOR has no colours.
func TestStatusWhereItIsNotWanted(t *testing.T) {
	for name, test := range map[string]struct {
		env, args     []string
		line, colours bool
	}{
		"a terminal": {nil, nil, true, true},
		"NO_COLOR":   {[]string{"NO_COLOR=1"}, nil, true, false},
		"TERM=dumb":  {[]string{"TERM=dumb"}, nil, false, false},
		"never":      {nil, []string{"--status", "never"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(test.args, "--ready", "line:up", "--", "sh", "-c", "echo up; sleep .5; exit 3")
			s := sit(t, 200, test.env, args...)
			s.rows(3)
			shown := s.shown.String()
			if line := strings.Contains(shown, "| generation 0 |"); line != test.line {
				t.Errorf("a line: %v", line)
			}
			if colours := regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(shown); colours != test.colours {
				t.Errorf("colours: %v", colours)
			}
			if !test.line && !test.colours && strings.Contains(shown, "\x1b") {
				t.Error("there are escapes")
			}
		})
	}
}

// In a file there are plain lines, if one wants any.
func TestPlainStatus(t *testing.T) {
	c := start(t, "-n", "2", "--status", "always", "--", "sh", "-c", polite)
	c.stderr.await(t, 1, `(?m)^launch: 2 (running|ready|starting) \| generation 0 \| 0 restarts left \| 0s$`)
	c.signal(unix.SIGTERM)
	c.wants(143)
	if code, _, stderr := here(t, "--status", "some", "true"); code != 2 || !strings.Contains(stderr, "choose auto, always or never") {
		t.Errorf("%d, %q", code, stderr)
	}
}

// What the line says, event by event.
func TestTally(t *testing.T) {
	at := time.Unix(1000, 0)
	tally := newTally(&flags{maxRestarts: 3, within: time.Hour}, 3, at)
	on := func(kind supervisor.EventKind, rank, generation int) supervisor.Event {
		return supervisor.Event{Kind: kind, Rank: rank, Generation: generation, At: at, Exit: &process.Exit{Stopped: rank != 0}}
	}
	var all []string
	step := func(events ...supervisor.Event) {
		for _, e := range events {
			tally.observe(e)
		}
		all = append(all, tally.line(at.Add(90*time.Second)))
	}
	step()
	step(on(supervisor.EventReady, 0, 0), on(supervisor.EventReady, 1, 0))
	step(on(supervisor.EventReady, 2, 0), on(supervisor.EventRunning, -1, 0))
	step(on(supervisor.EventExited, 0, 0), on(supervisor.EventFailed, 1, 0), on(supervisor.EventStop, 1, 0))
	decided := on(supervisor.EventDecided, 1, 0)
	decided.Action = supervisor.Restart
	step(decided, on(supervisor.EventStop, 2, 0), on(supervisor.EventExited, 2, 0), on(supervisor.EventWaiting, -1, 0))
	step(on(supervisor.EventSpawn, 1, 1), on(supervisor.EventSpawn, 2, 1))
	resized := on(supervisor.EventResized, -1, 1)
	resized.Size = 5
	step(resized, on(supervisor.EventRemoved, 4, 1))
	all = append(all, tally.line(at.Add(2*time.Hour)))
	want := []string{
		"3 starting | generation 0 | 3 restarts left | 1m30s",
		"2 ready, 1 starting | generation 0 | 3 restarts left | 1m30s",
		"3 running | generation 0 | 3 restarts left | 1m30s",
		"1 running, 1 failed, 1 done | generation 0 | 3 restarts left | 1m30s",
		"1 failed, 1 stopped, 1 done | generation 0 | waits for a restart | 2 restarts left | 1m30s",
		"2 starting, 1 done | generation 1 | 2 restarts left | 1m30s",
		"4 starting | generation 1 | 2 restarts left | 1m30s",
		"4 starting | generation 1 | 3 restarts left | 2h0m0s",
	}
	for i := range want {
		if all[i] != want[i] {
			t.Errorf("step %d: %q, want %q", i, all[i], want[i])
		}
	}
}

// Ctrl-Z leaves the terminal to the shell, with no line in its way, and fg brings the line back (T29).
func TestStatusIsSuspended(t *testing.T) {
	m := newMux(t, 100, 24)
	m.launch("-n", "2", "--", "sh", "-c", polite)
	m.await(`2 running \| generation 0`)
	m.keys("C-z")
	m.await(`(?m)Stopped`)
	if screen := m.screen(); strings.Contains(screen, "| generation") {
		t.Errorf("the line is there:\n%s", screen)
	}
	m.keys("fg", "Enter")
	m.await(`2 running \| generation 0`)
	m.keys("C-c")
	m.await(`status 130`)
	if screen := m.screen(); strings.Contains(screen, "| generation") {
		t.Errorf("the line is there:\n%s", screen)
	}
}
