package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-muster/muster/supervisor"
)

// A standing is how a rank stands, as the status line has it.
type standing string

const (
	starting standing = "starting"
	isReady  standing = "ready"
	running  standing = "running" // ready, in a group that runs
	failed   standing = "failed"
	stopping standing = "stopping"
	stopped  standing = "stopped"
	ended    standing = "done"
)

// standings is their order in the line.
var standings = []standing{running, isReady, starting, failed, stopping, stopped, ended}

// A tally counts how the ranks of a group stand, from its events.
type tally struct {
	start  time.Time
	budget int           // -1 for any, -2 when there is no number to tell
	within time.Duration // of the budget, 0 for the whole run

	mu         sync.Mutex
	ranks      map[int]standing
	generation int
	restarts   []time.Time // those that count
	waiting    time.Time   // until when the group waits, zero when it does not
}

func newTally(f *flags, size int, at time.Time) *tally {
	t := &tally{start: at, budget: f.maxRestarts, within: f.within, ranks: make(map[int]standing, size)}
	if f.rules != "" || f.decay > 0 || f.strategy == "fail-fast" || f.strategy == "ignore" {
		t.budget = -2
	}
	for rank := range size {
		t.ranks[rank] = starting
	}
	return t
}

// observe takes an event, and reports whether the line is another one because of it.
func (t *tally) observe(e supervisor.Event) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Kind {
	case supervisor.EventSpawn:
		t.ranks[e.Rank], t.generation, t.waiting = starting, max(t.generation, e.Generation), time.Time{}
	case supervisor.EventReady:
		t.ranks[e.Rank] = isReady
	case supervisor.EventRunning:
		for rank, s := range t.ranks {
			if s == isReady {
				t.ranks[rank] = running
			}
		}
	case supervisor.EventFailed:
		t.ranks[e.Rank] = failed
	case supervisor.EventStop, supervisor.EventKill:
		t.leaves(e.Rank, stopping)
	case supervisor.EventExited:
		if e.Exit.Stopped {
			t.leaves(e.Rank, stopped)
		} else {
			t.leaves(e.Rank, ended)
		}
	case supervisor.EventDecided:
		if e.Action == supervisor.Restart && !(e.Failure != nil && e.Failure.Directive.Free) {
			t.restarts = append(t.restarts, e.At)
		}
	case supervisor.EventWaiting:
		t.waiting = e.At.Add(e.After)
	case supervisor.EventRemoved:
		delete(t.ranks, e.Rank)
	case supervisor.EventResized:
		clear(t.ranks)
		for rank := range e.Size {
			t.ranks[rank] = starting
		}
	default:
		return false
	}
	return true
}

// leaves is for who has not failed: that is what one wants to see of those who have.
func (t *tally) leaves(rank int, as standing) {
	if t.ranks[rank] != failed {
		t.ranks[rank] = as
	}
}

// line is the status line.
func (t *tally) line(at time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[standing]int{}
	for _, s := range t.ranks {
		counts[s]++
	}
	var ranks []string
	for _, s := range standings {
		if n := counts[s]; n > 0 {
			ranks = append(ranks, fmt.Sprintf("%d %s", n, s))
		}
	}
	parts := []string{strings.Join(ranks, ", "), fmt.Sprintf("generation %d", t.generation)}
	if !t.waiting.IsZero() {
		parts = append(parts, "waits for a restart")
	}
	parts = append(parts, t.left(at), at.Sub(t.start).Truncate(time.Second).String())
	return strings.Join(parts, " | ")
}

// left is how many restarts there are still.
func (t *tally) left(at time.Time) string {
	used := 0
	for _, r := range t.restarts {
		if t.within == 0 || at.Sub(r) < t.within {
			used++
		}
	}
	if t.budget < 0 {
		return count(len(t.restarts), "restart")
	}
	return count(max(0, t.budget-used), "restart") + " left"
}
