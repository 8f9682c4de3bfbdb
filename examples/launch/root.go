package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/go-muster/muster/actors/host"
	"github.com/go-muster/muster/actors/host/certs"
	"github.com/go-muster/muster/actors/host/discovery"
	"github.com/go-muster/muster/actors/host/discovery/etcd"
	"github.com/go-muster/muster/actors/process"
)

// A root is this launch as its hosts see it.
type root struct {
	*host.Pool
	flags  *flags
	tells  *teller
	leave  context.CancelFunc // of our own agent, and of what is told of us elsewhere
	inside sync.WaitGroup
}

// openRoot listens for hosts.
func openRoot(f *flags, say func(format string, args ...any)) (*root, error) {
	_, most, err := f.hosts.bounds()
	if err != nil {
		return nil, err
	}
	secure, admit, err := f.hosts.trust()
	if err != nil {
		return nil, err
	}
	tells := newTeller(say)
	meeting, err := store(f.hosts.etcd, f.hosts.cluster, tells.reach)
	if err != nil {
		tells.end()
		return nil, err
	}
	pool, err := host.Open(host.Config{
		Listen: f.hosts.listen, Advertise: f.hosts.advertise, PerHost: f.placesOfHost(), MaxHosts: most, Spread: f.hosts.place == "spread",
		Lease: f.hosts.lease, Agents: f.hosts.agents, TLS: secure, Admit: admit, Logger: slog.New(tells),
	})
	if err != nil {
		tells.end()
		return nil, f.hosts.openError(err)
	}
	ctx, leave := context.WithCancel(context.Background())
	r := &root{Pool: pool, flags: f, tells: tells, leave: leave}
	if f.hosts.self {
		r.joinSelf(ctx, secure)
	}
	if meeting != nil {
		r.register(ctx, meeting)
	}
	return r, nil
}

// openError says what is wrong with where we listen.
func (h *hosts) openError(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		_, port, _ := net.SplitHostPort(h.listen)
		return usage("--listen %s: %s listens there: end that one, or choose another port", h.listen, portHolderOr(port, "another program"))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return usage("--listen %s: it is no address of this host", h.listen)
	}
	return usage("--listen %s: %w", h.listen, err)
}

func portHolderOr(port, otherwise string) string {
	if text := portHolder(port); text != "" {
		return text
	}
	return otherwise
}

// trust is whom this launch lets in: everybody on the loopback interface, or who has a certificate, and a token where there are some.
func (h *hosts) trust() (*tls.Config, func(agent, token string) error, error) {
	if h.certs == "" {
		return nil, nil, nil
	}
	secure, err := certs.Load(h.certs)
	if err != nil {
		return nil, nil, usage("--certs %s: %w", h.certs, err)
	}
	if h.tokens == "" {
		return secure, nil, nil
	}
	tokens, err := certs.OpenTokens(h.tokens)
	if err != nil {
		return nil, nil, usage("--tokens %s: %w", h.tokens, err)
	}
	return secure, func(agent, token string) error {
		if token == "" {
			return errors.New("it has no join token: give it one with LAUNCH_TOKEN; launch certs makes them (--tokens)")
		}
		return tokens.Admit(token, agent)
	}, nil
}

// store is the etcd where agents and launches meet, nil for none.
func store(endpoints []string, cluster string, report func(error)) (discovery.Provider, error) {
	if len(endpoints) == 0 {
		return nil, nil
	}
	p, err := etcd.New(etcd.Config{Endpoints: endpoints, Cluster: cluster, Report: report})
	if err != nil {
		return nil, usage("--etcd %s: %w", strings.Join(endpoints, ","), err)
	}
	return p, nil
}

// register makes this launch known to agents that look for it.
func (r *root) register(ctx context.Context, at discovery.Provider) {
	r.inside.Go(func() {
		me := discovery.Member{Role: discovery.Root, Name: r.flags.hosts.cluster, Addr: r.Addr(), ID: rand.Text()}
		if err := at.Register(ctx, me); err != nil {
			r.tells.say("--etcd: agents do not find this launch: %v", err)
		}
	})
}

// joinSelf makes this machine one of the hosts, by an agent in this program.
func (r *root) joinSelf(ctx context.Context, secure *tls.Config) {
	launcher, err := r.flags.launcher()
	if err != nil {
		launcher = process.Local() // it was told of before
	}
	r.inside.Go(func() {
		err := host.Serve(ctx, host.AgentConfig{Join: r.Addr(), Slots: r.flags.hosts.perHost, Launcher: launcher, TLS: secure,
			Muster: musterVersion()})
		if err != nil {
			r.tells.say("--self: this machine is no host: %v", err)
		}
	})
}

// gather waits for hosts, until there are enough, or ctx ends. It tells what is done to join, and what is missing at the end.
func (r *root) gather(ctx context.Context) error {
	least, most, err := r.flags.hosts.bounds()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.flags.hosts.joinTimeout, errLate)
	defer cancel()
	r.tells.say("waiting for %s: launch agent --join %s%s", hostsWanted(least, most), r.Addr(), r.flags.hosts.joinFlags())
	_, err = r.Await(ctx, least, most, r.flags.hosts.settle)
	if errors.Is(err, errLate) {
		return &lateError{fmt.Errorf("--join-timeout %v: %s", r.flags.hosts.joinTimeout, r.missing(least))}
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return fmt.Errorf("%w: hosts are waited for no longer", cause)
	}
	return err
}

var errLate = errors.New("not enough hosts have joined in time")

// A lateError is of a group whose hosts have not come.
type lateError struct{ error }

func hostsWanted(least, most int) string {
	if least == most {
		return count(least, "host")
	}
	return fmt.Sprintf("%d to %d hosts", least, most)
}

// joinFlags are what an agent has to be given besides.
func (h *hosts) joinFlags() string {
	text := ""
	if h.certs != "" {
		text += " --certs DIR"
	}
	if h.tokens != "" {
		text += " --token TOKEN"
	}
	return text
}

// missing says who has not come.
func (r *root) missing(least int) string {
	var names []string
	for _, h := range r.Hosts() {
		if !h.Leaving {
			names = append(names, h.Name)
		}
	}
	here := "none has joined"
	if len(names) > 0 {
		here = "joined: " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s of %d missing: %s%s; on each host run launch agent --join %s%s", count(least-len(names), "host"), least, here,
		r.tells.strayed(), r.Addr(), r.flags.hosts.joinFlags())
}

// close ends what hosts still run, and our own agent.
func (r *root) close() {
	r.tells.hush()
	r.Close()
	r.leave()
	r.inside.Wait()
	r.tells.end()
}

// describeHost says what a host that has joined has.
func describeHost(h host.Host) string {
	parts := []string{count(h.Places, "place"), count(h.Capacity.CPUs, "CPU")}
	if h.Capacity.Memory > 0 {
		parts = append(parts, fmt.Sprintf("%.0f GiB", float64(h.Capacity.Memory)/(1<<30)))
	}
	if h.Capacity.GPUs > 0 {
		parts = append(parts, count(h.Capacity.GPUs, "GPU"))
	}
	parts = append(parts, h.Containment)
	if system := runtime.GOOS + "/" + runtime.GOARCH; h.System != system {
		parts = append(parts, h.System)
	}
	if ours := musterVersion(); h.Version != ours {
		parts = append(parts, fmt.Sprintf("Muster %s, and here it is %s", h.Version, ours))
	}
	return strings.Join(parts, ", ")
}

// gather opens a root and waits for its hosts.
func (f *flags) gather(sinks *sinks, signals *signals) (*root, error) {
	r, err := openRoot(f, sinks.show.say)
	if err != nil {
		return nil, err
	}
	ctx, done := signals.during(context.Background())
	defer done()
	if err := r.gather(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}
