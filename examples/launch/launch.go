package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// launch runs the group and returns the exit status. An error means that nothing was started.
func launch(f *flags, args []string, stdout, stderr io.Writer) (int, error) {
	if f.explain != "" {
		return 0, f.replay(stdout, args)
	}
	spec, err := f.spec(args)
	if err != nil {
		return 0, err
	}
	spec.RunID, spec.FirstGeneration = cmp.Or(f.continued.run, newRunID()), f.continued.first
	if program, err := f.program(args); err == nil {
		args = program
	}
	what := []string{fmt.Sprintf("command      %v", process.Command{Args: args})}
	switch {
	case f.speaks:
		what = append(what, "worker       says itself when it is ready")
	case spec.Ranks[0].Speaks:
		what = append(what, "worker       Python, with the SDK in its arguments")
	}
	for rank := range spec.Ranks {
		f.programs = append(f.programs, withLocalRank(args, rank))
	}
	return f.runGroup(spec, what, stdout, stderr)
}

// runGroup runs a group and returns the exit status; what says in lines what it is, for a dry run.
func (f *flags) runGroup(spec supervisor.Spec, what []string, stdout, stderr io.Writer) (int, error) {
	var e engine
	if !f.dryRun {
		e = startEngine()
	}
	launcher, err := f.launcher()
	if err != nil {
		return 0, err
	}
	if f.away {
		launcher = elsewhere{}
	}
	if err := spec.Check(launcher); err != nil {
		return 0, err
	}
	warn(stderr, spec, launcher)
	if f.dryRun {
		dryRun(stdout, spec, launcher, what)
		return 0, nil
	}
	sinks, err := openSinks(f, spec, stdout, stderr)
	if err != nil {
		return 0, err
	}
	defer sinks.close()
	sinks.alone = f.alone(spec)
	signals := watchSignals(sinks.urgent(stderr))
	defer signals.stop()
	if sinks.reach, err = openReach(spec, f.programs[0], sinks.logs, signals, sinks.show.say); err != nil {
		return 0, err
	}
	defer sinks.reach.server.Close()
	signals.stopSelf, signals.leave = sinks.stopSelf, sinks.leave
	if f.away {
		root, err := f.gatherHosts(sinks, signals)
		if err != nil {
			return 0, err
		}
		defer root.close()
		launcher = root
	}
	return f.runChecked(spec, launcher, e, sinks, signals)
}

// gatherHosts waits for the hosts, seen by whoever looks.
func (f *flags) gatherHosts(sinks *sinks, signals *signals) (*root, error) {
	sinks.reach.gather()
	sinks.cockpit.gather()
	root, err := f.gather(sinks, signals)
	if err != nil {
		sinks.reach.begin(nil)
	}
	return root, err
}

// runChecked runs a group that nothing is wrong with, to its end.
func (f *flags) runChecked(spec supervisor.Spec, launcher process.Launcher, e engine, sinks *sinks, signals *signals) (int, error) {
	group, err := supervisor.Start(context.Background(), spec,
		append(sinks.options(), supervisor.WithSystem(<-e.system), supervisor.WithObserver(e.running),
			supervisor.WithLauncher(sinks.watch(launcher)), supervisor.WithJournalNote(f.origin.note()))...)
	sinks.reach.begin(group)
	if err != nil {
		return 0, err
	}
	signals.forward(group)
	sinks.begin(group, signals.interrupt)
	sinks.show.say("containment %s", group.Report().Containment) // after that: who does not read must not hold signals up
	err = group.Wait()
	report := group.Report()
	report.ExitCode = exitStatus(report, err, signals.first())
	sinks.finish(report, err)
	return report.ExitCode, nil
}

// warn says what is no error, and probably not what was meant.
func warn(stderr io.Writer, spec supervisor.Spec, launcher process.Launcher) {
	meminfo, _ := os.ReadFile("/proc/meminfo")
	if _, away := launcher.(process.Placer); away {
		meminfo = nil // the ranks run on others
	}
	for _, line := range append(misspelt(), overcommitted(spec, string(meminfo)), unheard(spec)) {
		if line != "" {
			fmt.Fprintln(stderr, "launch:", line)
		}
	}
}

// dryRun prints what launch would do.
func dryRun(w io.Writer, s supervisor.Spec, launcher process.Launcher, what []string) {
	fmt.Fprintf(w, "group        %s\n", s.Name)
	fmt.Fprintf(w, "world size   %d\n", len(s.Ranks))
	fmt.Fprintln(w, strings.Join(what, "\n"))
	if s.Ranks[0].Dir != "" {
		fmt.Fprintf(w, "directory    %s\n", s.Ranks[0].Dir)
	}
	fmt.Fprintf(w, "strategy     %s\n", supervisor.Describe(s.Strategy))
	fmt.Fprintf(w, "grace        %v\n", s.Grace)
	fmt.Fprintf(w, "containment  %s\n", launcher.Containment())
	_, away := launcher.(process.Placer)
	for rank, c := range s.Ranks {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-12s %s", fmt.Sprintf("rank %d", rank), strings.Join(s.Conditions(rank), "; ")), " "))
		env := s.Environment(rank)
		if away {
			env = portable(env)
		}
		for _, kv := range append(env, c.Env...) {
			fmt.Fprintf(w, "    %s\n", kv)
		}
	}
	if away {
		fmt.Fprintln(w, "nothing was started; places are chosen when the hosts have joined: LOCAL_RANK, LOCAL_WORLD_SIZE, NODE_RANK, "+
			"GROUP_RANK, GROUP_WORLD_SIZE, MASTER_ADDR, MASTER_PORT")
		return
	}
	fmt.Fprintln(w, "nothing was started; MASTER_PORT is chosen at the start")
}

func newRunID() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s-%d-%d", host, os.Getpid(), now().Unix())
}
