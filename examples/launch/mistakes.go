package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/pflag"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

func inOurWords(s *pflag.FlagSet, err error) error {
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return usage("there is no flag -%s: flags of the command go after it", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if near := nearest(s, name); near != "" {
			return usage("there is no flag --%s: did you mean --%s?", name, near)
		}
		return usage("there is no flag --%s: flags of the command go after it", name)
	case errors.As(err, &empty) && empty.GetSpecifiedShortnames() != "":
		return usage("-%s: give it a value", empty.GetSpecifiedName())
	case errors.As(err, &empty):
		return usage("--%s: give it a value", empty.GetSpecifiedName())
	case errors.As(err, &bad):
		return usage("--%s %q: %w", bad.GetFlag().Name, bad.GetValue(), bad.Unwrap())
	}
	return err
}

// nearest is the flag that was most likely meant, "" for none: one that begins so, or that a few letters make.
func nearest(s *pflag.FlagSet, name string) (near string) {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	least := len(name)/3 + 1
	consider := func(candidate string) {
		d := levenshtein.ComputeDistance(name, candidate)
		if len(name) > 2 && strings.HasPrefix(candidate, name) {
			d = 0 // Python's parsers take such a name for the flag
		}
		if d < least {
			near, least = candidate, d
		}
	}
	s.VisitAll(func(flag *pflag.Flag) { consider(flag.Name) })
	for alias, flag := range aliases {
		if s.Lookup(flag) != nil {
			consider(alias)
		}
	}
	return near
}

// overcommitted says that the bounds of the ranks are more than the machine has, as /proc/meminfo tells it; "" when they are
// not. That is allowed, and a rank may then be killed that is far below its own.
func overcommitted(s supervisor.Spec, meminfo string) string {
	var bounds, all uint64
	for _, c := range s.Ranks {
		bounds += c.Memory
	}
	for line := range strings.Lines(meminfo) {
		var name string
		var kilobytes uint64
		if n, _ := fmt.Sscanf(line, "%s %d kB", &name, &kilobytes); n == 2 && (name == "MemTotal:" || name == "SwapTotal:") {
			all += kilobytes << 10
		}
	}
	if all == 0 || bounds <= all {
		return ""
	}
	const gib = 1 << 30
	return fmt.Sprintf("the ranks may use %.1f GiB of memory together (--memory), and this machine has %.1f GiB",
		float64(bounds)/gib, float64(all)/gib)
}

// unheard says that liveness is to be watched of ranks that cannot tell; "" when one can.
func unheard(s supervisor.Spec) string {
	if s.Liveness == (supervisor.Liveness{}) || slices.ContainsFunc(s.Ranks, func(c process.Command) bool { return c.Speaks }) {
		return ""
	}
	return "no rank can say that it is alive, or how far it is (Python can, and with --speaks who speaks): " +
		"--heartbeat, --stall and --lag have no effect"
}
