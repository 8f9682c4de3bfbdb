package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

const replayHelp = `Print what another strategy would have decided in an earlier run, from the journal that
--journal wrote. No process is started: each life of a rank does what it did in that run, and
what the journal does not tell goes well (docs/strategies.md). The same journal and the same
flags give the same answer; waits are those of a jitter that is always in the middle.`

// replayCommand is launch replay JOURNAL. A program of that name is run by launch -- replay.
func replayCommand(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "replay JOURNAL",
		Short:         "Print what another strategy would have decided",
		Long:          replayHelp,
		Example:       "  launch replay run.jsonl --rules rules.yaml\n  launch replay run.jsonl --strategy one-for-one --max-restarts 5",
		Args:          cobra.ArbitraryArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			if len(args) != 1 {
				return usage("replay: give one journal, as in launch replay run.jsonl --strategy one-for-one")
			}
			return f.replayJournal(stdout, args[0])
		},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.Flags().SetNormalizeFunc(normalize)
	cmd.Flags().SortFlags = false
	f.addDeciding(cmd.Flags())
	complete(cmd)
	return cmd
}

// replayJournal prints each decision of a run beside that of the flags' strategy.
func (f *flags) replayJournal(w io.Writer, path string) error {
	f.startTimeout = time.Minute // the journal's counts
	strategy, err := f.decider()
	if err != nil {
		return err
	}
	j, err := openJournal(path)
	if err != nil {
		return err
	}
	now, err := supervisor.Replay(j, strategy)
	if err != nil {
		return usage("replay %s: %w", path, err)
	}
	torn := ""
	if j.Torn {
		torn = "; its last line is torn"
	}
	fmt.Fprintf(w, "run %s, %s, world size %d, recorded for %v%s\n", j.Run, j.Name, len(j.Spec.Ranks), rounded(j.Duration()),
		torn)
	fmt.Fprintf(w, "strategy\n    then  %s\n    now   %s\n", j.Strategy, supervisor.Describe(strategy))
	printPairs(w, tell(j.Decisions(), j.Start), tell(now.Decisions(), j.Start))
	then := "the journal ends before the group does"
	if ended, err := j.End(); ended {
		then = describeEnd(j.Duration(), err)
	}
	printOutside(w, j)
	after := time.Duration(now.Report.Seconds * float64(time.Second))
	fmt.Fprintf(w, "end\n    then  %s\n    now   %s\n", then, describeEnd(after, now.Err))
	return nil
}

func openJournal(path string) (supervisor.Journal, error) {
	file, err := os.Open(path)
	if err != nil {
		return supervisor.Journal{}, usage("replay %s: cannot be read: %w", path, reason(err))
	}
	defer file.Close()
	j, err := supervisor.ReadJournal(file)
	if err != nil {
		return j, usage("replay %s: give a file that --journal wrote: %w", path, err)
	}
	return j, nil
}

// tell writes decisions, a line each.
func tell(decided []*supervisor.Failure, start time.Time) (lines []string) {
	for _, f := range decided {
		lines = append(lines, fmt.Sprintf("%v after the start, rank %v: %s: %s", rounded(f.At.Sub(start)), f.ID(), headline(f),
			describeDirective(f.Directive, "")))
	}
	return lines
}

func printPairs(w io.Writer, then, now []string) {
	for i := range max(len(then), len(now)) {
		fmt.Fprintf(w, "decision %d\n    then  %s\n", i+1, at(then, i))
		if at(now, i) == at(then, i) {
			fmt.Fprintln(w, "    now   the same")
			continue
		}
		fmt.Fprintf(w, "    now   %s\n", at(now, i))
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "–"
}

// printOutside prints what came from outside, in the run and so in the replay.
func printOutside(w io.Writer, j supervisor.Journal) {
	for _, e := range j.Outside() {
		var what string
		switch {
		case e.Kind == supervisor.EventSignal:
			what = process.SignalName(e.Signal) + " to all ranks"
		case e.Kill:
			what = "kill: " + oneLine(e.Err)
		case e.Terms != nil:
			what = "other terms"
		case e.Kind == supervisor.EventResized:
			what = fmt.Sprintf("resize to %d ranks", e.Size)
		case e.Kind != supervisor.EventStopping:
			what = fmt.Sprintf("rank %d is %s", e.Rank, e.Kind)
		default:
			what = "stop: " + oneLine(e.Err)
		}
		fmt.Fprintf(w, "from outside\n    both  %v after the start: %s\n", rounded(e.At.Sub(j.Start)), what)
	}
}

func describeEnd(after time.Duration, err error) string {
	if err == nil {
		return fmt.Sprintf("after %v: success", rounded(after))
	}
	return fmt.Sprintf("after %v: %s", rounded(after), oneLine(err))
}
