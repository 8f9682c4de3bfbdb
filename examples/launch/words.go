package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// isWord reports whether the first argument is a word of ours and no program to run. A program of that name is run by
// launch -- NAME, or after a flag.
func isWord(first string, subcommands []*cobra.Command) bool {
	return slices.Contains([]string{"help", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, first) ||
		slices.ContainsFunc(subcommands, func(c *cobra.Command) bool { return c.Name() == first })
}

// addWords makes launch a command with subcommands.
func addWords(cmd *cobra.Command, subcommands []*cobra.Command) {
	cmd.SetHelpCommand(helpCommand(cmd))
	for _, c := range subcommands {
		c.SilenceUsage, c.SilenceErrors = true, true
		c.Flags().SetNormalizeFunc(normalize)
		cmd.AddCommand(c)
	}
}

// describe makes what is said of each flag what a shell shows beside its name: one line, and no quotes around its value's name.
func describe(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		flag.Usage, _, _ = strings.Cut(strings.ReplaceAll(flag.Usage, "`", ""), "\n")
	})
}

// flagError says of a flag that cannot be read what might have been meant.
func flagError(cmd *cobra.Command, err error) error {
	return usage("%w (see %s --help)", inOurWords(cmd.Flags(), err), cmd.CommandPath())
}

// meant adds to the error of a program that is not there, or is none, the word of ours that is spelt like it, or runs it.
func meant(err error, args []string, subcommands func() []*cobra.Command) error {
	missing, forbidden := errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrPermission)
	switch {
	case len(args) == 0 || !missing && !forbidden:
		return err
	case slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(args[0])):
		return fmt.Errorf("%w (did you mean launch up %s?)", err, args[0])
	case forbidden, strings.ContainsAny(args[0], "-/"):
		return err
	}
	words := &cobra.Command{SuggestionsMinimumDistance: min(2, len(args[0])/2)}
	words.AddCommand(append(subcommands(), helpCommand(words))...)
	if near := words.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%w (did you mean launch %s?)", err, near[0])
	}
	return err
}

// wordList names the subcommands.
func wordList(cmd *cobra.Command) string {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return strings.Join(names, ", ")
}
