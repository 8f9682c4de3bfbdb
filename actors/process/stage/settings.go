package stage

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
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
	Limits map[string]Limit `json:"limits,omitempty"`
	// Stdin is a file that becomes standard input. Only to open a named pipe here is better than to hand it over: that
	// waits for a writer, and in the process it is the process that waits.
	Stdin string `json:"stdin,omitempty"`
	// Dir becomes the working directory. Only one that may hang is better entered here: it is the process that hangs.
	Dir string `json:"dir,omitempty"`
}

// A Limit is what a process runs into, and how far it may raise that itself: bytes, seconds or a count, as setrlimit has
// it.
type Limit struct {
	Soft uint64 `json:"soft"`
	Hard uint64 `json:"hard"`
}

// Unlimited is the value of a limit that is none.
const Unlimited uint64 = math.MaxUint64

// Exactly returns the limit n, which the process may not raise.
func Exactly(n uint64) Limit { return Limit{Soft: n, Hard: n} }

// String returns SOFT, or SOFT:HARD where they differ.
func (l Limit) String() string {
	if l.Soft == l.Hard {
		return bound(l.Soft)
	}
	return bound(l.Soft) + ":" + bound(l.Hard)
}

func bound(n uint64) string {
	if n == Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// An Identity is a user with its groups.
type Identity struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"` // supplementary
}

// A Plan is all that a process does on the stage.
type Plan struct {
	Settings
	// As is who the process becomes, nil for nobody else: after the settings, which may be only its supervisor's to make, and
	// before it opens Stdin.
	As *Identity `json:"as,omitempty"`
	// Quiet is a descriptor that is closed as soon as a signal does to the process what it would do to the program in its
	// first moment; 0 for none. Until then some are lost: this is a Go program, whose runtime takes them.
	Quiet int `json:"quiet,omitempty"`
}

// Empty reports whether there is nothing to set.
func (s Settings) Empty() bool {
	return len(s.CPUs) == 0 && len(s.Nodes) == 0 && s.Nice == nil && s.OOMScoreAdj == nil && len(s.Limits) == 0 && s.Stdin == "" && s.Dir == ""
}

// Empty reports whether there is nothing to set, and nobody to become.
func (p Plan) Empty() bool { return p.As == nil && p.Settings.Empty() }

// ErrSettings is the condition of settings that cannot be made.
var ErrSettings = errors.New("stage: bad settings")

// Check reports everything about a plan that is certain to fail, without changing anything.
func (p Plan) Check() error {
	err := p.Settings.Check()
	if most, ok := p.processes(); ok && p.Limits["nproc"].Hard > most {
		err = errors.Join(err, fmt.Errorf("%w: limit nproc %v of another user: the hard limit is %d",
			ErrSettings, p.Limits["nproc"], most))
	}
	return err
}

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
		if l := s.Limits[name]; l.Soft > l.Hard {
			errs = append(errs, fmt.Errorf("limit %s %v: the soft limit must not be above the hard one", name, l))
		}
	}
	errs = append(errs, s.check()...)
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrSettings, errors.Join(errs...))
	}
	return nil
}
