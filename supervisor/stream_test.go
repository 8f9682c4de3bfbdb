package supervisor

import (
	"slices"
	"sync"
	"testing"
)

// A reader gets all events in order, whenever it begins; one that is too slow is told what it has missed.
func TestStream(t *testing.T) {
	var g Group
	var readers sync.WaitGroup
	const n = 4096
	for range 4 {
		readers.Go(func() {
			next := 1
			for e := range g.Events() {
				if e.Seq != next || e.Kind != EventReady {
					t.Errorf("event %d is %+v", next, e)
					return
				}
				next++
			}
			if next != n+1 {
				t.Errorf("the last was %d", next-1)
			}
		})
	}
	for seq := range n {
		g.stream.put(Event{Seq: seq + 1, Kind: EventReady})
	}
	g.stream.end()
	readers.Wait()
	for range g.Events() {
		break // and nothing is left
	}
}

func TestStreamGap(t *testing.T) {
	g := Group{stream: stream{size: 2}}
	most := g.stream.most()
	for seq := range 3 * most / 2 {
		g.stream.put(Event{Seq: seq + 1, Kind: EventReady, At: epoch})
	}
	g.stream.end()
	all := slices.Collect(g.Events())
	gap := all[0]
	if len(all) != most+1 || gap.Kind != EventGap || gap.Seq != most/2 || gap.Rank != -1 || all[1].Seq != most/2+1 ||
		gap.Reason != "2064 events were not read in time, and are gone" {
		t.Errorf("%d events, %+v, %+v", len(all), gap, all[1])
	}
	if len(g.stream.ring) != most || most != 4096+32 {
		t.Errorf("%d are kept, of %d", len(g.stream.ring), most)
	}
}
