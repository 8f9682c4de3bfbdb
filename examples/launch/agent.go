package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-muster/muster/actors/host"
	"github.com/go-muster/muster/actors/host/discovery"
)

const agentHelp = `Make this machine a host of a group that a launch on another one runs: launch --hosts … --listen ….
The agent joins it, runs the ranks that it is given, and kills them when it does not hear of that
launch for a lease. Ranks find the agent's environment and directory, and what launch gives them.

First Ctrl-C or SIGTERM: leave. The launch starts nothing here any more, the ranks are stopped and
have the launch's --grace; they count as those of a host that is lost. Second: kill them. Third:
leave at once.

Each flag is also a variable: --slots is LAUNCH_AGENT_SLOTS, or LAUNCH_SLOTS. --name, --listen and
--advertise have the first kind only, because launch has flags of these names. The ranks do not
inherit any of them.

Exit status: 0 when the launch is done, or the agent was told to leave; 1 when there was no launch to
be found (--patience), or it refuses this host; 2 for bad usage.`

// An agentCommand is launch agent.
type agentFlags struct {
	flags     // those of the launcher itself
	slots     string
	join      string
	name      string
	listen    string
	advertise string
	certs     string
	token     string
	etcd      []string
	cluster   string
	stay      bool
	patience  time.Duration
	grace     time.Duration
}

// agentCommand is launch agent. A program of that name is run by launch -- agent.
func agentCommand(code *int, stderr io.Writer) *cobra.Command {
	var a agentFlags
	cmd := &cobra.Command{
		Use:     "agent --join HOST:PORT",
		Short:   "Make this machine a host of a group",
		Long:    agentHelp,
		Example: "  launch agent --join 10.0.0.1:7070\n  launch agent --join 10.0.0.1:7070 --certs certs --slots 8 --name gpu3",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("agent: %q: it takes no command: the launch that it joins says what runs", args[0])
			}
			if err := a.fromAgentEnvironment(cmd.Flags()); err != nil {
				return err
			}
			for _, name := range a.unset { // they are for us, and not for the ranks
				os.Unsetenv(name)
			}
			status, err := a.serve(stderr)
			*code = status
			return a.traced(err)
		},
	}
	cmd.Flags().SortFlags = false
	a.register(cmd.Flags())
	complete(cmd)
	return cmd
}

func (a *agentFlags) register(s *pflag.FlagSet) {
	s.StringVar(&a.join, "join", "", "`HOST:PORT` of the launch, as its --listen")
	s.StringVar(&a.name, "name", "", "`NAME` of this host, among all of the group (default: that in its certificate, or its host name)")
	s.StringVar(&a.slots, "slots", "auto", "`N` ranks that this host takes; cpu, gpu, or auto: GPUs, or CPUs where there are none")
	s.StringVar(&a.listen, "listen", "", "`HOST:PORT` at which the launch reaches this agent (default: any port of the address towards it)")
	s.StringVar(&a.advertise, "advertise", "", "`HOST:PORT` that the launch uses, where it is another: behind 0.0.0.0, or in a container")
	s.StringVar(&a.certs, "certs", "", "`DIR` with this host's certificate, as launch certs makes it; a must unless all is on 127.0.0.1")
	s.StringVar(&a.token, "token", "", "join `TOKEN`, where the launch wants one; better in LAUNCH_TOKEN: a command line is public")
	s.StringSliceVar(&a.etcd, "etcd", nil, "`ENDPOINT[,…]` of an etcd where the launch is found, in place of --join")
	s.StringVar(&a.cluster, "cluster", "", "`NAME` of the launch there")
	s.BoolVar(&a.stay, "stay", false, "wait for the next launch when this one is done")
	s.DurationVar(&a.patience, "patience", 0, "how long to look for a launch, at the start and after a loss (0: for ever)")
	s.DurationVar(&a.grace, "grace", 0, "how long ranks have at the most when this host leaves (0: as the launch's --grace)")
	s.StringSliceVar(&a.without, "without", nil, "protections to leave out: any of `cgroup,watchdog,deathsig`")
}

func (a *agentFlags) check() error {
	switch {
	case a.join == "" && len(a.etcd) == 0 && a.listen == "":
		return usage("agent: say with --join HOST:PORT which launch this host is for: that launch prints it; or with --listen where it is invited")
	case a.join != "" && len(a.etcd) > 0:
		return usage("--join %s: --etcd finds the launch: leave one out", a.join)
	case len(a.etcd) > 0 && a.cluster == "":
		return usage("--etcd %s: say with --cluster NAME which launch this host is for", strings.Join(a.etcd, ","))
	case len(a.etcd) == 0 && a.cluster != "":
		return usage("--cluster %s: say with --etcd where it is found", a.cluster)
	case len(a.etcd) > 0 && a.listen == "":
		return usage("--etcd %s: say with --listen HOST:PORT where the launch reaches this agent: there is no --join to tell on which network",
			strings.Join(a.etcd, ","))
	case a.patience < 0:
		return usage("--patience %v: a time cannot be negative", a.patience)
	case a.grace < 0:
		return usage("--grace %v: a time cannot be negative; for none at all, write 1ns", a.grace)
	}
	to, _, _ := net.SplitHostPort(a.join)
	switch _, port, _ := net.SplitHostPort(a.listen); {
	case a.join != "" && !isAddress(a.join):
		return usage("--join %q: write HOST:PORT of the launch, such as 10.0.0.1:7070: it prints that", a.join)
	case a.join == "" && len(a.etcd) == 0 && port == "0":
		return usage("--listen %s: a launch that invites this agent (--agents) has to know its port: write one", a.listen)
	case a.listen != "":
		return checkListen(a.listen, a.advertise, a.certs)
	case a.join != "" && a.certs == "" && !isLoopback(to):
		return usage("--join %s: a launch on another machine wants certificates: launch certs DIR HOST… makes them; give --certs DIR", a.join)
	}
	return nil
}

// countSlots reads --slots.
func (a *agentFlags) countSlots() (int, error) {
	gpus, err := a.devices()
	if err != nil {
		return 0, err
	}
	n, err := worldSize(a.slots, gpus)
	if err != nil {
		return 0, usage("--slots %q: give the number of ranks that this host takes, from 1 to %d, or auto, cpu or gpu", a.slots, maxRanks)
	}
	return n, nil
}

// serve is the agent. An error means that nothing was started.
func (a *agentFlags) serve(stderr io.Writer) (int, error) {
	if err := a.check(); err != nil {
		return 0, err
	}
	slots, err := a.countSlots()
	if err != nil {
		return 0, err
	}
	launcher, err := a.launcher()
	if err != nil {
		return 0, err
	}
	tells := newTeller(func(format string, args ...any) { fmt.Fprintf(stderr, "launch: "+format+"\n", args...) })
	defer tells.end()
	ctx, kill, done := untilTold(tells)
	defer done()
	secure, _, err := (&hosts{certs: a.certs}).trust()
	if err != nil {
		return 0, err
	}
	roots, found, err := a.find(ctx, tells)
	if err != nil {
		return 0, err
	}
	tells.say("this host has %s, %s; it %s", count(slots, "slot"), launcher.Containment(), a.looks())
	err = host.Serve(ctx, host.AgentConfig{
		Join: a.join, Listen: a.listen, Advertise: a.advertise, Token: a.token, Name: a.name, Slots: slots, Stay: a.stay, Patience: a.patience,
		Grace: a.grace, Kill: kill,
		Launcher: launcher, Muster: musterVersion(), Logger: slog.New(tells), TLS: secure, Roots: roots,
	})
	if sought := found(); sought != nil && err == nil {
		err = sought
	}
	return a.ended(ctx, tells, err)
}

// looks says where it looks for a launch.
func (a *agentFlags) looks() string {
	switch {
	case a.join != "":
		return "looks for a launch at " + a.join
	case len(a.etcd) > 0:
		return fmt.Sprintf("looks for the launch %s in %s", a.cluster, strings.Join(a.etcd, ","))
	}
	return "waits at " + a.listen + " for a launch that invites it (--agents)"
}

// find watches for launches in etcd. Wait ends that, and returns what went wrong with it.
func (a *agentFlags) find(ctx context.Context, tells *teller) (_ <-chan string, wait func() error, _ error) {
	at, err := store(a.etcd, a.cluster, tells.reach)
	if at == nil || err != nil {
		return nil, func() error { return nil }, err
	}
	ctx, cancel := context.WithCancel(ctx)
	roots, failed := discovery.Latest(ctx, at, discovery.Root)
	return roots, func() error { cancel(); return failed() }, nil
}

// ended says how it ended, and returns the exit status.
func (a *agentFlags) ended(ctx context.Context, tells *teller, err error) (int, error) {
	var left *interruptedError
	switch {
	case errors.Is(err, host.ErrRefused), errors.Is(err, host.ErrNoRoot):
		tells.say("%s%s", oneLine(err), tells.strayed())
		return exitFailure, nil
	case err != nil:
		return 0, a.wrong(err)
	case errors.As(context.Cause(ctx), &left):
		tells.say("%s: this host has left", left)
	default:
		tells.say("the launch is done")
	}
	return 0, nil
}

// wrong says what is wrong with where we listen.
func (a *agentFlags) wrong(err error) error {
	h := hosts{listen: a.listen}
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
		return h.openError(err)
	}
	return usage("agent: %s", strings.TrimPrefix(oneLine(err), "host: "))
}

// untilTold is a context that the first signal ends. The second closes kill, and the third leaves at once: the ranks die with us.
func untilTold(tells *teller) (_ context.Context, kill chan struct{}, done func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := make(chan os.Signal, 4)
	wanted := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	signal.Notify(c, wanted...)
	kill, over := make(chan struct{}), make(chan struct{})
	go func() { // ends with done
		for n := 1; ; n++ {
			select {
			case sig := <-c:
				switch n {
				case 1:
					tells.say("%s: leaving; ranks that run here are stopped (again to kill them)", sig)
					cancel(&interruptedError{sig.(syscall.Signal)})
				case 2:
					tells.say("%s: killing the ranks (again to leave at once)", sig)
					close(kill)
				default:
					os.Exit(exitSignal + int(sig.(syscall.Signal)))
				}
			case <-over:
				return
			}
		}
	}()
	return ctx, kill, func() {
		signal.Stop(c)
		close(over)
		cancel(nil)
	}
}
