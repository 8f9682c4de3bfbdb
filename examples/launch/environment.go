package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// variable is the environment's name of a flag.
func variable(flag string) string {
	return "LAUNCH_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// acts are the flags that start nothing, and have no variables.
var acts = []string{"help", "help-all", "version"}

// fromEnvironment takes the flags that were not given from the environment. What is meant for this launch is not for
// its ranks: another launch in one of them would write over the same report.
func (f *flags) fromEnvironment(s *pflag.FlagSet) (err error) {
	var ours []string
	s.VisitAll(func(flag *pflag.Flag) {
		name := variable(flag.Name)
		text, set := os.LookupEnv(name)
		if !set || slices.Contains(acts, flag.Name) || err != nil {
			return
		}
		ours = append(ours, name)
		if !flag.Changed {
			err = setFlag(s, flag, text)
		}
	})
	f.unset = append(f.unset, ours...)
	return err
}

// setFlag sets a flag to a variable's value, a repeated one to each line of it.
func setFlag(s *pflag.FlagSet, flag *pflag.Flag, text string) error {
	values := []string{text}
	if flag.Value.Type() == "stringArray" {
		values = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	for _, value := range values {
		if err := s.Set(flag.Name, value); err != nil {
			return usage("%s: %w", variable(flag.Name), err)
		}
	}
	return nil
}
