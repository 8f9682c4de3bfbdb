package process

import (
	"testing"
	"testing/synctest"
	"time"
)

// Whoever waits goes on with the end of the last that goes on, or when it has waited long enough.
func TestGauge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		waits := func(most time.Duration) time.Duration {
			start := time.Now()
			g.settle(most)
			return time.Since(start)
		}
		if d := waits(time.Second); d != 0 {
			t.Errorf("where nothing goes on it takes %v", d)
		}
		first, second := g.begin(), g.begin()
		time.AfterFunc(time.Millisecond, first)
		time.AfterFunc(3*time.Millisecond, second)
		if d := waits(time.Second); d != 3*time.Millisecond {
			t.Errorf("the last ends after 3 ms, not %v", d)
		}
		end := g.begin()
		if d := waits(time.Second); d != time.Second {
			t.Errorf("what does not end holds up for %v", d)
		}
		end()
		if d := waits(time.Second); d != 0 {
			t.Errorf("where nothing goes on any more it takes %v", d)
		}
	})
}
