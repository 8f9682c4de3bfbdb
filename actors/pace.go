package actors

import "time"

const (
	// burst is how many facts of one kind a worker may tell at once.
	burst = 16
	// progressPace is how often the parent is told of progress when a worker keeps no pace itself.
	progressPace = 50 * time.Millisecond
)

// A pace lets burst events pass at once, and then one in each interval: the parent's mailbox has no bound, and a worker that
// does not keep to the protocol's pace must not fill it.
type pace struct {
	interval time.Duration
	left     int
	since    time.Time // when left was counted
}

func newPace(interval time.Duration) pace { return pace{interval: interval, left: burst} }

// pass reports whether one more may pass.
func (p *pace) pass(now time.Time) bool {
	if p.left == burst {
		p.since = now
	}
	if more := int(now.Sub(p.since) / p.interval); more > 0 {
		p.left, p.since = min(burst, p.left+more), p.since.Add(time.Duration(more)*p.interval)
	}
	if p.left == 0 {
		return false
	}
	p.left--
	return true
}
