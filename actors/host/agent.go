package host

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/host/internal/engine"
	"github.com/go-muster/muster/actors/process"
)

// AgentConfig says how a host meets its root. The zero value of each field but Join means the obvious.
type AgentConfig struct {
	// Join is the host:port of the root. Empty, the agent waits to be invited: see Config.Agents.
	Join string
	// Roots tells of the root's address whenever that is known anew, in place of Join: see package discovery. It may be nil.
	Roots <-chan string
	// Listen is the host:port at which the root reaches the agent. Empty means any port of the address from which Join is reached.
	Listen string
	// Advertise is the host:port that the root is told, where it is another than Listen.
	Advertise string
	// TLS is for both directions: see package certs. It must be set unless Listen is on the loopback interface.
	TLS *tls.Config
	// Token is a join token, if the root wants one.
	Token string
	// Name names the host, among all hosts of the root. Empty means the name in the certificate of TLS, which a root with TLS wants
	// it to be, or without TLS the system's host name.
	Name string
	// Reach is the address, without a port, at which ranks of other hosts reach ranks of this one: MASTER_ADDR. Empty means that of
	// Advertise, or Listen.
	Reach string
	// Slots is how many ranks the host takes at the most; 0 means as many as the root wants, and one for each processor where that
	// does not say.
	Slots int
	// Stay lets the agent look for a root again when its root was done; otherwise Serve returns then.
	Stay bool
	// Patience is how long the agent looks for a root, at the start and when it has lost its own; 0 means for ever.
	Patience time.Duration
	// Grace is how long ranks have at the most from the polite to the final signal when the agent leaves because Serve's context has
	// ended; 0 means as long as their groups give them (supervisor.Spec.Grace).
	Grace time.Duration
	// Kill ends that grace when it is closed: the ranks are killed. It may be nil.
	Kill <-chan struct{}
	// Launcher starts the processes; nil means process.Local().
	Launcher process.Launcher
	// Muster is the version that the root is told; empty means "unknown".
	Muster string
	// Logger tells of roots that are joined and lost. Nil is silent.
	Logger *slog.Logger
}

var (
	// ErrRefused is the condition of an agent and a root of which one does not want the other: the error has the root's reason, or
	// says whose certificate is not trusted.
	ErrRefused = errors.New("host: the root refuses this host")
	// ErrNoRoot is the condition of an agent that has found no root in its Patience: the error says what was in the way.
	ErrNoRoot = errors.New("host: no root was found")
)

// Serve is an agent: it joins a root, owns the processes that the root wants, and kills them when the root does not renew its
// lease. When ctx ends it leaves: it tells the root, stops its ranks as a supervisor would, politely and after their grace with
// SIGKILL, and waits for them, but for no root that does not answer. It returns nil then, and when the root was done. Otherwise it
// returns an error that wraps [ErrConfig], [ErrRefused] or [ErrNoRoot], or that of listening. When it returns, nothing of what it
// started is left.
func Serve(ctx context.Context, c AgentConfig) error {
	if err := c.complete(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	system := newSystem()
	e, err := engine.Start(system, engine.Config{
		Listen: c.Listen, Advertise: c.Advertise, TLS: c.TLS, Open: []string{agentName}, Logger: orSilent(c.Logger),
	})
	if err != nil {
		system.Shutdown()
		return fmt.Errorf("host: %w", err)
	}
	defer system.Shutdown()
	defer e.Stop()
	host, _, _ := net.SplitHostPort(e.Address())
	c.Reach = cmp.Or(c.Reach, host)
	a := newAgent(system, c, e.Address())
	a.scout = newScout(c.TLS)
	if err := a.open(agentName); err != nil {
		return err
	}
	return a.serve(ctx)
}

// complete fills in what is obvious.
func (c *AgentConfig) complete() (err error) {
	if c.Slots < 0 || c.Patience < 0 || c.Grace < 0 {
		return fmt.Errorf("the Slots are %d, the Patience %v and the Grace %v: use 0 for the default", c.Slots, c.Patience, c.Grace)
	}
	if c.Join != "" {
		if _, _, err := net.SplitHostPort(c.Join); err != nil {
			return fmt.Errorf("the address to Join is %q: write host:port of the root", c.Join)
		}
	}
	if c.Listen == "" {
		if c.Listen, err = towards(c.Join); err != nil {
			return err
		}
	}
	if c.Name == "" {
		c.Name = certified(c.TLS)
	}
	if c.Name == "" {
		if c.Name, err = os.Hostname(); err != nil {
			return fmt.Errorf("this host has no name (%w): set Name", err)
		}
	}
	c.Muster = cmp.Or(c.Muster, "unknown")
	if c.Launcher == nil {
		c.Launcher = process.Local()
	}
	return nil
}

// certified returns the name of the certificate that we show, "" where there is none.
func certified(c *tls.Config) string {
	if c == nil {
		return ""
	}
	var own *tls.Certificate
	switch {
	case c.GetClientCertificate != nil:
		own, _ = c.GetClientCertificate(&tls.CertificateRequestInfo{})
	case len(c.Certificates) > 0:
		own = &c.Certificates[0]
	}
	if own == nil || len(own.Certificate) == 0 {
		return ""
	}
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		return ""
	}
	return leaf.Subject.CommonName
}

// towards returns an address of this host from which another one is reached, with any port. Nothing is sent.
func towards(root string) (string, error) {
	if root == "" {
		return "", errors.New("there is no Join that would tell on which network to Listen: write host:port")
	}
	conn, err := net.Dial("udp", root)
	if err != nil {
		return "", fmt.Errorf("there is no way to the root: %w", err)
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, "0"), nil
}

// newAgent returns an agent whose root reaches it in a system, at an address.
func newAgent(system *actor.ActorSystem, c AgentConfig, addr string) *agent {
	return &agent{
		AgentConfig: c, system: system, addr: addr, id: newName(), speaks: spoken, root: c.Join, began: time.Now(),
		tenants: map[uint64]*tenant{}, arguments: map[uint64][]byte{}, ports: map[int]*process.Port{}, over: make(chan struct{}),
	}
}

// open spawns the agent's actor.
func (a *agent) open(name string) error {
	a.actor, a.self = name, actor.NewPID(a.system.Address(), name)
	if _, err := a.system.Root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return a }), name); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	return nil
}

// serve waits for the end.
func (a *agent) serve(ctx context.Context) error {
	roots := a.Roots
	for {
		select {
		case root, open := <-roots:
			if !open {
				roots = nil // nobody looks for one any more
			} else {
				a.tell(&found{root})
			}
			continue
		case <-ctx.Done():
			a.tell(&depart{})
			a.awaitRanks()
		case <-a.over:
		}
		_ = a.system.Root.StopFuture(a.self).Wait()
		return a.err
	}
}

// awaitRanks waits until an agent that was told to leave has left.
func (a *agent) awaitRanks() {
	select {
	case <-a.Kill:
		a.tell(&hasten{})
		<-a.over
	case <-a.over:
	}
}

func (a *agent) tell(m any) { a.system.Root.Send(a.self, m) }

func (a *agent) log(text string, args ...any) {
	if a.Logger != nil {
		a.Logger.Info(text, args...)
	}
}
