package process

import "time"

// A Leaser is a Launcher that can end its processes by itself when nobody says in time that they may live on: even if this
// program is stopped, or hangs.
type Leaser interface {
	// Lease sets the time, by this program's monotonic clock, at which everything that was launched is killed, unless Lease is
	// called again before. The zero time takes it back.
	Lease(until time.Time)
}
