package stage

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Settings are what a process is set up with. The zero Settings change nothing.
type Settings struct {
	// CPUs are the processors the process may run on; empty means those of the supervisor.
	CPUs []int `json:"cpus,omitempty"`
	// Nodes are the NUMA nodes that its memory comes from; empty means any.
	Nodes []int `json:"nodes,omitempty"`
	// Nice is the scheduling priority, -20 to 19; nil means the supervisor's.
	Nice *int `json:"nice,omitempty"`
	// OOMScoreAdj is what the kernel's out-of-memory killer adds to the process's badness, -1000 to 1000.
	OOMScoreAdj *int `json:"oom_score_adj,omitempty"`
	// Limits are resource limits by their name in setrlimit(2), in lower case and without RLIMIT_: nofile, core, as, nproc …
	// Each is both the soft and the hard limit; bytes, seconds or a count, as setrlimit has it.
	Limits map[string]uint64 `json:"limits,omitempty"`
	// Stdin is a file that becomes standard input. Only to open a named pipe here is better than to hand it over: that
	// waits for a writer, and in the process it is the process that waits.
	Stdin string `json:"stdin,omitempty"`
}

// Empty reports whether there is nothing to set.
func (s Settings) Empty() bool {
	return len(s.CPUs) == 0 && len(s.Nodes) == 0 && s.Nice == nil && s.OOMScoreAdj == nil && len(s.Limits) == 0 && s.Stdin == ""
}

// ErrSettings is the condition of settings that cannot be made.
var ErrSettings = errors.New("stage: bad settings")

// Check reports everything about settings that is certain to fail, without changing anything.
func (s Settings) Check() error {
	var errs []error
	if s.Nice != nil && (*s.Nice < -20 || *s.Nice > 19) {
		errs = append(errs, fmt.Errorf("nice %d: give -20 to 19", *s.Nice))
	}
	if s.OOMScoreAdj != nil && (*s.OOMScoreAdj < -1000 || *s.OOMScoreAdj > 1000) {
		errs = append(errs, fmt.Errorf("oom_score_adj %d: give -1000 to 1000", *s.OOMScoreAdj))
	}
	for _, cpu := range s.CPUs {
		if cpu < 0 {
			errs = append(errs, fmt.Errorf("cpu %d: processors are numbered from 0", cpu))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Limits)) {
		if !known(name) {
			errs = append(errs, fmt.Errorf("limit %q: choose one of %v", name, names()))
		}
	}
	errs = append(errs, s.check()...)
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrSettings, errors.Join(errs...))
	}
	return nil
}
