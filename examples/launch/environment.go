package main

import (
	"cmp"
	"errors"
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

// fromEnvironment takes the flags that were not given from the environment: from our variable, or else from torchrun's. What is
// meant for this launch is not for its ranks: another launch in one of them would write over the same report. Torchrun's
// variables go on to the ranks, as they do there.
func (f *flags) fromEnvironment(s *pflag.FlagSet) error {
	f.perNode(s, many(s))
	err := f.fromVariables(s, func(flag string) (ours, others []string) {
		if flag != perNode { // which is torchrun's only
			ours = []string{variable(flag)}
		}
		return ours, torchVariables(flag)
	})
	f.perNode(s, many(s)) // from torchrun's variable
	return err
}

// fromVariables takes each flag that was not given from the first of its variables that is set.
func (f *flags) fromVariables(s *pflag.FlagSet, names func(flag string) (ours, others []string)) (err error) {
	var found []string // which is no value of --unset
	s.VisitAll(func(flag *pflag.Flag) {
		if slices.Contains(acts, flag.Name) {
			return
		}
		ours, others := names(flag.Name)
		found = append(found, slices.DeleteFunc(slices.Clone(ours), isUnset)...)
		for _, name := range append(ours, others...) {
			if text, set := os.LookupEnv(name); set && !flag.Changed && err == nil {
				err = setFlag(s, flag, name, text)
				f.variables = append(f.variables, [2]string{flag.Name, name})
			}
		}
	})
	f.unset = append(f.unset, found...)
	return err
}

func isUnset(name string) bool {
	_, set := os.LookupEnv(name)
	return !set
}

// The variables of launch that an agent takes no notice of: they are about the launch, and both may find the same environment.
var aboutLaunch = []string{"name", "listen", "advertise"}

// fromAgentEnvironment takes the flags of launch agent that were not given from their variables, LAUNCH_AGENT_ and their names; or
// from those without AGENT, where they mean the same for a launch or nothing. Its ranks find neither these nor those of a launch.
func (a *agentFlags) fromAgentEnvironment(s *pflag.FlagSet) error {
	err := a.fromVariables(s, func(flag string) (ours, others []string) {
		ours = []string{variable("agent-" + flag)}
		if !slices.Contains(aboutLaunch, flag) {
			ours = append(ours, variable(flag))
		}
		return ours, nil
	})
	for _, flag := range everyFlag() {
		if name := variable(flag.Name); !isUnset(name) {
			a.unset = append(a.unset, name)
		}
	}
	return err
}

// misspelt are the variables that look like one of ours and are none, each with what was probably meant. Others that begin with
// LAUNCH_ are somebody else's.
func misspelt() (lines []string) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, section := range new(flags).sections() {
		all.AddFlagSet(section.FlagSet)
	}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		flag, ours := strings.CutPrefix(name, "LAUNCH_")
		flag = strings.ToLower(strings.ReplaceAll(flag, "_", "-"))
		if !ours || name == "LAUNCH_RUN_DIR" || name == tokenVariable || strings.HasPrefix(flag, "agent-") || flag != perNode && all.Lookup(flag) != nil {
			continue
		}
		if near := nearest(all, flag); near != "" {
			lines = append(lines, "the variable "+name+" has no effect: did you mean "+variable(cmp.Or(aliases[near], near))+"?")
		}
	}
	return lines
}

// setFlag sets a flag to a variable's value, a repeated one to each line of it.
func setFlag(s *pflag.FlagSet, flag *pflag.Flag, variable, text string) error {
	values := []string{text}
	if flag.Value.Type() == "stringArray" {
		values = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	for _, value := range values {
		var bad *pflag.InvalidValueError
		if err := s.Set(flag.Name, value); errors.As(err, &bad) {
			return usage("%s %q: %w", variable, value, bad.Unwrap())
		} else if err != nil {
			return usage("%s %q: %w", variable, value, err)
		}
	}
	return nil
}

// traced says of a flag's value that makes no sense which variable it came from: whoever reads it gave no flag.
func (f *flags) traced(err error) error {
	var wrong *usageError
	if !errors.As(err, &wrong) {
		return err
	}
	for _, v := range f.variables {
		if strings.HasPrefix(err.Error(), "--"+v[0]+" ") || strings.HasPrefix(err.Error(), "--"+v[0]+":") {
			return usage("%s: %w", v[1], err)
		}
	}
	return err
}
