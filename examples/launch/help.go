package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const help = `Run a command once per rank, as one group. A .py file or a Python interpreter
runs unchanged, and an exception in it is reported with its traceback. When a
rank fails, all are stopped, and started again while there are restarts left.
Ranks find RANK, WORLD_SIZE and the rest of torchrun's environment.`

const usageLines = `Usage:
  launch [flags] [--] command [args…]
  launch up GROUPFILE | replay JOURNAL | completion SHELL | version | help flags
  launch agent --join HOST:PORT
  launch ps | status | logs [-f] | stop | restart | dump  [RUN] [RANK…]`

const examples = `  launch -n 4 -- python3 train.py --lr 0.1
  launch -n auto --max-restarts 3 --within 1h --backoff 1s,1m -- python3 -m pkg.train
  launch -n 8 --rules rules.yaml --report run.json -- python3 train.py
  launch -n 2 --output raw --log-dir logs -- ./worker --verbose
  launch up group.yaml
  launch ps; launch logs -f; launch stop train`

const afterwards = `Exit status: 0; that of the rank that failed first (128+n for signal n, 1 for an
exception); 130 or 143 when interrupted, 124 on --timeout, 2 for bad usage,
126 or 127 when the command cannot be run.`

const aboutVariables = `Each flag is also a variable, which a flag wins over: --max-restarts is
LAUNCH_MAX_RESTARTS. A flag that may be repeated has one value in each line of
it. The ranks do not inherit these.`

// short is what fits on a screen of 80 columns and 24 rows, with a row for the prompt.
const short = `Run a command once per rank, as one group: when a rank fails, all are stopped,
and started again while there are restarts left.

  launch [flags] [--] command [args…]
  launch up GROUPFILE | replay JOURNAL | completion SHELL | version | help flags
  launch agent --join HOST:PORT
  launch ps | status | logs [-f] | stop | restart | dump  [RUN] [RANK…]

  launch -n 4 -- python3 train.py --lr 0.1
  launch -n auto --max-restarts 3 --backoff 1s,1m -- python3 -m pkg.train

  -n, --ranks N|auto     how many; auto: GPUs, or else CPUs (default 1)
      --env KEY=VALUE    for the ranks; may be repeated
      --strategy NAME    all-for-one, one-for-one, rest-for-one, fail-fast
      --max-restarts N   before the group fails; -1 for any number (default 0)
      --rules FILE       what to do about which failure, in YAML or JSON
      --grace TIME       between the stop signal and SIGKILL (default 30s)
      --log-dir DIR      each rank's output in files
      --report FILE      JSON about the run, however it ends
      --tui              the group on the whole terminal, with keys
      --dry-run          print what would run, and start nothing
      --help-all         all flags, exit statuses, and more examples`

// printHelp prints what fits on a screen.
func printHelp(cmd *cobra.Command, _ []string) {
	out := cmd.OutOrStdout()
	if cmd.HasParent() {
		fmt.Fprintf(out, "%s\n\n", cmd.Long)
		_ = printUsage(cmd)
		return
	}
	fmt.Fprintln(out, short)
}

// printUsage prints how a subcommand is called, and its flags.
func printUsage(cmd *cobra.Command) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.Example != "" {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	for _, c := range cmd.Commands() {
		fmt.Fprintf(out, "  %-12s %s\n", c.Name(), c.Short)
	}
	if cmd.HasAvailableLocalFlags() {
		fmt.Fprintf(out, "\nFlags:\n%s", flagUsages(cmd.LocalFlags(), 0))
	}
	return nil
}

// printAll prints all flags under their headings, as wide as a terminal is.
func printAll(out io.Writer, sections []section) error {
	width := 0 // as long as lines are
	if terminal := terminalOf(out); terminal != nil {
		width = roomOn(terminal)
	}
	fmt.Fprintf(out, "%s\n\n%s\n\nExamples:\n%s\n", help, usageLines, examples)
	for _, s := range sections {
		fmt.Fprintf(out, "\n%s:\n%s", s.title, flagUsages(s.FlagSet, width))
	}
	_, err := fmt.Fprintf(out, "\n%s\n\n%s\n", aboutVariables, afterwards)
	return err
}

// flagUsages are a line for each flag. That a flag may be given the value true need not be said of each.
func flagUsages(s *pflag.FlagSet, width int) string {
	const value = "[=true|false]"
	return strings.ReplaceAll(s.FlagUsagesWrapped(width), value, strings.Repeat(" ", len(value)))
}

// helpCommand is launch help, launch help flags, and launch help SUBCOMMAND.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:                   "help [flags | SUBCOMMAND]",
		Short:                 "Print the flags that are used most, or all, or those of a subcommand",
		DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "flags" {
				return printAll(root.OutOrStdout(), new(flags).sections())
			}
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage("help: write launch help flags, or launch help and one of %s", wordList(root))
			}
			return about.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
			for _, c := range root.Commands() {
				if c.Hidden {
					continue
				}
				words = append(words, cobra.CompletionWithDesc(c.Name(), c.Short))
			}
			return append(words, cobra.CompletionWithDesc("flags", "all flags")), cobra.ShellCompDirectiveNoFileComp
		},
	}
}
