// Launch runs a command once per rank, as one group: what torchrun and mpiexec do, with a supervisor.
//
//	launch -n 4 --max-restarts 3 --within 1h -- python3 train.py --lr 0.1
//
// A Python script runs as it is, and what goes wrong in it arrives as an exception; any other command is known by its
// exit status.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	if isInit() {
		os.Exit(runInit())
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its streams as arguments; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	code := 0
	cmd := command(&code, stdout, stderr)
	if len(args) > 0 && args[0] == "replay" {
		cmd, args = replayCommand(stdout, stderr), args[1:]
	}
	if len(args) > 0 && isRunsCommand(args[0]) {
		cmd, args = runsCommand(args[0], &code, stdout, stderr), args[1:]
	}
	cmd.SetArgs(args)
	if err := cmd.Execute(); err != nil {
		return complain(stderr, err)
	}
	return code
}

// complain prints an error in one line and returns its exit status.
func complain(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "launch:", oneLine(err))
	return exitOfStart(err)
}

// A usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

const help = `Run a command once per rank, as one group.

A .py file or a Python interpreter runs unchanged, and an exception in it is reported with its
traceback and its causes. When a rank fails, the strategy decides: all ranks are stopped, and
started again while there are restarts left. Every rank finds RANK, LOCAL_RANK, WORLD_SIZE,
MASTER_ADDR, MASTER_PORT and the rest of torchrun's environment.

Exit status: 0; that of the rank that failed first (128+n for signal n, 1 for an exception);
130 or 143 when interrupted, 124 on --timeout, 2 for bad usage, 126 or 127 when the command
cannot be run.`

const examples = `  launch -n 4 -- python3 train.py --lr 0.1
  launch -n auto --max-restarts 3 --within 1h --backoff 1s,1m -- python3 -m pkg.train
  launch -n 8 --rules rules.yaml --report run.json -- python3 train.py
  launch --rules rules.yaml --explain run.json
  launch -n 8 --journal run.jsonl -- python3 train.py
  launch replay run.jsonl --strategy one-for-one --max-restarts 5
  launch ps; launch logs -f; launch stop train
  launch -n 2 --output raw --log-dir logs --report run.json -- ./worker --verbose`

func command(code *int, stdout, stderr io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "launch [flags] [--] command [args…]",
		Short:         "Run a command once per rank, as one group",
		Long:          help,
		Example:       examples,
		Args:          cobra.ArbitraryArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := f.fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			*code, err = launch(&f, args, stdout, stderr)
			return f.traced(err)
		},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(wrongFlag("launch"))
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().SetNormalizeFunc(normalize)
	sections := f.sections()
	for _, s := range sections {
		cmd.Flags().AddFlagSet(s.FlagSet)
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error { return printUsage(cmd, sections) })
	return cmd
}

// printUsage prints the flags under their headings.
func printUsage(cmd *cobra.Command, sections []section) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.Use, cmd.Example)
	for _, s := range sections {
		fmt.Fprintf(out, "\n%s:\n%s", s.title, s.FlagUsages())
	}
	_, err := fmt.Fprint(out, "\nEach flag is also a variable, which a flag wins over: --max-restarts is LAUNCH_MAX_RESTARTS.\n"+
		"A flag that may be repeated has one value in each line of it. The ranks do not inherit these.\n")
	return err
}

// normalize takes torchrun's spellings for ours, and older ones.
func normalize(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	b := []byte(name)
	for i, c := range b {
		if c == '_' {
			b[i] = '-'
		}
	}
	if ours, ok := aliases[string(b)]; ok {
		return pflag.NormalizedName(ours)
	}
	return pflag.NormalizedName(b)
}
