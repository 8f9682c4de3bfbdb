package supervisor

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// A Spec says what to run; apart from its Strategy it is data. The zero value of each field but Ranks means the obvious.
type Spec struct {
	// Name is for people: in events, reports and logs. Empty means "group".
	Name string `json:"name,omitempty"`
	// RunID names this run: in logs, and in the environment of every rank. Empty means a random one.
	RunID string `json:"run_id,omitempty"`
	// Ranks holds one command for each rank; their number is the world size.
	Ranks []process.Command `json:"ranks"`
	// MinRanks and MaxRanks are the bounds within which [Group.Add], [Group.Remove] and [Group.Resize] may change the number
	// of ranks; those that were removed do not count. 0 means one, and no upper bound.
	MinRanks int `json:"min_ranks,omitempty"`
	MaxRanks int `json:"max_ranks,omitempty"`
	// Elastic lets the group get on with more or fewer hosts than it was meant for.
	Elastic Elastic `json:"elastic,omitzero"`
	// Ordered starts the ranks one after the other, each when the one before is ready, and stops them one by one in reverse
	// order, each with its own Grace, as OTP does. It is for ranks that use those before them.
	Ordered bool `json:"ordered,omitempty"`
	// Liveness says when a rank counts as hung. Zero means never.
	Liveness Liveness `json:"liveness,omitzero"`
	// RestartTypes says what the end of each rank is to the group. Ranks beyond its length are Transient.
	RestartTypes []RestartType `json:"restart_types,omitempty"`
	// Success says when the group has done its work. Zero means when all ranks have ended well.
	Success Success `json:"success,omitzero"`
	// Significant lists the ranks whose own end ends the group, as AutoShutdown has it.
	Significant  []int    `json:"significant,omitempty"`
	AutoShutdown Shutdown `json:"auto_shutdown,omitempty"`
	// Strategy decides what happens when a rank fails. Nil means FailFast: the group ends.
	Strategy Strategy `json:"-"`
	// Grace is the time between the polite and the final signal to a rank. 0 means 30 s, as in torch.
	Grace time.Duration `json:"grace,omitempty"`
	// StartTimeout is the time that each rank has to become ready, from the start of its process. 0 means 60 s.
	StartTimeout time.Duration `json:"start_timeout,omitempty"`
	// Timeout is the time that the group has for everything, restarts included. 0 means no limit.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Lifetime is the time that each generation has, from its start: ranks that live on then fail, and the strategy decides.
	// 0 means no limit.
	Lifetime time.Duration `json:"lifetime,omitempty"`
	// MaxResult is the largest result of one rank that is kept in memory, in bytes: a rank with a larger one fails. 0 means
	// 64 MiB. Results that are written elsewhere as they come, see [MapTo], have no bound.
	MaxResult int `json:"max_result,omitempty"`
	// FirstGeneration is the number of the first generation: for a group that goes on with what another one has begun. See
	// [Journal.Resume].
	FirstGeneration int `json:"first_generation,omitempty"`
	// GPUs divides the machine's GPUs among the ranks. The zero value does not.
	GPUs GPUs `json:"gpus,omitzero"`
}

const (
	defaultGrace        = 30 * time.Second
	defaultStartTimeout = 60 * time.Second
	defaultMaxResult    = 64 << 20         // bytes
	exitTime            = time.Second      // what a rank that raised may take to end by itself
	killWait            = 10 * time.Second // what a process may take to die of SIGKILL before it is abandoned
	history             = 1000             // failures and generations that a report has at least
	keptRestarts        = 10_000           // restarts of which a strategy is told the time at least
	answerTime          = time.Minute      // what a strategy that does not answer at once may take
)

// Environment returns the variables that a rank of the first generation finds besides its command's own, each
// "KEY=value". MASTER_PORT is 0 in it, and TORCHELASTIC_ERROR_FILE is missing: they are chosen at the start.
func (s Spec) Environment(rank int) []string {
	s = s.withDefaults()
	return s.environment(rank, s.Roles()[rank])
}

// Conditions lists what a rank runs under that another might not, each in a few words: what its command sets up, see
// [process.Command.Conditions], and its GPUs.
func (s Spec) Conditions(rank int) []string {
	return append(s.Ranks[rank].Conditions(), s.GPUs.environment(rank)...)
}

// ErrSpec is the condition of a Spec that cannot be run. Nothing was started.
var ErrSpec = errors.New("supervisor: bad spec")

// Repeat returns n copies of one command: a group's size is the length of its list.
func Repeat(n int, c process.Command) []process.Command {
	ranks := make([]process.Command, max(0, n))
	for i := range ranks {
		ranks[i] = c
	}
	return ranks
}

// Check reports everything that is wrong with a spec, as [Start] with this launcher would, and starts nothing. Its error
// wraps [ErrSpec].
func (s Spec) Check(l process.Launcher) error {
	var errs []error
	if len(s.Ranks) == 0 {
		errs = append(errs, errors.New("there are no ranks: a group has at least one"))
	} else {
		errs = append(errs, s.bounds().check(len(s.Ranks)))
	}
	errs = append(errs, s.checkNumbers())
	terms, strategy := s.terms(), checkStrategy(s.Strategy)
	errs = append(errs, strategy, s.Liveness.check(), terms.check(len(s.Ranks)), s.checkGPUs(l), s.checkElastic(l), s.checkCommands(l, "rank"))
	if strategy != nil {
		s.Strategy = nil // it may not even say how many restarts there may be
	}
	if p, ok := l.(process.Preflighter); ok {
		errs = append(errs, p.Preflight(s.asLaunched()))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return nil
}

// checkNumbers reports numbers that make no sense.
func (s *Spec) checkNumbers() error {
	var errs []error
	for _, d := range []struct {
		name string
		is   time.Duration
	}{{"Grace", s.Grace}, {"StartTimeout", s.StartTimeout}, {"Timeout", s.Timeout}, {"Lifetime", s.Lifetime}} {
		if d.is < 0 {
			errs = append(errs, fmt.Errorf("%s is negative (%v): use 0 for the default", d.name, d.is))
		}
	}
	if s.MaxResult < 0 {
		errs = append(errs, fmt.Errorf("MaxResult is negative (%d bytes): use 0 for the default", s.MaxResult))
	}
	if s.FirstGeneration < 0 {
		errs = append(errs, fmt.Errorf("FirstGeneration is negative (%d)", s.FirstGeneration))
	}
	return errors.Join(errs...)
}

func (s *Spec) bounds() bounds { return bounds{s.MinRanks, s.MaxRanks} }

func (s *Spec) terms() terms {
	return Terms{s.RestartTypes, s.Success, s.Significant, s.AutoShutdown}.terms()
}

// config is what the machine is to know, but for its source of randomness.
func (s *Spec) config() config {
	return config{
		terms: s.terms(), ordered: s.Ordered, size: len(s.Ranks), bounds: s.bounds(), elastic: s.Elastic, first: s.FirstGeneration, strategy: s.Strategy,
		grace: s.Grace, startTimeout: s.StartTimeout, timeout: s.Timeout, lifetime: s.Lifetime, liveness: s.Liveness,
		exitTime: exitTime, killWait: killWait, answerTime: answerTime, history: history,
	}
}

// checkCommands looks at every command, once where ranks beside each other have the same. It tells what is wrong with several of
// them once, by the first: which needs no name when it is wrong with all.
func (s *Spec) checkCommands(l process.Launcher, name string) error {
	times := map[string]int{}
	var errs []error
	var err error
	for rank, c := range s.Ranks {
		if rank == 0 || !reflect.DeepEqual(c, s.Ranks[rank-1]) {
			err = l.Check(c)
		}
		if err == nil {
			continue
		}
		if times[err.Error()]++; times[err.Error()] == len(s.Ranks) {
			return err
		} else if times[err.Error()] == 1 {
			errs = append(errs, fmt.Errorf("%s %d: %w", name, rank, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Spec) withDefaults() Spec {
	d := *s
	if d.Name == "" {
		d.Name = "group"
	}
	if d.RunID == "" {
		d.RunID = newRunID()
	}
	if d.Strategy == nil {
		d.Strategy = FailFast{}
	}
	if d.MaxResult == 0 {
		d.MaxResult = defaultMaxResult
	}
	if d.Grace == 0 {
		d.Grace = defaultGrace
	}
	if d.Elastic.Wait == 0 {
		d.Elastic.Wait = defaultWait
	}
	if d.Elastic.Settle == 0 {
		d.Elastic.Settle = defaultSettle
	}
	if d.StartTimeout == 0 {
		d.StartTimeout = defaultStartTimeout
	}
	return d
}
