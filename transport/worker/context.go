package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/go-muster/muster/transport"
)

// ErrStopped is the cause of a worker's context once the supervisor asked it to stop.
var ErrStopped = errors.New("worker: stopped by the supervisor")

// A stopContext is done when the supervisor asks this worker to stop, by message or by SIGTERM.
//
// Only somebody who looks at Done or Err can react, so it is the first look that takes SIGTERM over from the system:
// a function that never looks ends at once, as any program without a handler does, and does not sit out its grace.
type stopContext struct {
	context.Context
	cancel context.CancelCauseFunc
	stops  <-chan *transport.Stop
	look   sync.Once
}

func newContext(stops <-chan *transport.Stop) *stopContext {
	c := &stopContext{stops: stops}
	c.Context, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// Done returns a channel that is closed when the worker is to stop.
func (c *stopContext) Done() <-chan struct{} {
	c.look.Do(c.watch)
	return c.Context.Done()
}

// Err returns nil until the worker is to stop.
func (c *stopContext) Err() error {
	c.look.Do(c.watch)
	return c.Context.Err()
}

// stopped reports whether the worker was asked to stop, without being a look.
func (c *stopContext) stopped() bool { return c.Context.Err() != nil }

func (c *stopContext) watch() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, stopSignals...)
	go func() { // ends with the process, or after the first of both
		select {
		case sig := <-signals:
			c.cancel(fmt.Errorf("%w (%v)", ErrStopped, sig))
		case stop := <-c.stops:
			c.cancel(fmt.Errorf("%w: %s (killed in %v)", ErrStopped, stop.Reason, stop.Grace.Round(time.Millisecond)))
		}
	}()
}
