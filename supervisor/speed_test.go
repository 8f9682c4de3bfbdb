package supervisor

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// BenchmarkStep is what the machine decides of one event, all its effects included: those of a group that starts, of which one
// rank fails, and which ends. An operation is the whole life; ns/event is one of its events.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{8, 1000} {
		b.Run(fmt.Sprintf("ranks=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			start, events := time.Unix(0, 0), 0
			tell := func(m *machine, ev event) {
				m.step(start, ev)
				events++
			}
			for b.Loop() {
				m := newMachine(config{
					size: n, strategy: FailFast{}, grace: time.Second, killWait: time.Second, startTimeout: time.Minute,
					random: func() float64 { return 0 },
				})
				tell(m, evStart{})
				for rank := range n {
					tell(m, evStarted{process.ID{Rank: rank}, rank + 2})
					tell(m, evReady{process.ID{Rank: rank}})
				}
				for rank := range n {
					tell(m, evExited{process.ID{Rank: rank}, rank + 2, process.Exit{Code: 1, Stopped: rank > 0}})
				}
				if m.phase != done {
					b.Fatalf("the group is %v: %v", m.phase, errors.Join(m.end))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
		})
	}
}
