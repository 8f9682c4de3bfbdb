package supervisor

import (
	"fmt"
	"iter"
	"sync"
)

// EventGap is an event of [Group.Events] alone: the reader was too slow, and the events up to and including its Seq are
// gone for it. Reason tells how many.
const EventGap EventKind = "gap"

// Events returns all events of the group, from its first one on, and ends after the last. Each use of the sequence begins
// anew, from any goroutine, even after the end of the group; one that is left early leaves nothing behind.
//
// A reader never holds the group up. What is kept are the last 4096 events, and 16 more for each rank of the start, which is at
// least two generations: a reader that falls further behind is told so by an [EventGap] in place of what it has missed. Who must
// not miss any takes [WithObserver] or [WithJournal].
func (g *Group) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for next := 1; ; {
			e, ok := g.stream.await(next)
			if !ok || !yield(e) {
				return
			}
			next = e.Seq + 1
		}
	}
}

// A stream holds the newest events of a group for its readers. Its zero value is empty and keeps the least.
type stream struct {
	mu    sync.Mutex
	ring  []Event
	size  int // of the group
	last  int // the number of the newest event
	ended bool
	more  chan struct{} // closed when there is more to read; nil when nobody waits
}

// most is how many events are kept.
func (s *stream) most() int { return 4096 + 16*s.size }

// put adds an event. Events come in order, without gaps.
func (s *stream) put(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last = e.Seq; len(s.ring) < s.most() {
		s.ring = append(s.ring, e)
	} else {
		s.ring[(e.Seq-1)%len(s.ring)] = e
	}
	s.news()
}

// end says that there will be no more.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.news()
}

func (s *stream) news() {
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
}

// await returns an event, or the gap in its place, and waits for it if it has not come; false when it never will.
func (s *stream) await(seq int) (Event, bool) {
	for {
		e, ok, more := s.look(seq)
		if more == nil {
			return e, ok
		}
		<-more
	}
}

// look is await without the wait: more is closed when it is worth looking again.
func (s *stream) look(seq int) (e Event, ok bool, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch oldest := s.last - len(s.ring) + 1; {
	case seq < oldest:
		reason := fmt.Sprintf("%d events were not read in time, and are gone", oldest-seq)
		return Event{Seq: oldest - 1, At: s.ring[(oldest-1)%len(s.ring)].At, Kind: EventGap, Rank: -1, Reason: reason}, true, nil
	case seq <= s.last:
		return s.ring[(seq-1)%len(s.ring)], true, nil
	case s.ended:
		return Event{}, false, nil
	}
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return Event{}, false, s.more
}
