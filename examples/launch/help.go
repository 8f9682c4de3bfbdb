package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

const help = `Run a command once per rank, as one group. A .py file or a Python interpreter runs unchanged, and an
exception in it is reported with its traceback. When a rank fails, all are stopped, and started again
while there are restarts left. Ranks find RANK, WORLD_SIZE and the rest of torchrun's environment.`

const usageLines = `Usage:
  launch [flags] [--] command [args…]
  launch up GROUPFILE | replay JOURNAL | completion SHELL | version | help flags
  launch ps | status | logs [-f] | stop | restart | dump   [RUN] [RANK…], of groups that run`

const examples = `  launch -n 4 -- python3 train.py --lr 0.1
  launch -n auto --max-restarts 3 --within 1h --backoff 1s,1m -- python3 -m pkg.train
  launch -n 8 --rules rules.yaml --report run.json -- python3 train.py
  launch -n 2 --output raw --log-dir logs -- ./worker --verbose
  launch up group.yaml
  launch ps; launch logs -f; launch stop train`

const afterwards = `Exit status: 0; that of the rank that failed first (128+n for signal n, 1 for an exception); 130 or
143 when interrupted, 124 on --timeout, 2 for bad usage, 126 or 127 when the command cannot be run.`

const aboutVariables = `Each flag is also a variable, which a flag wins over: --max-restarts is LAUNCH_MAX_RESTARTS.
A flag that may be repeated has one value in each line of it. The ranks do not inherit these.`

// mostUsed is the part of the flags that fits on a screen.
const mostUsed = `Flags that are used most:
  -n, --ranks N|auto         world size; auto is the number of GPUs, or else CPUs
      --env KEY=VALUE        for the ranks; may be repeated
      --chdir DIR            run the ranks in DIR
      --strategy NAME        all-for-one, one-for-one, rest-for-one, fail-fast or ignore
      --max-restarts N       restarts before the group fails; -1 for any number (default 0)
      --backoff MIN[,MAX]    wait before a restart, doubling, with jitter
      --rules FILE           rules in YAML or JSON that are asked before the strategy
      --grace TIME           between the stop signal and SIGKILL (default 30s)
      --timeout TIME         for the whole run
      --ready SIGN           of a server: tcp:HOST:PORT, a URL, line:REGEXP or fd
      --bind core|numa       one core, or one NUMA node, for each rank
      --gpus K               each rank sees K of the GPUs
      --output FORM          of the ranks: prefix, raw or none (default prefix)
      --log-dir DIR          files of each rank's output
      --report FILE          JSON about the run, however it ends
      --journal FILE         a line of JSON for each event
      --tui                  the group on the whole terminal, with keys
      --dry-run              print what would run, and start nothing
      --help-all             print all flags`

// printHelp prints what fits on a screen.
func printHelp(cmd *cobra.Command, _ []string) {
	out := cmd.OutOrStdout()
	if cmd.HasParent() {
		fmt.Fprintf(out, "%s\n\n", cmd.Long)
		_ = printUsage(cmd)
		return
	}
	fmt.Fprintf(out, "%s\n\n%s\n\nExamples:\n%s\n\n%s\n\n%s\n", help, usageLines, examples, mostUsed, afterwards)
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
		fmt.Fprintf(out, "\nFlags:\n%s", cmd.LocalFlags().FlagUsages())
	}
	return nil
}

// printAll prints all flags under their headings.
func printAll(out io.Writer, sections []section) error {
	fmt.Fprintf(out, "%s\n\n%s\n\nExamples:\n%s\n", help, usageLines, examples)
	for _, s := range sections {
		fmt.Fprintf(out, "\n%s:\n%s", s.title, s.FlagUsages())
	}
	_, err := fmt.Fprintf(out, "\n%s\n\n%s\n", aboutVariables, afterwards)
	return err
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
