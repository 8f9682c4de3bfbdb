package main

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/charmbracelet/x/term"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/stage"
	"github.com/go-muster/muster/supervisor"
)

// An optional is a flag's number that may be not given at all.
type optional struct{ n *int }

// String returns the number.
func (o *optional) String() string {
	if o.n == nil {
		return ""
	}
	return strconv.Itoa(*o.n)
}

// Set reads the number.
func (o *optional) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	o.n = &n
	return nil
}

// Type is what the help calls the value.
func (o *optional) Type() string { return "int" }

// setUp adds to a command what all ranks have in common besides what they run.
func (f *flags) setUp(c *process.Command) (err error) {
	for _, name := range f.unset {
		if name == "" || strings.Contains(name, "=") {
			return usage("--unset %q: write the name of a variable", name)
		}
	}
	c.Unset = f.unset
	if c.StopSignal, err = parseSignal("stop-signal", f.stopSignal); err != nil {
		return err
	}
	if c.Ready, err = parseReady(f.ready); err != nil {
		return err
	}
	if c.DumpSignal, err = parseSignal("dump-signal", f.dumpSignal); err != nil {
		return err
	}
	if c.User, c.Group, err = parseUser(f.user); err != nil {
		return err
	}
	if f.memory != "" {
		var ok bool
		if c.Memory, ok = parseSize(f.memory); !ok || c.Memory == 0 {
			return usage("--memory %q: write bytes, or a number with K, M, G or T, such as 4G", f.memory)
		}
	}
	c.PIDs = f.pids
	c.Setup.Nice, c.Setup.OOMScoreAdj = f.nice.n, f.oomScoreAdj.n
	c.Setup.Limits, err = parseLimits(f.limits)
	return err
}

// parseSignal reads the name of a signal, with or without SIG, or its number. The default, and none, is 0.
func parseSignal(flag, text string) (syscall.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if flag == "stop-signal" && name == "TERM" || flag == "dump-signal" && name == "NONE" {
		return 0, nil
	}
	sig := signalNumber("SIG" + name)
	if n, err := strconv.Atoi(text); err == nil && 0 < n && n <= 64 {
		sig = syscall.Signal(n)
	}
	switch {
	case sig == 0:
		return 0, usage("--%s %q: write a signal's name or number, such as INT", flag, text)
	case sig == syscall.SIGKILL || sig == signalNumber("SIGSTOP"):
		return 0, usage("--%s %s: no program can answer it", flag, text)
	}
	return sig, nil
}

// parseUser reads USER[:GROUP]. A user alone has the groups of its account.
func parseUser(text string) (uid, gid *uint32, err error) {
	if text == "" {
		return nil, nil, nil
	}
	name, group, chosen := strings.Cut(text, ":")
	uid, ok := parseID(name, func() (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if !ok {
		return nil, nil, usage("--user %q: there is no user %q: write USER or USER:GROUP, names or numbers", text, name)
	}
	if !chosen {
		return uid, nil, nil
	}
	gid, ok = parseID(group, func() (string, error) {
		g, err := user.LookupGroup(group)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	if !ok {
		return nil, nil, usage("--user %q: there is no group %q: write USER or USER:GROUP, names or numbers", text, group)
	}
	return uid, gid, nil
}

// parseID reads a number, or what a name stands for.
func parseID(text string, lookup func() (string, error)) (*uint32, bool) {
	if text == "" {
		return nil, false
	}
	if _, err := strconv.ParseUint(text, 10, 32); err != nil {
		if text, err = lookup(); err != nil {
			return nil, false
		}
	}
	n, err := strconv.ParseUint(text, 10, 32)
	id := uint32(n)
	return &id, err == nil
}

// parseSize reads bytes, or so many of a unit: 64K, 1.5G is none. 1G is 1 GiB, as 1Gi and 1GiB are.
func parseSize(text string) (uint64, bool) {
	digits := strings.TrimRight(text, "KMGTkmgtiB")
	unit := strings.TrimSuffix(strings.TrimSuffix(text[len(digits):], "B"), "i")
	power := strings.Index("KMGT", strings.ToUpper(unit)) + 1
	if unit == "" {
		power = 0
	} else if power == 0 || len(unit) > 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	size := n << (10 * power)
	return size, err == nil && size>>(10*power) == n
}

// parseLimits reads NAME=SOFT[:HARD].
func parseLimits(texts []string) (map[string]stage.Limit, error) {
	limits := map[string]stage.Limit{}
	for _, text := range texts {
		name, value, found := strings.Cut(text, "=")
		low, high, two := strings.Cut(value, ":")
		if !two {
			high = low
		}
		soft, ok1 := parseBound(low)
		hard, ok2 := parseBound(high)
		if !found || name == "" || !ok1 || !ok2 {
			return nil, usage("--limit %q: write NAME=SOFT or NAME=SOFT:HARD, such as nofile=64K or core=0:unlimited", text)
		}
		limits[strings.TrimPrefix(strings.ToLower(name), "rlimit_")] = stage.Limit{Soft: soft, Hard: hard}
	}
	return limits, nil
}

func parseBound(text string) (uint64, bool) {
	if text == "unlimited" || text == "infinity" {
		return stage.Unlimited, true
	}
	return parseSize(text)
}

// devices reads K[/TOTAL].
func (f *flags) devices() (supervisor.GPUs, error) {
	g := supervisor.GPUs{Variables: f.gpuVariables}
	if f.gpus == "" {
		if len(f.gpuVariables) > 0 {
			return g, usage("--gpu-variables: say with --gpus how many each rank sees")
		}
		return g, nil
	}
	each, total, two := strings.Cut(f.gpus, "/")
	var err1, err2 error
	g.PerRank, err1 = strconv.Atoi(each)
	if two {
		g.Total, err2 = strconv.Atoi(total)
	}
	if err1 != nil || err2 != nil || g.PerRank < 1 || two && g.Total < 1 {
		return g, usage("--gpus %q: write how many each rank sees, or that and how many there are, such as 1/8", f.gpus)
	}
	return g, nil
}

// eachRank gives each rank what is its own: processors, and standard input.
func (f *flags) eachRank(ranks []process.Command) error {
	places, err := bindings(f.bind, len(ranks))
	if err != nil {
		return err
	}
	for rank, place := range places {
		ranks[rank].Setup.CPUs, ranks[rank].Setup.Nodes = place.cpus, place.nodes
	}
	return f.giveStdin(ranks)
}

// giveStdin gives launch's own standard input to one rank, or a file to all.
func (f *flags) giveStdin(ranks []process.Command) error {
	switch f.stdin {
	case "", "none":
		return nil
	case "all":
		return usage("--stdin all: what one rank reads no other gets: choose a rank, or a file for all")
	}
	rank, err := strconv.Atoi(f.stdin)
	switch {
	case err == nil && (rank < 0 || rank >= len(ranks)):
		return usage("--stdin %d: the last rank is %d (write ./%d for a file of that name)", rank, len(ranks)-1, rank)
	case err == nil && term.IsTerminal(os.Stdin.Fd()):
		return usage("--stdin %d: a rank is no foreground job and cannot read from the terminal: "+
			"give launch a file or a pipe, as in cat | launch …", rank)
	case err == nil:
		ranks[rank].Stdin = "/dev/stdin"
		return nil
	}
	path, err := filepath.Abs(f.stdin) // a rank may open it, in its own directory
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); !f.away && (err != nil || info.IsDir()) {
		return usage("--stdin %q: there is no such file: write none, a rank, or a file", f.stdin)
	}
	for rank := range ranks {
		ranks[rank].Stdin = path
	}
	return nil
}

// parseReady reads what --ready says, as process.Probe writes it.
func parseReady(text string) (*process.Probe, error) {
	var probe process.Probe
	kind, rest, _ := strings.Cut(text, ":")
	switch {
	case text == "":
		return nil, nil
	case text == "fd":
		probe.FD = true
	case kind == "tcp" && rest != "":
		probe.TCP = rest
	case kind == "line" && rest != "":
		probe.Line = rest
	case kind == "http", kind == "https":
		probe.HTTP = text
	default:
		return nil, usage("--ready %q: write tcp:HOST:PORT, http://HOST:PORT/PATH, line:REGEXP or fd", text)
	}
	if err := probe.Check(); err != nil {
		return nil, usage("--ready %q: %w", text, err)
	}
	return &probe, nil
}

// launcher starts the ranks, without the layers that were left out.
func (f *flags) launcher() (process.Launcher, error) {
	var none process.Layers
	for _, layer := range f.without {
		switch layer {
		case "cgroup":
			none.NoCgroup = true
		case "watchdog":
			none.NoWatchdog = true
		case "deathsig":
			none.NoDeathsig = true
		default:
			return nil, usage("--without %q: choose from cgroup, watchdog, deathsig", layer)
		}
	}
	if none == (process.Layers{}) {
		return process.Local(), nil
	}
	return process.LocalWith(none), nil
}
