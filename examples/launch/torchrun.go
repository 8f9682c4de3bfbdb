package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/go-muster/muster/transport/worker/python"
)

// A torchrun is the flags of torchrun that launch does not have under another name. docs/torchrun.md says what becomes of each.
type torchrun struct {
	masterAddr      string
	masterPort      int
	noPython        bool
	runPath         bool
	virtual         bool
	redirects       string
	tee             string
	stdoutFilters   string
	stderrFilters   string
	linePrefix      string
	shutdownTimeout string
	numa            string

	standalone bool
	nodeRank   int
	localAddr  string
	backend    string
	endpoint   string
	id         string
	conf       string
	interval   string
	method     string
	events     string
	logsSpecs  string
	signals    string
}

// flags are those of torchrun. What has no effect on one host is taken, checked, and left out of the help.
func (t *torchrun) flags() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.StringVar(&t.masterAddr, "master-addr", "", "`ADDRESS` of this host where rank 0 listens (default: 127.0.0.1)")
	s.IntVar(&t.masterPort, "master-port", 0, "`PORT` where rank 0 listens (default: a free one for each generation)")
	s.StringVarP(&t.redirects, "redirects", "r", "", "`STREAMS` to files only: 1 is standard output, 2 standard error, 3 both, and\n"+
		"0:1,4-7:3 of some ranks; they are files of --log-dir, or of a new directory")
	s.StringVarP(&t.tee, "tee", "t", "", "`STREAMS` to files and to the console (default with --log-dir: 3)")
	s.StringVar(&t.stdoutFilters, "duplicate-stdout-filters", "", "copy lines that hold one of `TEXT[,TEXT]` to one file for all ranks, filtered_stdout.log")
	s.StringVar(&t.stderrFilters, "duplicate-stderr-filters", "", "the same of standard error, `TEXT[,TEXT]`; a comma in a text is ,,")
	s.BoolVar(&t.virtual, "virtual-local-rank", false, "LOCAL_RANK is 0 in every rank, and each sees one GPU")
	s.BoolVar(&t.noPython, "no-python", false, "run a .py file as a program, by its first line")
	s.BoolVar(&t.runPath, "run-path", false, "the command is a Python script, whatever its name")
	shown := len(sorted(s))
	s.StringVar(&t.linePrefix, "log-line-prefix-template", "", "")
	s.StringVar(&t.shutdownTimeout, "shutdown-timeout", "", "")
	s.StringVar(&t.numa, "numa-binding", "", "")
	s.BoolVar(&t.standalone, "standalone", false, "")
	s.IntVar(&t.nodeRank, "node-rank", 0, "")
	s.StringVar(&t.localAddr, "local-addr", "", "")
	s.StringVar(&t.backend, "rdzv-backend", "static", "")
	s.StringVar(&t.endpoint, "rdzv-endpoint", "", "")
	s.StringVar(&t.id, "rdzv-id", "none", "")
	s.StringVar(&t.conf, "rdzv-conf", "", "")
	s.StringVar(&t.interval, "monitor-interval", "0.1", "")
	s.StringVar(&t.method, "start-method", "spawn", "")
	s.StringVar(&t.events, "event-log-handler", "null", "")
	s.StringVar(&t.logsSpecs, "logs-specs", "", "")
	s.StringVar(&t.signals, "signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGQUIT", "")
	for _, flag := range sorted(s)[shown:] {
		flag.Hidden = true
	}
	return s
}

// sorted lists a set's flags in the order in which they were made.
func sorted(s *pflag.FlagSet) (all []*pflag.Flag) {
	s.SortFlags = false
	s.VisitAll(func(flag *pflag.Flag) { all = append(all, flag) })
	return all
}

// check refuses what cannot be done on one host, and what makes no sense on any.
func (t *torchrun) check() error {
	if t.nodeRank != 0 {
		return usage("--node-rank %d: one launch runs the whole group: on its other hosts run launch agent --join HOST:PORT, "+
			"and they are numbered as they join", t.nodeRank)
	}
	if t.masterPort < 0 || t.masterPort > math.MaxUint16 {
		return usage("--master-port %d: give a port from 1 to 65535, or leave it out: launch finds a free one", t.masterPort)
	}
	if t.noPython && t.runPath {
		return usage("--no-python --run-path: one runs a program, the other a Python script: leave one out")
	}
	for _, choice := range []struct{ flag, is, from string }{
		{"rdzv-backend", t.backend, "static c10d etcd etcd-v2"}, {"start-method", t.method, "spawn fork forkserver"},
	} {
		if !slices.Contains(strings.Fields(choice.from), choice.is) {
			return usage("--%s %q: torchrun knows %s: leave it out, it has no effect here", choice.flag, choice.is,
				strings.Join(strings.Fields(choice.from), ", "))
		}
	}
	if seconds, err := strconv.ParseFloat(t.interval, 64); err != nil || seconds <= 0 {
		return usage("--monitor-interval %q: a number of seconds; leave it out: launch hears of a failure at once", t.interval)
	}
	if t.events != "null" {
		return usage("--event-log-handler %s: that is a plug-in of Python's: use --journal FILE", t.events)
	}
	if t.logsSpecs != "" && t.logsSpecs != "default" {
		return usage("--logs-specs %s: that is a plug-in of Python's: use --log-dir, --redirects, --tee and --output", t.logsSpecs)
	}
	for _, pair := range strings.Split(t.conf, ",") {
		if key, _, ok := strings.Cut(pair, "="); t.conf != "" && (!ok || key == "") {
			return usage("--rdzv-conf %q: write KEY=VALUE,KEY=VALUE, or leave it out: there is no rendezvous on one host", t.conf)
		}
	}
	return checkSignals(t.signals)
}

// checkSignals refuses signals that launch would not do with what torchrun does.
func checkSignals(list string) error {
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "SIG")
		if !slices.Contains([]string{"", "TERM", "INT", "HUP", "QUIT", "USR1", "USR2"}, name) {
			return usage("--signals-to-handle %q: launch stops its ranks on TERM, INT and HUP, and passes on USR1 and USR2: leave out %s",
				list, name)
		}
	}
	return nil
}

// apply gives launch's own flags what torchrun's say in their place.
func (t *torchrun) apply(f *flags) error {
	if err := t.check(); err != nil {
		return err
	}
	if t.shutdownTimeout != "" && f.grace == defaultGrace {
		seconds, err := strconv.ParseFloat(t.shutdownTimeout, 64)
		if err != nil || seconds < 0 || seconds > maxSeconds {
			return usage("--shutdown-timeout %q: write seconds, as torchrun has them, or --grace 30s", t.shutdownTimeout)
		}
		f.grace = time.Duration(seconds * float64(time.Second))
	}
	if t.linePrefix != "" && f.prefix == defaultPrefix {
		f.prefix = t.prefix(f.role)
	}
	switch t.numa {
	case "":
	case "node":
		f.bind = "numa"
	default:
		return usage("--numa-binding %s: launch binds with --bind core, numa, or lists of processors", t.numa)
	}
	if t.virtual && f.gpus == "" {
		f.gpus = "1"
	}
	return nil
}

const maxSeconds = 1e9 // some thirty years

// prefix is torchrun's template as --prefix has it: on one host the local rank is the rank.
func (t *torchrun) prefix(role string) string {
	return os.Expand(strings.ReplaceAll(t.linePrefix, "%", "%%"), func(name string) string {
		switch name {
		case "role_name":
			return strings.ReplaceAll(cmp.Or(role, "default"), "%", "%%")
		case "rank", "local_rank":
			return "%r"
		case "$":
			return "$"
		}
		return "${" + name + "}" // torchrun leaves it, too
	})
}

// environment is what the ranks find otherwise than launch would have it. own is what --env gives them. Away is on other hosts.
func (t *torchrun) environment(own []string, away bool) (env []string, err error) {
	address, port, err := t.meeting()
	if err != nil {
		return nil, err
	}
	// With an agent's store somebody else listens there, on whatever host.
	if !away && !slices.Contains(own, "TORCHELASTIC_USE_AGENT_STORE=True") {
		if err := checkMeeting(address, port); err != nil {
			return nil, err
		}
	}
	for _, kv := range [][2]string{{"MASTER_ADDR", address}, {"MASTER_PORT", port}} {
		if kv[1] != "" {
			env = append(env, kv[0]+"="+kv[1])
		}
	}
	if t.id != "none" && t.id != "" && !t.standalone {
		env = append(env, "TORCHELASTIC_RUN_ID="+t.id) // the run's own name stays: two runs must not share a directory of logs
	}
	if t.virtual {
		env = append(env, "LOCAL_RANK=0")
	}
	return env, nil
}

// meeting is where rank 0 is to listen, "" for launch's choice. The endpoint of a backend that is not static is one where
// torchrun's agents meet, and here are none.
func (t *torchrun) meeting() (address, port string, err error) {
	if address = t.masterAddr; address == "" {
		address = t.localAddr
	}
	if t.masterPort > 0 {
		port = strconv.Itoa(t.masterPort)
	}
	if t.endpoint == "" || t.standalone {
		return address, port, nil
	}
	host, number, found := strings.Cut(t.endpoint, ":")
	if i := strings.LastIndexByte(t.endpoint, ':'); i >= 0 {
		host, number = t.endpoint[:i], t.endpoint[i+1:]
	}
	if n, err := strconv.ParseUint(number, 10, 16); found && err != nil || t.backend == "static" && (!found || n == 0) || host == "" {
		return "", "", usage("--rdzv-endpoint %q: write HOST:PORT, or leave it out: launch finds a free port", t.endpoint)
	}
	if t.backend == "static" {
		return host, number, nil
	}
	return address, port, nil
}

// checkMeeting tries to listen as rank 0 will: on an address of this host, and on a port that nobody has. With SO_REUSEADDR,
// which Go sets and PyTorch sets: connections of an earlier run may linger.
func checkMeeting(address, port string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	listen := func(address, port string) error {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(strings.Trim(address, "[]"), port))
		if err == nil {
			l.Close()
		}
		return err
	}
	if address != "" && listen(address, "0") != nil {
		return usage("--master-addr %s: it is no address of this host, where rank 0 is to listen: "+
			"leave it out, and the ranks meet at 127.0.0.1", address)
	}
	if port == "" {
		return nil
	}
	switch err := listen("", port); {
	case errors.Is(err, syscall.EADDRINUSE):
		return usage("--master-port %s: %s listens there: end that one, choose another port, "+
			"or leave it out: launch then finds a free one", port, cmp.Or(portHolder(port), "another program"))
	case err != nil:
		return usage("--master-port %s: rank 0 could not listen there: %w", port, reason(err))
	}
	return nil
}

// program turns what torchrun would be given into a command: the script is Python's, unless it is not to be. A pipe is no
// terminal: -u, as torchrun has it, lets a line be seen when it is printed.
func (f *flags) program(args []string) ([]string, error) {
	t := &f.torchrun
	switch {
	case f.module && t.noPython:
		return nil, usage("--module --no-python: a module is Python's: leave one out")
	case f.module && strings.HasSuffix(args[0], ".py"):
		return nil, usage("--module %s: a module is named without .py, and with dots: write -m %s, or leave -m out", args[0],
			strings.ReplaceAll(strings.TrimSuffix(args[0], ".py"), "/", "."))
	case f.module:
		return append([]string{pythonExec(), "-u", "-m"}, args...), nil
	case t.runPath, !t.noPython && !f.plain && strings.HasSuffix(args[0], ".py"):
		return append([]string{pythonExec(), "-u"}, args...), nil
	}
	return args, nil
}

// withLocalRank puts a rank's number on its host into the arguments of a Python command, for ${local_rank} as torchrun does. What is
// given to another program is its own: a shell may have a variable of that name.
func withLocalRank(args []string, rank int) []string {
	const macro = "${local_rank}"
	if _, isPython := python.Inject(args); !isPython || !slices.ContainsFunc(args, func(arg string) bool { return strings.Contains(arg, macro) }) {
		return args
	}
	args = slices.Clone(args)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], macro, strconv.Itoa(rank))
	}
	return args
}

// pythonExec is the interpreter of a script that names none.
func pythonExec() string {
	if path := os.Getenv("PYTHON_EXEC"); path != "" {
		return path
	}
	return "python3"
}

// ofTorchrun is every long option of torchrun. Each is also read from the variable PET_NAME, which torchrun reads.
var ofTorchrun = []string{
	"nnodes", "nproc-per-node", "rdzv-backend", "rdzv-endpoint", "rdzv-id", "rdzv-conf", "standalone", "max-restarts",
	"monitor-interval", "start-method", "event-log-handler", "role", "module", "no-python", "run-path", "log-dir", "redirects",
	"tee", "local-ranks-filter", "duplicate-stdout-filters", "duplicate-stderr-filters", "node-rank", "master-addr",
	"master-port", "local-addr", "logs-specs", "numa-binding", "signals-to-handle", "shutdown-timeout", "virtual-local-rank",
}

// aliases are torchrun's names of flags that we have under another.
var aliases = map[string]string{
	"nproc-per-node": "ranks", "nnodes": "hosts", "local-ranks-filter": "ranks-filter", "events": "journal",
}

// otherVariables are torchrun's own names of what some flags say.
var otherVariables = map[string]string{
	"log-line-prefix-template": "TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE",
	"shutdown-timeout":         "TORCH_ELASTIC_SHUTDOWN_TIMEOUT",
	"signals-to-handle":        "TORCHELASTIC_SIGNALS_TO_HANDLE",
}

// torchVariables are the names under which torchrun has a flag in the environment.
func torchVariables(flag string) (names []string) {
	for _, name := range ofTorchrun {
		if name == flag || aliases[name] == flag && name != perNode {
			names = append(names, "PET_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
		}
	}
	if name, ok := otherVariables[flag]; ok {
		names = append(names, name)
	}
	return names
}
