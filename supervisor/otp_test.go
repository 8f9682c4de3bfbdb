package supervisor

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// O-13: what a spec leaves out has the obvious value, and what it says is kept.
func TestDefaults(t *testing.T) {
	s := Spec{Ranks: Repeat(1, process.Command{Args: []string{"true"}})}
	d := s.withDefaults()
	if d.Name != "group" || len(d.RunID) != 16 || d.Strategy != (FailFast{}) || d.Grace != 30*time.Second ||
		d.StartTimeout != time.Minute || d.Timeout != 0 || d.Ordered || d.RestartTypes != nil {
		t.Errorf("%+v", d)
	}
	s = Spec{Name: "a", RunID: "b", Strategy: IgnoreFailures{}, Grace: 1, StartTimeout: 2, Timeout: 3}
	if d := s.withDefaults(); d.Name != "a" || d.RunID != "b" || d.Strategy != (IgnoreFailures{}) || d.Grace != 1 || d.StartTimeout != 2 || d.Timeout != 3 {
		t.Errorf("%+v", d)
	}
}

// crowd is a machine with many ranks, all of which are ready.
func crowd(t testing.TB, c config) (m *machine, effects int) {
	t.Helper()
	c.grace, c.startTimeout, c.killWait, c.random = time.Second, time.Second, time.Second, func() float64 { return 0 }
	m = newMachine(c)
	effects = len(m.step(epoch, evStart{}))
	for rank := range c.size {
		id := process.ID{Rank: rank}
		effects += len(m.step(epoch, evStarted{id, 1 + rank})) + len(m.step(epoch, evReady{id}))
	}
	if m.phase != running {
		t.Fatalf("%d ranks are %v", c.size, m.phase)
	}
	return m, effects
}

// outcomesOf counts the ranks of a report.
func outcomesOf(r Report) map[Outcome]int {
	n := map[Outcome]int{}
	for _, rank := range r.Ranks {
		n[rank.Outcome]++
	}
	return n
}

// O-71, O-73, O-92: a report has every rank, however many they are, and what each is about.
func TestCounts(t *testing.T) {
	for _, size := range []int{1000, 2000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			m, _ := crowd(t, config{size: size, strategy: OneForOne{Restarts: 1, Backoff: Backoff{Min: time.Second}}})
			expect := func(when string, want map[Outcome]int) {
				t.Helper()
				if got := outcomesOf(m.report()); !maps.Equal(got, want) {
					t.Errorf("%s: %v", when, got)
				}
			}
			expect("at first", map[Outcome]int{Running: size})
			for rank := range 300 {
				m.step(epoch, evExited{id: process.ID{Rank: rank}})
			}
			expect("some are done", map[Outcome]int{Running: size - 300, Succeeded: 300})
			m.step(epoch, evExited{id: process.ID{Rank: 400}, exit: process.Exit{Code: 1}})
			expect("one waits for its restart", map[Outcome]int{Running: size - 301, Succeeded: 300, Failed: 1})
			m.step(epoch, evTimer{backoffTimer, m.serial[backoffTimer]})
			expect("it was started again", map[Outcome]int{Running: size - 300, Succeeded: 300})
			m.step(epoch, evStop{cause: ErrStopped})
			for rank := 300; rank < size; rank++ {
				id := process.ID{Rank: rank, Generation: m.lives[rank].generation}
				m.step(epoch, evExited{id: id, exit: process.Exit{Code: -1, Signal: 15, Stopped: true}})
			}
			expect("in the end", map[Outcome]int{Stopped: size - 300, Succeeded: 300})
		})
	}
}

// O-77, O-88: ten times as many ranks are ten times as much to do for the machine, in a start, a stop and an end: what it
// does for one rank does not depend on the others. One more is for the group itself.
func TestScale(t *testing.T) {
	cost := func(size int, temporary bool) int {
		c := config{size: size, strategy: FailFast{}}
		if temporary {
			c.types = make([]RestartType, size)
			for rank := range c.types {
				c.types[rank] = Temporary
			}
		}
		m, effects := crowd(t, c)
		if !temporary {
			effects += len(m.step(epoch, evStop{cause: ErrStopped}))
		}
		for rank := range size {
			effects += len(m.step(epoch, evExited{id: process.ID{Rank: rank}, exit: process.Exit{Stopped: !temporary}}))
		}
		if m.phase != done {
			t.Fatalf("%d ranks: %v", size, m.phase)
		}
		return effects
	}
	for _, temporary := range []bool{false, true} {
		once, twice, tenfold := cost(200, temporary), cost(400, temporary), cost(2000, temporary)
		each := twice - once // of 200 ranks more
		if tenfold != once+9*each || each%200 != 0 {
			t.Errorf("temporary %v: %d effects of 200 ranks, %d of 400, %d of 2000", temporary, once, twice, tenfold)
		}
	}
}

// BenchmarkMachine is all that the machine does for ten thousand ranks that start, and end: well, or because one of them fails.
func BenchmarkMachine(b *testing.B) {
	const size = 10_000
	for name, exit := range map[string]process.Exit{"well": {}, "failing": {Code: 1}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m, _ := crowd(b, config{size: size, strategy: FailFast{}})
				for rank := range size {
					m.step(epoch, evExited{id: process.ID{Rank: size - 1 - rank}, exit: exit})
				}
				if m.phase != done {
					b.Fatalf("the group is %v", m.phase)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/size, "µs/rank")
		})
	}
}
