package host

import "time"

// A lease is what keeps ranks from running twice. The agent may let ranks live until its lease ends, which is a lease's length
// after it last asked and was answered: it counts from the moment it asked. The root counts from the moment it answered, which
// is later in everybody's time, and adds the fence: what the agent may take to end its ranks. So when the root takes a host
// for lost, nothing of it is alive, whoever was slow, paused or cut off. Both count by monotonic clocks of their own and
// compare none; clocks that run at different speeds are what the fence has room for, too.

// A tenure is the agent's side of a lease.
type tenure struct {
	lease time.Duration
	asked map[uint64]time.Time // when; what is not answered
	count uint64
	until time.Time
}

// newTenure begins with the answer to a Join that was sent at begun.
func newTenure(lease time.Duration, begun time.Time) *tenure {
	return &tenure{lease: lease, asked: map[uint64]time.Time{}, until: begun.Add(lease)}
}

// ask returns the number of a new question.
func (t *tenure) ask(now time.Time) uint64 {
	t.count++
	t.asked[t.count] = now
	for n, at := range t.asked { // an answer to these could bring nothing
		if !at.Add(t.lease).After(t.until) {
			delete(t.asked, n)
		}
	}
	return t.count
}

// granted takes the answer to a question. It reports whether the lease is longer now.
func (t *tenure) granted(n uint64) bool {
	at, known := t.asked[n]
	delete(t.asked, n)
	if !known || !at.Add(t.lease).After(t.until) {
		return false
	}
	t.until = at.Add(t.lease)
	return true
}

// over reports whether the lease has ended.
func (t *tenure) over(now time.Time) bool { return !now.Before(t.until) }

// interval is how often an agent asks: four questions may be lost.
func interval(lease time.Duration) time.Duration { return max(lease/5, time.Millisecond) }

// fence is what the root waits after a lease: what the agent and its watchdog may take to end everything.
func fence(lease time.Duration) time.Duration { return min(max(lease/4, time.Second), 5*time.Second) }

// watchdogFence is how long after its lease an agent's watchdog ends what the agent itself has not: it was stopped, or worse.
func watchdogFence(lease time.Duration) time.Duration { return fence(lease) / 4 }

// The bounds of a lease. A shorter one would end with a breath of the garbage collector, a longer one with nobody's patience.
const (
	DefaultLease = 10 * time.Second
	MinLease     = 500 * time.Millisecond
	MaxLease     = 10 * time.Minute
)
