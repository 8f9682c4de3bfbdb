package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/examples/launch/internal/runs"
)

// An inquirer is a command about groups that run. A program of its name is run by launch -- NAME.
type inquirer struct {
	stdout, stderr io.Writer
	follow         bool
	kill           bool
	json           bool
}

// A runsVerb is what can be said about running groups.
type runsVerb struct {
	name, args, short string
	run               func(*inquirer, context.Context, []string) error
}

var runsVerbs = []runsVerb{
	{"ps", "[--json] [RUN]", "List the groups that run, or the ranks of one", (*inquirer).ps},
	{"status", "[--json] [RUN]", "List the ranks of a group that runs", (*inquirer).status},
	{"logs", "[-f] [RUN] [RANK…]", "Print the output of a group that runs", (*inquirer).logs},
	{"stop", "[--kill] [RUN]", "Stop a group, and wait until nothing is left of it", (*inquirer).stop},
	{"restart", "[RUN] [RANK…]", "Start ranks of a group again, all for none, as its next generation", (*inquirer).restart},
	{"dump", "[RUN] RANK", "Print the stacks of a rank", (*inquirer).dump},
}

const runsHelp = `RUN is the name of a run, or of its group, or the beginning of one of them; where only one
group of yours is running, it may be left out. RANK is a number, or some as in 0,3-5.

Exit status: 0; 1 when there is no such run or it does not answer; 2 for bad usage.`

// runsCommands are launch ps, status, logs, stop, restart and dump.
func runsCommands(code *int, stdout, stderr io.Writer) (all []*cobra.Command) {
	for _, verb := range runsVerbs {
		all = append(all, verb.command(code, &inquirer{stdout: stdout, stderr: stderr}))
	}
	return all
}

func (v runsVerb) command(code *int, r *inquirer) *cobra.Command {
	cmd := &cobra.Command{
		Use:                   v.name + " " + v.args,
		Short:                 v.short,
		Long:                  v.short + ".\n\n" + runsHelp,
		Args:                  cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			status, err := v.do(r, args)
			*code = status
			return err
		},
		ValidArgsFunction: runNames,
	}
	switch v.name {
	case "ps", "status":
		cmd.Flags().BoolVar(&r.json, "json", false, "print JSON")
	case "logs":
		cmd.Flags().BoolVarP(&r.follow, "follow", "f", false, "go on until the group ends")
	case "stop":
		cmd.Flags().BoolVar(&r.kill, "kill", false, "without the grace")
	}
	return cmd
}

// runNames are what the first argument may be, for a shell.
func runNames(_ *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	if all, err := runs.List(); err == nil && len(args) == 0 {
		for _, run := range all {
			names = append(names, cobra.CompletionWithDesc(run.Run, run.Name))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// do says what is wrong, but for bad usage, and returns the exit status.
func (v runsVerb) do(r *inquirer, args []string) (int, error) {
	terminated, leave := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer leave()
	ctx, leave := signal.NotifyContext(terminated, os.Interrupt)
	defer leave()
	err := v.run(r, ctx, args)
	var wrong *usageError
	switch {
	case terminated.Err() != nil: // it was we who were interrupted, and not the group
		return exitSignal + int(syscall.SIGTERM), nil
	case ctx.Err() != nil:
		return exitSignal + int(syscall.SIGINT), nil
	case err == nil, errors.As(err, &wrong):
		return 0, err
	}
	fmt.Fprintln(r.stderr, "launch:", oneLine(err))
	return exitFailure, nil
}

// find returns the run that the first argument names, and the ranks that the others are. The first may be a rank where there is
// no doubt about the run.
func (c *inquirer) find(args []string) (run runs.Run, ranks []int, err error) {
	all, err := runs.List()
	if err != nil {
		return run, nil, err
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	run, err = runs.Find(all, name)
	if err == nil && name != "" {
		args = args[1:]
	} else if _, ok := parseSet(name); err != nil && ok && len(all) == 1 {
		run, err = all[0], nil
	}
	for _, arg := range args {
		set, ok := parseSet(arg)
		if !ok && err == nil {
			return run, nil, usage("%q: write ranks and ranges, such as 0,3-5", arg)
		}
		ranks = append(ranks, set...)
	}
	return run, ranks, err
}

func (c *inquirer) ps(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return c.status(ctx, args)
	}
	all, err := runs.List()
	if err != nil {
		return err
	}
	states := []runs.Status{}
	for _, run := range all {
		state, err := run.Status(ctx)
		switch {
		case errors.Is(err, runs.ErrGone): // just now
			continue
		case err != nil:
			state = runs.Status{Info: run.Info, State: "silent"}
		}
		state.Members = nil
		states = append(states, state)
	}
	if c.json {
		return c.print(states)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tNAME\tRANKS\tSTATE\tGENERATION\tRESTARTS\tUPTIME\tCOMMAND")
	for _, s := range states {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%d\t%v\t%s\n", s.Run, s.Name, s.Size, s.State, s.Generation, s.Restarts,
			seconds(time.Since(s.Start).Seconds()), shorten(process.Command{Args: s.Command}.String()))
	}
	return w.Flush()
}

func (c *inquirer) status(ctx context.Context, args []string) error {
	if len(args) > 1 {
		return usage("%q: name one run", args[1])
	}
	run, ranks, err := c.find(args)
	if err != nil || len(ranks) > 0 {
		return errors.Join(err, noRanks(ranks))
	}
	s, err := run.Status(ctx)
	if err != nil {
		return err
	}
	if c.json {
		return c.print(s)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	role := func(string) string { return "" }
	if slices.ContainsFunc(s.Members, func(m runs.Member) bool { return m.Role != "" }) {
		role = func(text string) string { return text + "\t" }
	}
	host := func(string) string { return "" }
	if slices.ContainsFunc(s.Members, func(m runs.Member) bool { return m.Host != "" }) {
		host = func(text string) string { return text + "\t" }
	}
	fmt.Fprintf(w, "RANK\t%sSTATE\tGENERATION\tRESTARTS\t%sPID\tUPTIME\n", role("ROLE"), host("HOST"))
	for _, m := range s.Members {
		fmt.Fprintf(w, "%d\t%s%s\t%d\t%d\t%s%d\t%v\n", m.Rank, role(m.Role), m.State, m.Generation, m.Restarts, host(m.Host), m.PID, seconds(m.Uptime))
	}
	return w.Flush()
}

func (c *inquirer) print(value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "%s\n", text)
	return err
}

func (c *inquirer) logs(ctx context.Context, args []string) error {
	run, ranks, err := c.find(args)
	if err != nil {
		return err
	}
	show := console{stdout: c.stdout, stderr: c.stderr}
	if len(ranks) != 1 {
		show.prefix = []string{"[", "%r", "] "}
	}
	return run.Logs(ctx, ranks, c.follow, func(p runs.Piece) error {
		if p.Missed > 0 {
			fmt.Fprintf(c.stderr, "launch: rank %d: %d bytes are not kept any more (--log-dir keeps all)\n", p.Rank, p.Missed)
			return nil
		}
		stream := process.Stdout
		if p.Stream == process.Stderr.String() {
			stream = process.Stderr
		}
		show.write(process.ID{Rank: p.Rank, Generation: p.Generation}, stream, p.Text)
		return nil
	})
}

func (c *inquirer) stop(ctx context.Context, args []string) error {
	run, ranks, err := c.find(args)
	if err != nil || len(ranks) > 0 {
		return errors.Join(err, noRanks(ranks))
	}
	return run.Stop(ctx, c.kill, func() {
		fmt.Fprintf(c.stderr, "launch: stopping %s\n", run.Run)
	})
}

func noRanks(ranks []int) error {
	if len(ranks) == 0 {
		return nil
	}
	return usage("it is about the whole group: leave the ranks out")
}

func (c *inquirer) restart(ctx context.Context, args []string) error {
	run, ranks, err := c.find(args)
	if err != nil {
		return err
	}
	if err := run.Restart(ctx, ranks); err != nil {
		return err
	}
	what := "all ranks"
	if len(ranks) > 0 {
		what = rankList(ranks)
	}
	fmt.Fprintf(c.stderr, "launch: restarting %s of %s\n", what, run.Run)
	return nil
}

func (c *inquirer) dump(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usage("say of which rank, as in launch dump 3")
	}
	run, ranks, err := c.find(args)
	if err != nil {
		return err
	}
	if len(ranks) != 1 {
		return usage("a dump is of one rank, as in launch dump %s 3", run.Run)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, dumpPatience, fmt.Errorf("rank %d has not answered for %v", ranks[0], dumpPatience))
	defer cancel()
	text, err := run.Dump(ctx, ranks[0])
	if err == nil {
		fmt.Fprintln(c.stdout, strings.TrimSuffix(text, "\n"))
	} else if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

// dumpPatience is how long a rank may take to write down its stacks.
const dumpPatience = 30 * time.Second

// seconds is a time as people read it.
func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}

// shorten cuts what is longer than a line can bear.
func shorten(text string) string {
	text = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if r := []rune(text); len(r) > 60 {
		return string(r[:59]) + "…"
	}
	return text
}
