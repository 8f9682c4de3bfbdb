package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/rules"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker/python"
)

// flags are the command line's, as they were written.
type flags struct {
	ranks  string
	module bool
	plain  bool
	speaks bool
	name   string
	role   string
	env    []string
	unset  []string
	chdir  string
	user   string
	stdin  string

	locals      bool
	strategy    string
	maxRestarts int
	within      time.Duration
	decay       time.Duration
	minUptime   time.Duration
	backoff     string
	terms       terms
	torchrun    torchrun
	hosts       hosts
	away        bool // the ranks run on hosts that join
	origin      *origin
	continued   continued
	fixed       bool // somebody has said how many ranks there are

	grace        time.Duration
	timeout      time.Duration
	startTimeout time.Duration
	ready        string
	stopSignal   string
	dumpSignal   string

	bind         string
	gpus         string
	gpuVariables []string
	memory       string
	pids         uint64
	limits       []string
	nice         optional
	oomScoreAdj  optional

	output      string
	prefix      string
	ranksFilter string
	status      string
	tui         bool
	logDir      string
	report      string
	journal     string

	rules   string
	inline  *rules.List // a group file's own, nil for none
	explain string

	without []string
	dryRun  bool
	helpAll bool
	version bool

	programs  [][]string  // of each rank, as they were given
	variables [][2]string // flags that came from the environment, each with its variable
}

const (
	defaultGrace  = 30 * time.Second
	defaultPrefix = "[%r] "
)

// A section is some flags under a heading of the help.
type section struct {
	title string
	*pflag.FlagSet
}

// sections lists the flags in the order of the help.
func (f *flags) sections() []section {
	all := []section{
		{"What runs", f.what()}, {"When a rank fails", f.failure()}, {"When the group is done, and when a rank hangs", f.terms.flags()},
		{"Time and signals", f.time()},
		{"What each rank gets (Linux)", f.resources()}, {"Output", f.outputs()},
		{"Many hosts (docs/launch.md)", f.hosts.flags()},
		{"As torchrun has it (docs/torchrun.md)", f.torchrun.flags()}, {"The launcher itself", f.itself()},
	}
	for _, s := range all {
		s.SortFlags = false
	}
	return all
}

func (f *flags) what() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.StringVarP(&f.ranks, "ranks", "n", "", "world size: a `number`, cpu, gpu, or auto: GPUs, or CPUs where there are none (default 1)")
	s.BoolVarP(&f.module, "module", "m", false, "the command is a Python module, as in python3 -m")
	s.BoolVar(&f.plain, "plain", false, "run Python like any other command: no SDK, no socket")
	s.BoolVar(&f.speaks, "speaks", false, "the command says by itself that it is ready, as in docs/protocol.md; Python needs no flag")
	s.StringVar(&f.name, "name", "", "name of the group, for people")
	s.StringVar(&f.role, "role", "", "what the ranks are, `NAME`: their ROLE_NAME (default \"default\")")
	s.StringArrayVar(&f.env, "env", nil, "`KEY=VALUE` for the ranks (may be repeated)")
	s.StringArrayVar(&f.unset, "unset", nil, "`KEY` that the ranks do not inherit (may be repeated)")
	s.StringVar(&f.chdir, "chdir", "", "run the ranks in `DIR`")
	s.StringVar(&f.user, "user", "", "run the ranks as `USER[:GROUP]`, names or numbers; root only")
	s.StringVar(&f.stdin, "stdin", "none", "`RANK|FILE`: the rank that gets launch's own, or a file for every rank")
	return s
}

func (f *flags) failure() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.addDeciding(s)
	s.BoolVar(&f.locals, "locals", false, "with a Python exception, the local variables of each frame; they may hold secrets")
	s.StringVar(&f.explain, "explain", "", "with --rules: print what they would have decided in an earlier run's `REPORT`")
	return s
}

// addDeciding adds the flags that say who decides.
func (f *flags) addDeciding(s *pflag.FlagSet) {
	s.StringVar(&f.strategy, "strategy", "all-for-one", strings.Join(strategyNames, ", "))
	s.IntVar(&f.maxRestarts, "max-restarts", 0, "restarts of the group before it fails; -1 for any number")
	s.DurationVar(&f.within, "within", 0, "window of --max-restarts (0: the whole run)")
	s.DurationVar(&f.decay, "decay", 0, "in place of --within: a restart counts half after this time, a quarter after twice that ...")
	s.DurationVar(&f.minUptime, "min-uptime", 0, "a rank that fails sooner is not worth a restart")
	s.StringVar(&f.backoff, "backoff", "0", "`MIN[,MAX]` wait before a restart, doubling up to MAX, with jitter")
	s.StringVar(&f.rules, "rules", "", "YAML or JSON `FILE` of rules, which are asked before the strategy (docs/strategies.md)")
}

func (f *flags) time() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.DurationVar(&f.grace, "grace", defaultGrace, "time between the stop signal and SIGKILL")
	s.DurationVar(&f.timeout, "timeout", 0, "time for the whole run (0: no limit)")
	s.DurationVar(&f.startTimeout, "start-timeout", time.Minute, "time for all ranks to become ready")
	s.StringVar(&f.ready, "ready", "", "what says that a rank is ready: `tcp:HOST:PORT|URL|line:REGEXP|fd`, with $RANK and so on\n"+
		"in the first two (default: its start, and of Python the script's first line)")
	s.StringVar(&f.stopSignal, "stop-signal", "TERM", "`SIGNAL` that asks a rank to stop")
	s.StringVar(&f.dumpSignal, "dump-signal", "none", "`SIGNAL` for a dump of the stacks before SIGKILL, such as QUIT (Go, Python)")
	return s
}

func (f *flags) resources() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.StringVar(&f.bind, "bind", "none", "`core|numa|LISTS`: one core for each rank, or a NUMA node and its memory,\n"+
		"or the processors of each, such as 0-3:4-7")
	s.StringVar(&f.gpus, "gpus", "", "each rank sees K of TOTAL GPUs, as `K[/TOTAL]` (default: all that launch sees)")
	s.StringSliceVar(&f.gpuVariables, "gpu-variables", nil, "`NAME[,NAME]` instead of CUDA_VISIBLE_DEVICES, such as ROCR_VISIBLE_DEVICES")
	s.StringVar(&f.memory, "memory", "", "`SIZE` that a rank and its children may use, such as 4G (cgroup v2)")
	s.Uint64Var(&f.pids, "pids", 0, "processes and threads that a rank and its children may be (cgroup v2; 0: no bound)")
	s.StringArrayVar(&f.limits, "limit", nil, "`NAME=SOFT[:HARD]` of setrlimit, such as nofile=64K or core=0 (may be repeated)")
	s.Var(&f.nice, "nice", "priority, from -20 to 19 (default: launch's)")
	s.Var(&f.oomScoreAdj, "oom-score-adj", "from -1000 to 1000: 1000 dies first when memory is short (default: launch's)")
	return s
}

func (f *flags) outputs() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.StringVar(&f.output, "output", "prefix", "what to show of the ranks' output: prefix, raw or none")
	s.StringVar(&f.prefix, "prefix", defaultPrefix, "`TEXT` before each line: %r rank, %R its role, such as trainer/1, %g generation, %h host, %s stream, %n world size")
	s.StringVar(&f.ranksFilter, "ranks-filter", "", "show only these ranks' output, such as 0,3-5")
	s.StringVar(&f.status, "status", "auto", "how the group stands, while it runs: auto shows a line on a terminal, always also in a file,\n"+
		"a line after a change; never")
	s.BoolVar(&f.tui, "tui", false, "show the group on the whole terminal: its ranks, their output, what has happened")
	s.StringVar(&f.logDir, "log-dir", "", "also write output to `DIR`/RUN/generation_G/RANK/{stdout,stderr}.log")
	s.StringVar(&f.report, "report", "", "write a JSON report to `FILE` at the end, however the run ends")
	s.StringVar(&f.journal, "journal", "", "write a line of JSON per event to `FILE` before it has its effect (also --events)")
	return s
}

func (f *flags) itself() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.StringSliceVar(&f.without, "without", nil, "protections to leave out: any of `cgroup,watchdog,deathsig`")
	s.BoolVar(&f.dryRun, "dry-run", false, "print what would run and start nothing")
	s.BoolVar(&f.version, "version", false, "print the version, and what this machine allows")
	s.BoolP("help", "h", false, "print the flags that are used most")
	s.BoolVar(&f.helpAll, "help-all", false, "print all flags")
	return s
}

// spec turns flags and arguments into what is to be run. Its errors are usage errors.
func (f *flags) spec(args []string) (supervisor.Spec, error) {
	var none supervisor.Spec
	f.away, f.fixed = f.hosts.on(), f.ranks != ""
	if err := f.torchrun.apply(f); err != nil {
		return none, err
	}
	if err := f.hosts.check(); err != nil {
		return none, err
	}
	gpus, err := f.devices()
	if err != nil {
		return none, err
	}
	n, err := f.size(f.ranks, gpus)
	if err != nil {
		return none, err
	}
	c, err := f.command(args)
	if err != nil {
		return none, err
	}
	ranks := supervisor.Repeat(n, c)
	for rank := range ranks {
		if ranks[rank].Args = withLocalRank(c.Args, rank); f.away && !slices.Equal(ranks[rank].Args, c.Args) {
			return none, usage("${local_rank}: the place of a rank is not known before its host has joined: read LOCAL_RANK in the program")
		}
	}
	return f.group(ranks, nameOf(args))
}

// group is the spec of these ranks, which are called name unless a flag says otherwise.
func (f *flags) group(ranks []process.Command, name string) (supervisor.Spec, error) {
	var none supervisor.Spec
	if err := f.torchrun.apply(f); err != nil { // of a group file, or once more
		return none, err
	}
	if err := f.hosts.check(); err != nil {
		return none, err
	}
	strategy, err := f.decider()
	if err != nil {
		return none, err
	}
	gpus, err := f.devices()
	if err != nil {
		return none, err
	}
	if err := f.hostBound(); err != nil {
		return none, err
	}
	if err := f.eachRank(ranks); err != nil {
		return none, err
	}
	if f.name != "" {
		name = f.name
	}
	spec := supervisor.Spec{
		Name: name, Ranks: ranks, Strategy: strategy, GPUs: gpus,
		Grace: max(f.grace, time.Nanosecond), StartTimeout: f.startTimeout, Timeout: f.timeout,
	}
	f.fit(&spec)
	return spec, f.terms.apply(&spec)
}

// maxRanks is more than a host runs, and less than what a slip of the finger would cost.
const maxRanks = 1 << 16

// size is the world size, on one host or on many.
func (f *flags) size(text string, gpus supervisor.GPUs) (int, error) {
	if f.hosts.on() {
		return f.hosts.size(text)
	}
	return worldSize(cmp.Or(text, "1"), gpus)
}

// worldSize reads --ranks. What torchrun calls auto is as many as there are GPUs, or else processors.
func worldSize(text string, gpus supervisor.GPUs) (int, error) {
	switch text {
	case "cpu":
		return supervisor.AutoRanks(), nil
	case "gpu", "auto":
		n, err := gpus.Count()
		n /= max(1, gpus.PerRank)
		switch {
		case err == nil && n > 0:
			return n, nil
		case text == "auto":
			return supervisor.AutoRanks(), nil
		}
		return 0, usage("--ranks gpu: there is no GPU (CUDA_VISIBLE_DEVICES, or /dev/nvidia*): give a number, or cpu")
	}
	if strings.HasPrefix(text, "proc") {
		return 0, usage("--ranks %q: give the number of ranks; for the longer flag write --n%s", text, text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxRanks {
		return 0, usage("--ranks %q: give the number of ranks, from 1 to %d, or auto, cpu or gpu", text, maxRanks)
	}
	return n, nil
}

var strategyNames = []string{"all-for-one", "one-for-one", "rest-for-one", "fail-fast", "ignore"}

func (f *flags) chooseStrategy() (supervisor.Strategy, error) {
	backoff, err := parseBackoff(f.backoff)
	if err != nil {
		return nil, err
	}
	one := supervisor.OneForOne{
		Restarts: f.maxRestarts, Within: f.within, Decay: f.decay, MinUptime: f.minUptime, Backoff: backoff,
	}
	restartsNone := f.strategy == "fail-fast" || f.strategy == "ignore"
	if restartsNone && f.maxRestarts != 0 && f.rules == "" && f.inline == nil {
		return nil, usage("--max-restarts %d: --strategy %s restarts nothing: leave one of them out", f.maxRestarts, f.strategy)
	}
	switch f.strategy {
	case "all-for-one":
		return supervisor.AllForOne{
			Restarts: one.Restarts, Within: one.Within, Decay: one.Decay, MinUptime: one.MinUptime, Backoff: one.Backoff,
		}, nil
	case "one-for-one":
		return one, nil
	case "rest-for-one":
		return supervisor.RestForOne(one), nil
	case "fail-fast":
		return supervisor.FailFast{}, nil
	case "ignore":
		return supervisor.IgnoreFailures{}, nil
	}
	return nil, usage("--strategy %q: choose one of %s", f.strategy, strings.Join(strategyNames, ", "))
}

func parseBackoff(text string) (b supervisor.Backoff, err error) {
	low, high, two := strings.Cut(text, ",")
	if b.Min, err = time.ParseDuration(low); err != nil {
		return b, usage("--backoff %q: write MIN or MIN,MAX, such as 1s,1m", text)
	}
	if two {
		if b.Max, err = time.ParseDuration(high); err != nil || b.Max < b.Min {
			return b, usage("--backoff %q: MAX must be a time no shorter than MIN", text)
		}
	}
	if b.Min < 0 {
		return b, usage("--backoff %q: a wait cannot be negative", text)
	}
	return b, nil
}

func (f *flags) checkDurations() error {
	if f.maxRestarts < -1 {
		return usage("--max-restarts %d: give 0 or more, or -1 for any number", f.maxRestarts)
	}
	for _, d := range []struct {
		name string
		is   time.Duration
	}{{"within", f.within}, {"decay", f.decay}, {"min-uptime", f.minUptime}, {"grace", f.grace}, {"timeout", f.timeout}, {"start-timeout", f.startTimeout}} {
		if d.is < 0 {
			return usage("--%s %v: a time cannot be negative", d.name, d.is)
		}
	}
	if f.within > 0 && f.decay > 0 {
		return usage("--decay %v: it stands in place of --within: leave one out", f.decay)
	}
	if f.startTimeout == 0 {
		return usage("--start-timeout 0s: give the ranks some time to become ready")
	}
	return nil
}

// command is what each rank runs.
func (f *flags) command(args []string) (process.Command, error) {
	if len(args) == 0 || args[0] == "" {
		return process.Command{}, usage("no command: say what each rank is to run, as in launch -n 4 -- python3 train.py")
	}
	for _, kv := range f.env {
		if key, _, ok := strings.Cut(kv, "="); !ok || key == "" {
			return process.Command{}, usage("--env %q: write KEY=VALUE", kv)
		}
	}
	if f.plain && f.speaks {
		return process.Command{}, usage("--speaks --plain: without a socket nobody speaks: leave one out")
	}
	args, err := f.program(args)
	if err != nil {
		return process.Command{}, err
	}
	env, err := f.torchrun.environment(f.env, f.away)
	if err != nil {
		return process.Command{}, err
	}
	c := process.Command{Args: args, Env: append(env, f.env...), Dir: f.chdir, Role: f.role, Plain: f.plain}
	if f.locals {
		c.Env = append(slices.Clip(c.Env), transport.EnvLocals+"=1")
	}
	if err := f.setUp(&c); err != nil {
		return c, err
	}
	if err := f.lookFor(c, args); err != nil {
		return c, err
	}
	if !f.plain && !strings.HasSuffix(args[0], ".py") {
		c.Args, c.Speaks = python.Inject(args)
	}
	c.Speaks = c.Speaks || f.speaks
	c.Dumps = c.Speaks // launch dump asks for stacks
	return c, nil
}

// lookFor looks for what a command needs on this machine. Other hosts look for themselves.
func (f *flags) lookFor(c process.Command, args []string) error {
	if f.away {
		return nil
	}
	if err := process.Local().Check(c); errors.Is(err, os.ErrDeadlineExceeded) {
		return err // a look of our own would hang as well, and longer
	}
	if info, err := os.Stat(f.chdir); f.chdir != "" && (err != nil || !info.IsDir()) {
		return usage("--chdir %s: there is no such directory", f.chdir)
	}
	if script := scriptOf(args); script != "" && missing(inDir(f.chdir, script)) {
		return fmt.Errorf("%s: %w", script, os.ErrNotExist)
	}
	return nil
}

// scriptOf returns the Python script that a command line names, "" for none. One that is not there is better said once
// than by every rank.
func scriptOf(args []string) string {
	if strings.HasSuffix(args[0], ".py") {
		return args[0]
	}
	if _, ok := python.Inject(args); !ok {
		return ""
	}
	for _, arg := range args[1:] {
		switch {
		case strings.HasSuffix(arg, ".py") && !strings.HasPrefix(arg, "-"):
			return arg
		case !strings.HasPrefix(arg, "-"), strings.ContainsAny(arg, "mcWX"):
			return "" // a module, code, or what only Python can tell
		}
	}
	return ""
}

// nameOf is what a group is called that was given no name: its script, its module, or its program.
func nameOf(args []string) string {
	if script := scriptOf(args); script != "" {
		return filepath.Base(script)
	}
	if _, isPython := python.Inject(args); isPython {
		for i := 1; i+1 < len(args) && strings.HasPrefix(args[i], "-"); i++ {
			if args[i] == "-m" {
				return args[i+1]
			}
		}
	}
	return filepath.Base(args[0])
}

// missing reports whether a file is certain not to be there. A file system that does not answer will hang the ranks, and they
// are given up after their start timeout; launch must not hang before them.
func missing(path string) bool {
	answer := make(chan error, 1)
	go func() { // ends with the answer
		_, err := os.Stat(path)
		answer <- err
	}()
	select {
	case err := <-answer:
		return os.IsNotExist(err)
	case <-time.After(time.Second):
		return false
	}
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
