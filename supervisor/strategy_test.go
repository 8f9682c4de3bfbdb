package supervisor

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// past returns a state at epoch of a group of four, with restarts that many seconds ago, oldest first.
func past(seconds ...int) State {
	s := State{Now: epoch, Size: 4, Random: 0.5}
	for _, ago := range seconds {
		s.Restarts = append(s.Restarts, epoch.Add(-time.Duration(ago)*time.Second))
	}
	return s
}

func TestStrategies(t *testing.T) {
	second, uptime := Backoff{Min: time.Second, Max: time.Minute}, 3*time.Second
	for _, c := range []struct {
		name     string
		strategy Strategy
		state    State
		want     Directive
	}{
		{"no budget", AllForOne{}, past(), Directive{Reason: "no restarts are allowed"}},
		{"the first of three", AllForOne{Restarts: 3}, past(), Directive{Action: Restart, Reason: "restart 1 of 3"}},
		{"the last of three", AllForOne{Restarts: 3}, past(9, 8), Directive{Action: Restart, Reason: "restart 3 of 3"}},
		{"one too many", AllForOne{Restarts: 3}, past(9, 8, 7), Directive{Reason: "3 of 3 restarts used"}},
		{"one too many in the window", AllForOne{Restarts: 2, Within: 10 * time.Second}, past(99, 9, 8),
			Directive{Reason: "2 of 2 restarts used within 10s"}},
		{"the window has moved on", AllForOne{Restarts: 2, Within: 10 * time.Second}, past(99, 98, 8),
			Directive{Action: Restart, Reason: "restart 2 of 2"}},
		{"any number", AllForOne{Restarts: -1}, past(3, 2, 1), Directive{Action: Restart, Reason: "restart 4"}},
		{"with a wait", AllForOne{Restarts: 3, Backoff: second}, past(9),
			Directive{Action: Restart, After: 1500 * time.Millisecond, Reason: "restart 2 of 3"}},
		{"a wait that the window makes short again", AllForOne{Restarts: 3, Within: time.Second, Backoff: second}, past(9, 8),
			Directive{Action: Restart, After: 750 * time.Millisecond, Reason: "restart 1 of 3"}},
		{"linger", AllForOne{Restarts: 1, Linger: time.Second}, past(),
			Directive{Action: Restart, Linger: time.Second, Reason: "restart 1 of 1"}},
		{"linger, and the end", AllForOne{Linger: time.Second}, past(),
			Directive{Linger: time.Second, Reason: "no restarts are allowed"}},
		{"half of two is one", AllForOne{Restarts: 2, Decay: 10 * time.Second}, past(10, 10),
			Directive{Action: Restart, Reason: "restart 2 of 2"}},
		{"a little more than half", AllForOne{Restarts: 2, Decay: 10 * time.Second}, past(9, 9),
			Directive{Reason: "2 of 2 restarts used, each of which counts half after 10s"}},
		{"all is forgotten", AllForOne{Restarts: 1, Decay: 10 * time.Second}, past(67),
			Directive{Action: Restart, Reason: "restart 1 of 1"}},
		{"it lived long enough", OneForOne{Restarts: 1, MinUptime: uptime}, past(),
			Directive{Action: Restart, Ranks: []int{2}, Reason: "restart 1 of 1"}},
		{"it did not", RestForOne{Restarts: 1, MinUptime: uptime + 1}, past(),
			Directive{Reason: "it lived 3s, and a restart is worth while after 3.000000001s"}},
		{"it did not, and others may go on a while", AllForOne{Restarts: 1, MinUptime: time.Hour, Linger: 1}, past(),
			Directive{Linger: 1, Reason: "it lived 3s, and a restart is worth while after 1h0m0s"}},
		{"ignore", IgnoreFailures{}, past(), Directive{Action: Ignore, Reason: "failures are ignored"}},
		{"one for one", OneForOne{Restarts: 1}, past(),
			Directive{Action: Restart, Ranks: []int{2}, Reason: "restart 1 of 1"}},
		{"one for one, no budget", OneForOne{Restarts: 1}, past(1), Directive{Reason: "1 of 1 restarts used"}},
		{"rest for one", RestForOne{Restarts: 1, Backoff: second}, past(),
			Directive{Action: Restart, Ranks: []int{2, 3}, After: 750 * time.Millisecond, Reason: "restart 1 of 1"}},
		{"rest for one, no budget", RestForOne{}, past(), Directive{Reason: "no restarts are allowed"}},
		{"fail fast", FailFast{Linger: time.Minute}, past(), Directive{Linger: time.Minute, Reason: "fail-fast"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.strategy.Decide(c.state, &Failure{Rank: 2, Uptime: uptime})
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// O-28: a strategy that makes no sense is refused, with all that is wrong with it.
func TestBadStrategies(t *testing.T) {
	for _, c := range []struct {
		strategy Checker
		want     string
	}{
		{AllForOne{Within: -1, Linger: -2}, "Within is negative (-1ns)\nLinger is negative (-2ns)"},
		{OneForOne{MinUptime: -1}, "MinUptime is negative (-1ns)"},
		{RestForOne{Decay: -1}, "Decay is negative (-1ns)"},
		{FailFast{Linger: -1}, "Linger is negative (-1ns)"},
		{OneForOne{Backoff: Backoff{Min: -1}}, "Backoff.Min is negative (-1ns)"},
		{OneForOne{Backoff: Backoff{Min: 2, Max: 1}}, "the Backoff's Max (1ns) is less than its Min (2ns): use 0 for no growth"},
		{AllForOne{Within: 1, Decay: 1}, "a budget is either Within a window or subject to Decay: leave one at 0"},
		{StrategyFunc(nil), "the StrategyFunc is nil: give a function"},
		{FromProtoactor(nil).(Checker), "FromProtoactor: there is no strategy: give one of the engine's"},
	} {
		if err := c.strategy.Check(); err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v, want %s", c.strategy, err, c.want)
		}
		if err := (Spec{Strategy: c.strategy}).Check(nil); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.strategy, err)
		}
	}
	var nobody *AllForOne // whose Check panics
	if err := (Spec{Strategy: nobody}).Check(nil); !errors.Is(err, ErrSpec) ||
		!strings.Contains(err.Error(), "the Check of the strategy (*supervisor.AllForOne) panicked: ") {
		t.Errorf("a pointer to none: %v", err)
	}
	for _, good := range []Checker{AllForOne{}, OneForOne{Restarts: -1, Backoff: Backoff{Min: 1}}, RestForOne{Decay: 1}, FailFast{}, StrategyFunc(FailFast{}.Decide)} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

func TestRestartsWithin(t *testing.T) {
	s := past(10, 5, 5, 0)
	for window, want := range map[time.Duration]int{
		0: 4, -time.Second: 4, 1: 1, 5 * time.Second: 1, 5*time.Second + 1: 3, 10 * time.Second: 3, time.Hour: 4,
	} {
		if got := s.RestartsWithin(window); got != want {
			t.Errorf("%d restarts within %v, want %d", got, window, want)
		}
	}
	if got := past().RestartsWithin(time.Hour); got != 0 {
		t.Errorf("%d restarts of none", got)
	}
	if got := past(9, 8).RestartsWithin(time.Second); got != 0 {
		t.Errorf("%d restarts in a window after the last", got)
	}
}

// A strategy is told of the latest restarts, and how many there were: a service that restarts for years does not grow.
func TestForgottenRestarts(t *testing.T) {
	m, day := newMachine(config{size: 1, random: func() float64 { return 0 }}), 24*time.Hour
	for n := range 3*keptRestarts + 1 {
		m.now = epoch.Add(time.Duration(n) * day)
		m.noteRestart()
	}
	s := m.state()
	if n := len(s.Restarts); n < keptRestarts || n >= 2*keptRestarts || cap(m.restarts) > 4*keptRestarts || !s.Restarts[n-1].Equal(m.now) {
		t.Errorf("%d restarts are kept, the last is %v", n, s.Restarts[n-1])
	}
	if all, week := s.RestartsWithin(0), s.RestartsWithin(7*day); all != 3*keptRestarts+1 || week != 7 {
		t.Errorf("%d restarts in all, %d in the last week", all, week)
	}
	if d := (AllForOne{Restarts: 3*keptRestarts + 1}).Decide(s, &Failure{}); d.Action != Terminate {
		t.Errorf("a budget that is spent: %+v", d)
	}
}

// A chooser leaves what it does not decide to somebody else.
type chooser struct {
	FailFast
	to func(State, *Failure) Strategy
}

func (c *chooser) Delegate(s State, f *Failure) Strategy { return c.to(s, f) }

// A Delegator's choice decides, however deep, with a question of its own; one that never comes to an end, or panics, is at fault.
func TestDelegate(t *testing.T) {
	to := func(s Strategy) *chooser {
		return &chooser{to: func(s2 State, f *Failure) Strategy {
			f.Rank, s2.Restarts[0] = 9, time.Time{} // which changes nothing for who is asked next
			return s
		}}
	}
	endless := &chooser{}
	endless.to = func(State, *Failure) Strategy { return endless }
	for _, c := range []struct {
		name     string
		strategy Strategy
		want     Directive
		says     string
	}{
		{"itself", &chooser{FailFast: FailFast{Linger: 1}, to: func(State, *Failure) Strategy { return nil }}, Directive{Linger: 1, Reason: "fail-fast"}, ""},
		{"another", to(OneForOne{Restarts: 2}), Directive{Action: Restart, Ranks: []int{2}, Reason: "restart 2 of 2"}, ""},
		{"another's other", to(to(to(IgnoreFailures{}))), Directive{Action: Ignore, Reason: "failures are ignored"}, ""},
		{"endless", endless, Directive{}, "it delegates without end"},
		{"a panic", &chooser{to: func(State, *Failure) Strategy { panic("no idea") }}, Directive{}, "it panicked: no idea"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := past(3), &Failure{Rank: 2}
			by, err := delegate(c.strategy, s, f)
			if c.says != "" {
				if !errors.Is(err, ErrStrategy) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v", err)
				}
				return
			}
			if d, err2 := try(by, s, f); err != nil || err2 != nil || !reflect.DeepEqual(d, c.want) {
				t.Errorf("%+v, %v, %v", d, err, err2)
			}
		})
	}
}

func TestDelay(t *testing.T) {
	for _, c := range []struct {
		backoff Backoff
		n       int
		random  float64
		want    time.Duration
	}{
		{Backoff{}, 5, 0.9, 0},
		{Backoff{Min: -1, Max: time.Hour}, 5, 0.9, 0},
		{Backoff{Min: 8}, 0, 0, 4},
		{Backoff{Min: 8}, 0, 0.5, 6},
		{Backoff{Min: 8}, 9, 0, 4},
		{Backoff{Min: 8, Max: 4}, 9, 0, 4},
		{Backoff{Min: 8, Max: 32}, 1, 0, 8},
		{Backoff{Min: 8, Max: 32}, 2, 0, 16},
		{Backoff{Min: 8, Max: 32}, 3, 0, 16},
		{Backoff{Min: 8, Max: 20}, 9, 0, 10},
		{Backoff{Min: 8, Max: 20}, -1, 0, 4},
		{Backoff{Min: 7}, 0, 0.99999, 6},
	} {
		if got := c.backoff.Delay(c.n, c.random); got != c.want {
			t.Errorf("%+v waits %d before restart %d (%v), want %d", c.backoff, got, c.n, c.random, c.want)
		}
	}
}

// TestDelayProperties: for whatever numbers, the wait is between half of the whole and all of it, never beyond the cap,
// never negative, and does not shrink from one restart to the next.
func TestDelayProperties(t *testing.T) {
	holds := func(least, most uint64, n uint16, random float64) bool {
		b := Backoff{Min: time.Duration(least >> (1 + n%60)), Max: time.Duration(most >> (1 + n%40))}
		limit := max(b.Min, b.Max)
		half, d := b.Delay(int(n), 0), b.Delay(int(n), random)
		return b.Min/2 <= half && half <= limit/2 && half <= d && d-half <= half+1 &&
			b.Delay(int(n)+1, random) >= d && b.Delay(math.MaxInt, random) <= limit
	}
	source := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		least, most, n, random := source.Uint64(), source.Uint64(), uint16(source.Uint32()), source.Float64()
		if !holds(least, most, n, random) {
			t.Fatalf("not for %d, %d, %d, %v", least, most, n, random)
		}
	}
	if err := quick.Check(func(least, most uint64, n uint16) bool { return holds(least, most, n, 0) }, nil); err != nil {
		t.Error(err)
	}
}

// TestDelaySpreads: jitter that does not spread is none.
func TestDelaySpreads(t *testing.T) {
	b, source := Backoff{Min: time.Second}, rand.New(rand.NewPCG(3, 4))
	var low, high int
	for range 1000 {
		switch d := b.Delay(0, source.Float64()); {
		case d < 600*time.Millisecond:
			low++
		case d > 900*time.Millisecond:
			high++
		}
	}
	if low < 100 || high < 100 {
		t.Errorf("of a thousand waits %d are short and %d are long", low, high)
	}
}

// TestState: a strategy is told how things are, and cannot change them.
func TestState(t *testing.T) {
	var states []State
	var seen []*Failure
	m := newMachine(config{
		size: 2, random: func() float64 { return 0.25 },
		strategy: StrategyFunc(func(s State, f *Failure) Directive {
			states, seen = append(states, s), append(seen, f)
			f.Rank = 77
			for i := range s.Restarts {
				s.Restarts[i] = time.Time{}
			}
			return Directive{Action: Restart}
		}),
	})
	m.step(epoch, evStart{})
	for generation := range 2 {
		for rank := range 2 {
			id := process.ID{Rank: rank, Generation: generation}
			m.step(epoch, evStarted{id, 1})
			if generation == 1 {
				m.step(epoch, evReady{id})
			}
		}
		for rank := range 2 {
			m.step(epoch, evExited{process.ID{Rank: rank, Generation: generation}, 1, process.Exit{Code: 1}})
		}
	}
	if len(states) != 2 {
		t.Fatalf("the strategy was asked %d times", len(states))
	}
	first, second := states[0], states[1]
	if !first.Starting || first.Generation != 0 || first.Size != 2 || first.Random != 0.25 || !first.Now.Equal(epoch) {
		t.Errorf("first it was told %+v", first)
	}
	if second.Starting || second.Generation != 1 || len(second.Restarts) != 1 {
		t.Errorf("then it was told %+v", second)
	}
	if m.restarts[0] != epoch || m.failures[0].Rank != 0 || m.failures[0] == seen[0] {
		t.Error("it could change what the machine knows")
	}
}

func TestActions(t *testing.T) {
	for a, want := range map[Action]string{Terminate: "terminate", Restart: "restart", Ignore: "ignore", 9: "action 9"} {
		if got := a.String(); got != want {
			t.Errorf("%d is %q, want %q", int(a), got, want)
		}
	}
}
