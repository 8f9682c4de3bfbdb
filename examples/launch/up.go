package main

import (
	"errors"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const upHelp = `Run the group that a file describes: YAML or JSON, in which every flag is a key of the same name, and
roles are ranks with commands of their own (docs/launch.md). Flags and variables win over the file.
Everything that is wrong with it is told at once, each with its line and column, before anything starts.`

// upCommand is launch up GROUPFILE. A program of that name is run by launch -- up.
func upCommand(code *int, stdout, stderr io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:     "up GROUPFILE",
		Short:   "Run the group that a file describes",
		Long:    upHelp,
		Example: "  launch up group.yaml\n  launch up group.yaml --dry-run\n  launch up group.yaml --max-restarts 3 --report run.json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) != 1 {
				return usage("up: give one group file, as in launch up group.yaml")
			}
			if err := f.fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			*code, err = f.up(args[0], given(&f, cmd.Flags()), stdout, stderr)
			return err
		},
		ValidArgsFunction: cobra.FixedCompletions([]cobra.Completion{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt),
	}
	cmd.Flags().SetNormalizeFunc(normalize)
	cmd.Flags().SortFlags = false
	for _, s := range f.sections() {
		s.VisitAll(func(flag *pflag.Flag) {
			if !slices.Contains([]string{"help", "help-all", "version", "explain"}, flag.Name) {
				cmd.Flags().AddFlag(flag)
			}
		})
	}
	complete(cmd)
	return cmd
}

// given are the flags that were given, as settings without a place.
func given(f *flags, set *pflag.FlagSet) (all []setting) {
	set.VisitAll(func(flag *pflag.Flag) {
		values := []string{flag.Value.String()}
		switch many, ok := flag.Value.(pflag.SliceValue); {
		case flag.Name == "dry-run", !flag.Changed && flag.Name != "unset":
			return
		case ok:
			values = many.GetSlice() // with those of the environment that ranks are not to inherit
		}
		for _, text := range values {
			all = append(all, setting{name: flag.Name, text: text})
		}
	})
	return all
}

// up runs the group of a file and returns the exit status. An error means that nothing was started.
func (f *flags) up(path string, given []setting, stdout, stderr io.Writer) (int, error) {
	g, err := openGroupFile(path)
	if err != nil {
		return 0, err
	}
	g.run = f.continued.run
	whole, spec, what, err := g.assemble(given)
	if err != nil {
		return 0, err
	}
	if path, err = filepath.Abs(path); err == nil {
		whole.origin = newOrigin(path, given, nil)
	}
	spec.FirstGeneration = f.continued.first
	whole.dryRun = f.dryRun
	code, err := whole.runGroup(spec, what, stdout, stderr)
	return code, g.placed(err)
}

// placed is an error about what could only be found out last, such as a file that cannot be written, with its place.
func (g *groupFile) placed(err error) error {
	var wrong *usageError
	if !errors.As(err, &wrong) {
		return err
	}
	if i := guiltyOf(g.settings, err); i >= 0 {
		g.Complain(g.settings[i].at, "%s", plainText(err))
		return &fileError{error: usage("%w", g.Err())}
	}
	return err
}
