package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// terms are the flags that say when the group has done its work, and what a rank has to do meanwhile.
type terms struct {
	success   string
	ordered   bool
	lifetime  time.Duration
	heartbeat time.Duration
	silence   time.Duration
	stall     time.Duration
	lag       uint64
}

func (t *terms) flags() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.StringVar(&t.success, "success", "all", "what ends the group well: all, any, `rank:N`, role:NAME, or quorum:N; the others\nare then stopped")
	s.BoolVar(&t.ordered, "ordered", false, "start the ranks one after the other, each when the one before is ready, and stop\n"+
		"them one by one in reverse")
	s.DurationVar(&t.lifetime, "lifetime", 0, "time for each generation, after which its ranks have failed (0: no limit)")
	s.DurationVar(&t.heartbeat, "heartbeat", 0, "how often a Python rank says that it is alive (0: never)")
	s.DurationVar(&t.silence, "silence", 0, "how long it may say nothing before it has failed (0: ten heartbeats)")
	s.DurationVar(&t.stall, "stall", 0, "how long a rank that tells progress may tell none before it has failed (0: for ever)")
	s.Uint64Var(&t.lag, "lag", 0, "tell who is behind the others by more than this in its progress (0: nobody)")
	return s
}

// apply writes the flags into a spec.
func (t *terms) apply(s *supervisor.Spec) (err error) {
	for _, d := range []struct {
		name string
		is   time.Duration
	}{{"lifetime", t.lifetime}, {"heartbeat", t.heartbeat}, {"silence", t.silence}, {"stall", t.stall}} {
		if d.is < 0 {
			return usage("--%s %v: a time cannot be negative", d.name, d.is)
		}
	}
	switch {
	case t.silence > 0 && t.heartbeat == 0:
		return usage("--silence %v: say with --heartbeat how often a rank is to break it", t.silence)
	case t.heartbeat > 0 && t.heartbeat < time.Millisecond:
		return usage("--heartbeat %v: give at least 1ms", t.heartbeat)
	case t.silence > 0 && t.silence <= t.heartbeat:
		return usage("--silence %v: give more than the --heartbeat of %v", t.silence, t.heartbeat)
	}
	s.Ordered, s.Lifetime = t.ordered, t.lifetime
	s.Liveness = supervisor.Liveness{Heartbeat: t.heartbeat, Silence: t.silence, Stall: t.stall, Lag: t.lag}
	s.Success, err = parseSuccess(t.success, s.Ranks)
	return err
}

// parseSuccess reads all, any, rank:N, role:NAME and quorum:N.
func parseSuccess(text string, ranks []process.Command) (s supervisor.Success, err error) {
	size := len(ranks)
	what, number, numbered := strings.Cut(text, ":")
	if what == "role" {
		return ofRole(text, number, ranks)
	}
	n, err := strconv.Atoi(number)
	switch {
	case text == "all":
		return s, nil
	case text == "any":
		return supervisor.Success{Need: 1}, nil
	case !numbered || err != nil || !slices.Contains([]string{"rank", "quorum"}, what):
		return s, usage("--success %q: write all, any, rank:N, role:NAME, or quorum:N", text)
	case what == "rank" && (n < 0 || n >= size):
		return s, usage("--success %s: the last rank is %d", text, size-1)
	case what == "quorum" && (n < 1 || n > size):
		return s, usage("--success %s: write how many of the ranks have to end well, from 1 to %d", text, size)
	case what == "rank":
		return supervisor.Success{Ranks: []int{n}}, nil
	}
	return supervisor.Success{Need: n}, nil
}

// ofRole is the success of a group whose ranks of one role have all ended well.
func ofRole(text, role string, ranks []process.Command) (s supervisor.Success, err error) {
	for rank, c := range ranks {
		if c.Role == role && role != "" {
			s.Ranks = append(s.Ranks, rank)
		}
	}
	if len(s.Ranks) == 0 {
		return s, usage("--success %s: there is no such role", text)
	}
	return s, nil
}
