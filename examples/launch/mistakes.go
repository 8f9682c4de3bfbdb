package main

import (
	"errors"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/pflag"
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
