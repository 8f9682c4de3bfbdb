package watchdog

import "time"

// Orders say what a watchdog ends. Later orders replace earlier ones.
type Orders struct {
	// Cgroup is a directory whose cgroup.kill ends everything, and which is removed then; empty for none.
	Cgroup string
	// Mark is a "KEY=value" that every process to be ended has in its environment; empty for none.
	Mark string
	// Lease is when, by CLOCK_MONOTONIC, all of it is ended though the lifeline is there: whoever holds that may be stopped.
	// What comes later is guarded as before. 0 means never.
	Lease time.Duration
}

// A Watchdog is a running watchdog process.
type Watchdog struct{ impl }

// Start starts a watchdog. It returns an error that wraps errors.ErrUnsupported where there is none, and the error of
// the start otherwise.
func Start() (*Watchdog, error) {
	i, err := start()
	if err != nil {
		return nil, err
	}
	return &Watchdog{i}, nil
}

// patience bounds what a watchdog does after the end of its lifeline.
const patience = 30 * time.Second
