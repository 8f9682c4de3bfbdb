// Launch runs a command once per rank, as one group: what torchrun and mpiexec do, with a supervisor.
//
//	launch -n 4 --max-restarts 3 --within 1h -- python3 train.py --lr 0.1
//
// A Python script runs as it is, and what goes wrong in it arrives as an exception; any other command is known by its
// exit status.
//
// The way in is main.go, which makes the command line, and launch.go, which runs a group. Around them stand
//
//   - what is asked for: flags.go and, of one topic each, setup.go, bind.go, terms.go, rules.go, torchrun.go; environment.go for
//     variables; up.go, groupfile.go, assemble.go, substitute.go and roles.go for group files;
//   - what is said when that makes no sense: mistakes.go, words.go, exit.go; help.go, completion.go, version.go;
//   - where a run goes: sinks.go, and behind it console.go, logs.go, streams.go, report.go; status.go with tally.go and
//     screen.go, the line on a terminal; cockpit.go with internal/tui, --tui;
//   - how a failure is told: account.go, evidence.go, meaning.go, alone.go;
//   - what reaches a run from outside: signals.go, suspend_linux.go, init_linux.go; reach.go with internal/runs, and
//     running.go, which asks; replay.go, which asks a journal.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

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
	subcommands := sync.OnceValue(func() []*cobra.Command { return allWords(&code, stdout, stderr) })
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") && isWord(args[0], subcommands()) {
		addWords(cmd, subcommands())
	}
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd {
		for _, c := range append(subcommands(), cmd) {
			describe(c)
		}
	}
	cmd.SetArgs(args)
	if err := cmd.Execute(); err != nil {
		return complain(stderr, meant(err, args, subcommands))
	}
	return code
}

// allWords makes the subcommands. Their flags take a while, so they are made when one of them may be meant.
func allWords(code *int, stdout, stderr io.Writer) []*cobra.Command {
	return append(runsCommands(code, stdout, stderr),
		agentCommand(code, stderr), certsCommand(stdout), resumeCommand(code, stdout, stderr), upCommand(code, stdout, stderr),
		replayCommand(stdout, stderr), versionCommand(stdout), completionCommand(stdout))
}

// complain prints an error in one line, or what is wrong with a file in a line each, and returns its exit status.
func complain(stderr io.Writer, err error) int {
	var file *fileError
	if errors.As(err, &file) {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(stderr, "launch: %s\n", strings.TrimSuffix(line, "\n"))
		}
		return exitUsage
	}
	fmt.Fprintln(stderr, "launch:", oneLine(err))
	return exitOfStart(err)
}

// A usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func command(code *int, stdout, stderr io.Writer) *cobra.Command {
	var f flags
	sections := f.sections()
	cmd := &cobra.Command{
		Use:           "launch [flags] [--] command [args…]",
		Short:         "Run a command once per rank, as one group",
		Args:          cobra.ArbitraryArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := f.fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			switch {
			case f.helpAll:
				return printAll(stdout, sections)
			case f.version:
				return printVersion(stdout)
			}
			f.origin = newOrigin("", given(&f, cmd.Flags()), args)
			*code, err = launch(&f, args, stdout, stderr)
			return f.traced(err)
		},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(flagError)
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().SetNormalizeFunc(normalize)
	for _, s := range sections {
		cmd.Flags().AddFlagSet(s.FlagSet)
	}
	cmd.SetHelpFunc(printHelp)
	cmd.SetUsageFunc(printUsage)
	complete(cmd)
	return cmd
}

// normalize takes torchrun's spellings for ours, and older ones.
func normalize(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	b := []byte(name)
	for i, c := range b {
		if c == '_' {
			b[i] = '-'
		}
	}
	if ours, ok := aliases[string(b)]; ok && string(b) != perNode { // what that is depends on other flags
		return pflag.NormalizedName(ours)
	}
	return pflag.NormalizedName(b)
}
