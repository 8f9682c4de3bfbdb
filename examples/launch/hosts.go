package main

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/go-muster/muster/actors/host"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// hosts are the flags of a group on many hosts, which join this launch: see agent.go for the other side.
type hosts struct {
	hosts       string
	perHost     int
	perNode     string // torchrun's name of one or the other: see flags.perNode
	listen      string
	advertise   string
	certs       string
	tokens      string
	lease       time.Duration
	place       string
	agents      []string
	etcd        []string
	cluster     string
	self        bool
	joinTimeout time.Duration
	settle      time.Duration
	waitHosts   time.Duration
	regrow      bool
}

const (
	defaultJoinTimeout = 10 * time.Minute // as torchrun waits for its agents
	defaultSettle      = 5 * time.Second
	defaultWaitHosts   = 5 * time.Minute
)

func (h *hosts) flags() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.StringVar(&h.hosts, "hosts", "1", "`MIN[:MAX]` hosts that the group runs on; each joins with launch agent (also --nnodes)")
	s.IntVar(&h.perHost, "per-host", 0, "ranks of each host, at the most (default 1, or with -n the slots of each agent; also\n--nproc-per-node)")
	s.StringVar(&h.listen, "listen", "", "`HOST:PORT` at which agents join this launch")
	s.StringVar(&h.advertise, "advertise", "", "`HOST:PORT` that agents use, where it is another: behind 0.0.0.0, or in a container")
	s.StringVar(&h.certs, "certs", "", "`DIR` with this host's certificate, as launch certs makes it; a must unless all is on 127.0.0.1")
	s.StringVar(&h.tokens, "tokens", "", "`FILE` of the join tokens that agents may come with, as launch certs makes it")
	s.DurationVar(&h.lease, "lease", host.DefaultLease, "how long a host lives on without word of this launch, and this launch waits for it, and a bit")
	s.StringVar(&h.place, "place", "pack", "`pack|spread`: fill each host before the next, or all evenly")
	s.StringSliceVar(&h.agents, "agents", nil, "`HOST:PORT[,…]` of agents that wait to be invited")
	s.StringSliceVar(&h.etcd, "etcd", nil, "`ENDPOINT[,…]` of an etcd where agents find this launch")
	s.StringVar(&h.cluster, "cluster", "", "`NAME` under which they find it there")
	s.BoolVar(&h.self, "self", false, "this machine is one of the hosts, too")
	s.DurationVar(&h.joinTimeout, "join-timeout", defaultJoinTimeout, "time for MIN hosts to join, at the start")
	s.DurationVar(&h.settle, "settle", defaultSettle, "with MIN:MAX: how long more hosts are waited for")
	s.DurationVar(&h.waitHosts, "wait-hosts", defaultWaitHosts, "time for hosts to come back when there are too few for a restart")
	s.BoolVar(&h.regrow, "regrow", false, "with MIN:MAX: restart with more ranks when a host joins; that uses no restart up")
	shown := len(sorted(s))
	s.StringVar(&h.perNode, perNode, "", "")
	for _, flag := range sorted(s)[shown:] {
		flag.Hidden = true
	}
	return s
}

// perNode is torchrun's name of the ranks of each host.
const perNode = "nproc-per-node"

// perNode makes torchrun's flag one of ours: the world size on one host, the ranks of each on many.
func (f *flags) perNode(s *pflag.FlagSet, many bool) {
	flag, ours := s.Lookup(perNode), "ranks"
	if many {
		ours = "per-host"
	}
	if flag == nil || !flag.Changed || s.Lookup(ours) == nil {
		return
	}
	flag.Changed = false
	if s.Lookup(ours).Changed {
		return // which is said more closely
	}
	for i := range f.variables {
		if f.variables[i][0] == perNode {
			f.variables[i][0] = ours
		}
	}
	if many {
		f.hosts.perHost = -1 // what is no number is told of as such
		if n, err := strconv.Atoi(f.hosts.perNode); err == nil {
			f.hosts.perHost = n
		}
	} else {
		f.ranks = f.hosts.perNode
	}
	s.Lookup(ours).Changed = true
}

// many reports whether the flags, or the variables, are those of a group on many hosts.
func many(s *pflag.FlagSet) bool {
	listen, hosts := s.Lookup("listen"), s.Lookup("hosts")
	return listen != nil && hosts != nil && (listen.Value.String() != "" || !slices.Contains([]string{"1", "1:1"}, hosts.Value.String()))
}

// on reports whether the group runs on hosts that join.
func (h *hosts) on() bool { return h.listen != "" }

// bounds reads MIN[:MAX].
func (h *hosts) bounds() (least, most int, err error) {
	low, high, two := strings.Cut(h.hosts, ":")
	if !two {
		high = low
	}
	least, err1 := strconv.Atoi(low)
	most, err2 := strconv.Atoi(high)
	switch {
	case err1 != nil || err2 != nil || least < 1:
		return 0, 0, usage("--hosts %q: write a number of hosts, or MIN:MAX, such as 2:4", h.hosts)
	case most < least:
		return 0, 0, usage("--hosts %s: MAX is less than MIN: write %d:%d", h.hosts, most, least)
	case most > maxRanks:
		return 0, 0, usage("--hosts %s: there are at most %d", h.hosts, maxRanks)
	}
	return least, most, nil
}

// check refuses what makes no sense, and says what is missing.
func (h *hosts) check() error {
	least, most, err := h.bounds()
	if err != nil {
		return err
	}
	if !h.on() {
		return h.alone(most)
	}
	if err := checkListen(h.listen, h.advertise, h.certs); err != nil {
		return err
	}
	if h.perHost < 0 || h.perHost > maxRanks {
		return usage("--per-host %s: write the number of ranks of each host, from 1 to %d; auto and its like are for --slots of the agents, "+
			"with -n here", cmp.Or(h.perNode, strconv.Itoa(h.perHost)), maxRanks)
	}
	if h.place != "pack" && h.place != "spread" {
		return usage("--place %q: choose pack or spread", h.place)
	}
	if h.lease < host.MinLease || h.lease > host.MaxLease {
		return usage("--lease %v: give from %v to %v", h.lease, host.MinLease, host.MaxLease)
	}
	for _, d := range []struct {
		name string
		is   time.Duration
	}{{"join-timeout", h.joinTimeout}, {"settle", h.settle}, {"wait-hosts", h.waitHosts}} {
		if d.is < 0 {
			return usage("--%s %v: a time cannot be negative", d.name, d.is)
		}
	}
	if h.regrow && least == most {
		return usage("--regrow: a group on %s hosts never grows: write --hosts MIN:MAX", h.hosts)
	}
	return h.checkMeeting()
}

// checkListen checks where this program listens, root or agent.
func checkListen(listen, advertise, certs string) error {
	at, port, err := net.SplitHostPort(listen)
	if err != nil || !isPort(port) && port != "0" {
		return usage("--listen %q: write HOST:PORT, such as 10.0.0.1:7070, or 127.0.0.1:0 to try it out on one machine", listen)
	}
	if advertise != "" && !isAddress(advertise) {
		return usage("--advertise %q: write HOST:PORT as others dial it, such as 10.0.0.1:7070", advertise)
	}
	ip := net.ParseIP(at)
	switch all := at == "" || ip != nil && ip.IsUnspecified(); {
	case all && advertise == "":
		return usage("--listen %s: those are all addresses of this machine: say with --advertise HOST:PORT which of them others use, "+
			"or listen at that one", listen)
	case certs == "" && (all || !isLoopback(at)):
		return usage("--listen %s: a group that others can reach wants certificates: launch certs DIR HOST… makes them; "+
			"give --certs DIR to this launch and to each agent", listen)
	}
	return nil
}

// isAddress reports whether somebody can be dialed there.
func isAddress(text string) bool {
	at, port, err := net.SplitHostPort(text)
	ip := net.ParseIP(at)
	return err == nil && at != "" && (ip == nil || !ip.IsUnspecified()) && !strings.ContainsAny(at, " /") && isPort(port)
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

func isLoopback(name string) bool {
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback()
	}
	ips, err := net.LookupIP(name)
	return err == nil && !slices.ContainsFunc(ips, func(ip net.IP) bool { return !ip.IsLoopback() })
}

// checkMeeting checks how hosts and this launch find each other.
func (h *hosts) checkMeeting() error {
	for _, addr := range h.agents {
		if !isAddress(addr) {
			return usage("--agents %q: write HOST:PORT of each agent, as its --listen", addr)
		}
	}
	switch {
	case h.tokens != "" && h.certs == "":
		return usage("--tokens %s: without --certs a token could be read on its way: give both", h.tokens)
	case len(h.etcd) > 0 && h.cluster == "":
		return usage("--etcd %s: say with --cluster NAME which launch this is: agents look for it by that name", strings.Join(h.etcd, ","))
	case len(h.etcd) == 0 && h.cluster != "":
		return usage("--cluster %s: say with --etcd where agents find it", h.cluster)
	}
	return nil
}

// alone refuses what needs hosts that join where none can.
func (h *hosts) alone(most int) error {
	switch {
	case most > 1:
		return usage("--hosts %s: say with --listen HOST:PORT where the hosts join this launch, such as --listen 10.0.0.1:7070, "+
			"and run launch agent --join 10.0.0.1:7070 on each of them", h.hosts)
	case h.perHost != 0:
		return usage("--per-host %d: say with --listen HOST:PORT where hosts join this launch; on one machine, write -n %d", h.perHost, h.perHost)
	}
	for _, given := range []struct {
		flag string
		is   bool
	}{
		{"advertise", h.advertise != ""}, {"certs", h.certs != ""}, {"tokens", h.tokens != ""}, {"lease", h.lease != host.DefaultLease},
		{"place", h.place != "pack"}, {"agents", len(h.agents) > 0}, {"etcd", len(h.etcd) > 0}, {"cluster", h.cluster != ""},
		{"self", h.self}, {"join-timeout", h.joinTimeout != defaultJoinTimeout}, {"settle", h.settle != defaultSettle},
		{"wait-hosts", h.waitHosts != defaultWaitHosts}, {"regrow", h.regrow},
	} {
		if given.is {
			return usage("--%s: it is about hosts that join this launch: say where, with --listen HOST:PORT", given.flag)
		}
	}
	return nil
}

// size is the world size, when text is what -n says: "" for nothing.
func (h *hosts) size(text string) (int, error) {
	least, most, err := h.bounds()
	if err != nil {
		return 0, err
	}
	if text == "" {
		n := most * max(1, h.perHost)
		if n > maxRanks {
			return 0, usage("--hosts %s: with --per-host %d that makes %d ranks, and there are at most %d", h.hosts, h.perHost, n, maxRanks)
		}
		return n, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 1 || n > maxRanks:
		return 0, usage("--ranks %q: of a group on many hosts give the number of ranks, or leave it out: it is then hosts × --per-host", text)
	case h.perHost > 0 && n > least*h.perHost:
		return 0, usage("--ranks %d: %s with %s each have room for %d: raise --hosts or --per-host, or leave --ranks out: it is then hosts × --per-host",
			n, count(least, "host"), count(h.perHost, "rank"), least*h.perHost)
	}
	return n, nil
}

// placesOfHost is how many ranks each host takes at the most; 0 leaves it to the agents.
func (f *flags) placesOfHost() int {
	if f.fixed {
		return f.hosts.perHost
	}
	return max(1, f.hosts.perHost)
}

// fit has a group on many hosts wait for room, and where MAX is more than MIN have as many ranks as there is room for.
func (f *flags) fit(s *supervisor.Spec) {
	if !f.away {
		return
	}
	s.Elastic = supervisor.Elastic{Wait: max(f.hosts.waitHosts, time.Nanosecond)}
	if least, most, _ := f.hosts.bounds(); least < most && !f.fixed {
		s.Elastic.Fit, s.Elastic.Regrow, s.Elastic.Settle = true, f.hosts.regrow, max(f.hosts.settle, time.Nanosecond)
		s.MinRanks, s.MaxRanks = least*f.placesOfHost(), len(s.Ranks)
	}
}

// hostBound refuses flags that are about this machine, for a group that does not run on it.
func (f *flags) hostBound() error {
	switch {
	case !f.away:
	case f.hosts.regrow && f.fixed:
		return usage("--regrow: the number of ranks is fixed: leave --ranks out, and it is hosts × --per-host")
	case f.bind != "none" && f.bind != "":
		return usage("--bind %s: it is about the processors of this machine, and the ranks run on others: bind them in the command, "+
			"by LOCAL_RANK", f.bind)
	case f.stdin != "none" && f.stdin != "":
		if _, err := strconv.Atoi(f.stdin); err == nil {
			return usage("--stdin %s: no rank of another machine reads what this launch would: give a file that each host has", f.stdin)
		}
	case len(f.without) > 0 && !f.hosts.self:
		return usage("--without %s: each host protects its own ranks: give it to launch agent", strings.Join(f.without, ","))
	}
	return nil
}

// An elsewhere is the launcher of a group on many hosts before any has joined: nothing can be said of commands.
type elsewhere struct{}

var errNoHosts = fmt.Errorf("%w: no host has joined", process.ErrNoRoom)

func (elsewhere) Check(process.Command) error { return nil }
func (elsewhere) Launch(process.ID, process.Command, process.Observer) (process.Process, error) {
	return nil, errNoHosts
}
func (elsewhere) Guard(func(string)) func()                           { return func() {} }
func (elsewhere) Containment() string                                 { return "that of each host" }
func (elsewhere) Join(time.Duration, func(process.Room)) process.Team { return elsewhere{} }
func (elsewhere) Place(int, []string) (process.Plan, error)           { return process.Plan{}, errNoHosts }
func (elsewhere) Patience() time.Duration                             { return 0 }
func (elsewhere) Leave()                                              {}

// checker is what a command is checked by before anything has been opened.
func (f *flags) checker() process.Launcher {
	if f.away {
		return elsewhere{}
	}
	l, err := f.launcher()
	if err != nil { // which is told of when it is to launch
		return process.Local()
	}
	return l
}

// placed are the variables that depend on where a rank runs.
var placed = []string{
	"LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK", "GROUP_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS",
}

// portable is what of a rank's environment is known before it has a place.
func portable(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(placed, name)
	})
}

var _ process.Placer = elsewhere{}

// hosts are what a group file and the command line say of hosts, as far as the ranks depend on it. What is wrong with that is told
// of with the flags of the whole group.
func (a *assembly) hosts() (h hosts) {
	set := h.flags()
	for _, s := range append(slices.Clip(a.settings), a.given...) {
		if flag := set.Lookup(s.name); flag != nil {
			_ = set.Set(s.name, s.text)
		}
	}
	return h
}
