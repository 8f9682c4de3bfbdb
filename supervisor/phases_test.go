package supervisor

import (
	"testing"
	"testing/quick"
	"time"
)

// The parts of a generation's time add up to it, whatever is known of it.
func TestPhasesAddUp(t *testing.T) {
	add := func(after [8]uint16, known [8]bool, until uint16) bool {
		at, points := epoch, [8]time.Time{}
		for i := range points {
			if at = at.Add(time.Duration(after[i])); known[i] {
				points[i] = at
			}
		}
		end := epoch.Add(time.Duration(until)) // may be before some of them, which then do not count
		g := GenerationReport{
			0, "", 1, epoch, points[0], points[1], points[2], points[3], points[4], points[5], points[6], points[7],
		}
		p := g.Phases(end)
		sum := p.Spawn + p.Ready + p.Run + p.Detect + p.Decide + p.Linger + p.Stop + p.Reap + p.Backoff
		for _, part := range g.parts(end) {
			if part < 0 {
				return false
			}
		}
		return sum == end.Sub(epoch)
	}
	if err := quick.Check(add, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}
