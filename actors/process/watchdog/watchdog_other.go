//go:build !linux

package watchdog

import (
	"errors"
	"fmt"
	"time"
)

type impl struct{}

func start() (impl, error) {
	return impl{}, fmt.Errorf("watchdog: %w", errors.ErrUnsupported)
}

// PID returns 0: there is no watchdog here.
func (*Watchdog) PID() int { return 0 }

// Tell does nothing.
func (*Watchdog) Tell(Orders) error { return errors.ErrUnsupported }

// Settle does nothing.
func (*Watchdog) Settle(time.Duration) error { return errors.ErrUnsupported }

// Wait returns at once.
func (*Watchdog) Wait() {}

// Stop does nothing.
func (*Watchdog) Stop() {}

// Release does nothing.
func (*Watchdog) Release() {}
