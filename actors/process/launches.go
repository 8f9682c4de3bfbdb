package process

import (
	"sync"
	"time"
)

// launches are those of this program that go on: until the process exists, that of a function with an argument until it is up.
var launches gauge

// A gauge counts what goes on, and tells when nothing does.
type gauge struct {
	mu    sync.Mutex
	count int
	quiet chan struct{} // closed when the count is 0 again; nil while it is
}

// begin counts one more until end is called.
func (g *gauge) begin() (end func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count++; g.count == 1 {
		g.quiet = make(chan struct{})
	}
	return g.end
}

func (g *gauge) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count--; g.count == 0 {
		close(g.quiet)
		g.quiet = nil
	}
}

// settle waits until nothing goes on, but no longer than most.
func (g *gauge) settle(most time.Duration) {
	g.mu.Lock()
	quiet := g.quiet
	g.mu.Unlock()
	if quiet == nil {
		return
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-quiet:
	case <-timer.C:
	}
}
