package host

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/host/internal/engine"
	"github.com/go-muster/muster/actors/process"
)

// Config says how a root meets its hosts. Listen is the one field that must be set.
type Config struct {
	// Listen is the host:port at which agents reach the root; port 0 takes any.
	Listen string
	// Advertise is the host:port that agents are told, where it is another: behind a wildcard address or in a container.
	Advertise string
	// TLS is for both directions: see package certs. It must be set unless Listen is on the loopback interface.
	TLS *tls.Config
	// Admit decides about the join token of a host, by its name, such as certs.Tokens does; nil lets everybody in whom TLS has let
	// in. With TLS the name is that of the host's certificate. Its error is what the agent is told.
	Admit func(name, token string) error
	// PerHost is how many ranks a host takes at the most; 0 leaves it to the agents' slots.
	PerHost int
	// MaxHosts is how many hosts a group uses at the most: those beyond are spares. 0 means no bound.
	MaxHosts int
	// Spread puts ranks evenly on all hosts; otherwise each host is filled before the next.
	Spread bool
	// Lease is how long an agent may let its ranks live without word from the root, from 500 ms to 10 min; 0 means 10 s. A host
	// that is not heard of is lost after a lease and a fence, which is a fourth of that, but 1 to 5 seconds.
	Lease time.Duration
	// Agents are addresses, host:port, of agents that wait to be invited.
	Agents []string
	// Logger tells of hosts that come and go, and of what is dropped. Nil is silent.
	Logger *slog.Logger
}

// ErrConfig is the condition of a Config, or an AgentConfig, that makes no sense.
var ErrConfig = errors.New("host: bad configuration")

func (c *Config) check() error {
	var errs []error
	if c.Listen == "" {
		errs = append(errs, errors.New("there is no address to Listen at: write host:port, such as 127.0.0.1:7070"))
	}
	if c.PerHost < 0 || c.MaxHosts < 0 {
		errs = append(errs, fmt.Errorf("the bounds PerHost and MaxHosts are %d and %d: use 0 for no bound", c.PerHost, c.MaxHosts))
	}
	if c.Lease != 0 && (c.Lease < MinLease || c.Lease > MaxLease) {
		errs = append(errs, fmt.Errorf("the Lease is %v: it may be from %v to %v", c.Lease, MinLease, MaxLease))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// A Pool is the root's side of all its hosts, and the process.Placer of the groups that run on them. Its methods may be called
// from any goroutine.
type Pool struct {
	Config
	lease  time.Duration
	id     string
	system *actor.ActorSystem
	engine *engine.Engine // nil where all agents live in our own system
	door   *actor.PID
	frames atomic.Uint64      // sent and received
	stop   context.CancelFunc // of invitations
	inside sync.WaitGroup

	mu       sync.Mutex
	links    []*link // in the order in which they joined
	sessions map[uint64]*link
	teams    []*team
	numbers  uint64
	ports    map[*link][]int // that agents hold for us
	reports  map[int]func(string)
	serial   int
	changed  chan struct{} // closed and replaced when a host joins or is lost
	refused  string        // the last agent that was, and why
	closed   bool
}

// Open starts to listen. It returns an error that wraps [ErrConfig], and that of listening.
func Open(c Config) (*Pool, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	system := newSystem()
	e, err := engine.Start(system, engine.Config{
		Listen: c.Listen, Advertise: c.Advertise, TLS: c.TLS, Open: []string{doorName}, Logger: c.Logger,
	})
	if err != nil {
		system.Shutdown()
		return nil, fmt.Errorf("host: %w", err)
	}
	p, err := newPool(system, c)
	if err != nil {
		e.Stop()
		system.Shutdown()
		return nil, err
	}
	p.engine = e
	p.invite()
	return p, nil
}

// newPool opens a pool whose agents reach it in a system.
func newPool(system *actor.ActorSystem, c Config) (*Pool, error) {
	p := &Pool{
		Config: c, lease: cmp.Or(c.Lease, DefaultLease), id: newName(), system: system, sessions: map[uint64]*link{},
		ports: map[*link][]int{}, reports: map[int]func(string){}, changed: make(chan struct{}), stop: func() {},
	}
	props := actor.PropsFromProducer(func() actor.Actor { return &door{p} })
	pid, err := system.Root.SpawnNamed(props, doorName)
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	p.door = pid
	return p, nil
}

// newSystem is an actor system of its own: a remote has to be there before the first actor.
func newSystem() *actor.ActorSystem {
	silent := func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
	return actor.NewActorSystem(actor.WithLoggerFactory(silent))
}

func newName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func newSessionID() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		if id := binary.BigEndian.Uint64(b[:]); id != 0 {
			return id
		}
	}
}

// Addr returns the host:port that agents are to join.
func (p *Pool) Addr() string {
	if p.engine == nil {
		return p.system.Address()
	}
	return p.engine.Address()
}

// inviteEvery is how often an agent is invited until it has joined.
const inviteEvery = time.Second

func (p *Pool) invite() {
	if len(p.Agents) == 0 {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.inside.Go(func() {
		again := time.NewTicker(inviteEvery)
		defer again.Stop()
		for ctx.Err() == nil {
			for _, addr := range p.Agents {
				if !p.knows(addr) {
					p.send(actor.NewPID(addr, agentName), outside(codeInvite, &invite{p.Addr()}))
				}
			}
			select {
			case <-ctx.Done():
			case <-again.C:
			}
		}
	})
}

func (p *Pool) knows(addr string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.links, func(l *link) bool { return l.joined.Addr == addr })
}

// send sends a frame. Whoever gets it may answer to the door.
func (p *Pool) send(to *actor.PID, f []byte) {
	p.frames.Add(1)
	p.system.Root.RequestWithCustomSender(to, bytesValue(f), p.door)
}

// outside makes a frame that belongs to no session.
func outside(c code, m any) []byte { return header{}.append(nil, encode(c, m)) }

func (p *Pool) log(text string, args ...any) {
	if p.Logger != nil {
		p.Logger.Info(text, args...)
	}
}

// A Host is an agent that has joined.
type Host struct {
	Name        string   `json:"name"`
	Addr        string   `json:"addr"`  // of its agent
	Reach       string   `json:"reach"` // where its ranks are reached
	Capacity    Capacity `json:"capacity"`
	Places      int      `json:"places"` // ranks that it takes from this root
	Containment string   `json:"containment"`
	Version     string   `json:"version"` // of its Muster
	System      string   `json:"system"`  // "linux/amd64"
}

// Hosts lists the hosts that have joined, in the order in which they did.
func (p *Pool) Hosts() (all []Host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		all = append(all, p.host(l))
	}
	return all
}

func (p *Pool) host(l *link) Host {
	return Host{
		l.joined.Name, l.joined.Addr, l.joined.Reach, l.joined.Capacity, p.slots(l), l.joined.Containment, l.joined.Muster,
		l.joined.System,
	}
}

// Await waits until that many hosts have joined, and then, for as long as settle, for others to come, up to most (0: it does
// not wait for others). It returns how many there are. Its error is the context's cause, with what is missing and who was
// refused, or that the pool was closed.
func (p *Pool) Await(ctx context.Context, least, most int, settle time.Duration) (int, error) {
	var late <-chan time.Time
	for {
		p.mu.Lock()
		n, changed, refused, closed := len(p.links), p.changed, p.refused, p.closed
		p.mu.Unlock()
		switch {
		case closed:
			return n, errClosed
		case n < least:
			late = nil
		case n >= most:
			return n, nil
		case late == nil:
			timer := time.NewTimer(settle)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-changed:
		case <-late:
			return n, nil
		case <-ctx.Done():
			text := fmt.Sprintf("%d of %d hosts have joined", n, least)
			if refused != "" {
				text += "; " + refused
			}
			return n, fmt.Errorf("host: %s: %w", text, context.Cause(ctx))
		}
	}
}

// slots is how many ranks a host takes.
func (p *Pool) slots(l *link) int {
	if p.PerHost > 0 {
		return min(p.PerHost, max(l.joined.Capacity.Slots, p.PerHost))
	}
	return l.joined.Capacity.Slots
}

// busy is how many ranks of other groups a host has. Called with mu held.
func (p *Pool) busy(l *link, but *team) (n int) {
	for _, t := range p.teams {
		if t == but {
			continue
		}
		for _, place := range t.places {
			if place.Host == l.joined.Name {
				n++
			}
		}
	}
	return n
}

// named returns the host of that name, nil for none. Called with mu held.
func (p *Pool) named(name string) *link {
	for _, l := range p.links {
		if l.joined.Name == name {
			return l
		}
	}
	return nil
}

// takePort takes a port that a host holds. Called with mu held.
func (p *Pool) takePort(l *link) (number int, release func()) {
	if len(p.ports[l]) == 0 {
		return 0, func() {}
	}
	number = p.ports[l][0]
	p.ports[l] = p.ports[l][1:]
	l.order(control, codePortUse, &portUse{number})
	var once sync.Once
	return number, func() { once.Do(func() { l.order(control, codePortFree, &portFree{number}) }) }
}

func (p *Pool) offer(l *link, number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if number > 0 && number < 1<<16 && len(p.ports[l]) < sparePorts {
		p.ports[l] = append(p.ports[l], number)
	}
}

// enter makes a host one of ours.
func (p *Pool) enter(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links = append(p.links, l)
	p.sessions[l.session.id] = l
	p.ports[l] = l.joined.Ports
	p.change("host "+l.joined.Name+" has joined", slog.Any("host", p.host(l)))
}

// lost takes a host out, before its ranks are told of.
func (p *Pool) lost(l *link, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links = slices.DeleteFunc(p.links, func(other *link) bool { return other == l })
	delete(p.sessions, l.session.id)
	delete(p.ports, l)
	p.change(fmt.Sprintf("host %s is lost: %s", l.joined.Name, why))
}

// change tells everybody of hosts that came or went. Called with mu held.
func (p *Pool) change(why string, args ...any) {
	p.log(why, args...)
	close(p.changed)
	p.changed = make(chan struct{})
	for _, t := range p.teams {
		t.tell(why)
	}
}

// Check finds nothing wrong with a command: whether it can be run is for its host to say, see Preflight.
func (p *Pool) Check(process.Command) error { return nil }

// Preflight asks every host that has joined whether it can run the commands, and whether it has room for as many as it takes.
// It waits for the answers, and for hosts that do not answer until they are lost. Its error names each host that cannot, and
// wraps what that host says.
func (p *Pool) Preflight(commands []process.Command) error {
	p.mu.Lock()
	links := slices.Clone(p.links)
	p.mu.Unlock()
	answers := make([]chan error, len(links))
	different := distinct(commands)
	for i, l := range links {
		answers[i] = make(chan error, 1)
		c := check{Count: min(p.slots(l), len(commands))}
		for _, d := range different {
			if d.host == "" || d.host == l.joined.Name {
				c.Commands = append(c.Commands, d.text)
			}
		}
		l.tell(&question{c, answers[i]})
	}
	var errs []error
	for i, l := range links {
		select {
		case err := <-answers[i]:
			if err != nil {
				errs = append(errs, fmt.Errorf("host %s: %w", l.joined.Name, err))
			}
		case <-l.done:
		}
	}
	return errors.Join(errs...)
}

// An encoded command and the host that it is for, "" for any.
type encoded struct {
	host string
	text []byte
}

// distinct returns each different command once. Ranks that differ in their variables alone are all represented by the first.
func distinct(commands []process.Command) (all []encoded) {
	seen := map[string]bool{}
	for _, c := range commands {
		bare := c
		bare.Env = nil
		if key := c.Host + "\x00" + string(encodeCommand(bare)); !seen[key] {
			seen[key] = true
			all = append(all, encoded{c.Host, encodeCommand(c)})
		}
	}
	return all
}

// Launch starts a process on the host that the command names: see [process.Team], which groups use.
func (p *Pool) Launch(id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	return (&team{pool: p}).Launch(id, c, o)
}

// Containment names what protects the processes of each host: one level where all agree, "" where there is no host.
func (p *Pool) Containment() string {
	hosts := p.Hosts()
	same := !slices.ContainsFunc(hosts, func(h Host) bool { return h.Containment != hosts[0].Containment })
	if len(hosts) == 0 {
		return ""
	} else if same {
		return hosts[0].Containment
	}
	var all []string
	for _, h := range hosts {
		all = append(all, h.Name+": "+h.Containment)
	}
	return strings.Join(all, ", ")
}

// Guard passes on what happens to the protections of the hosts, each by its own agent.
func (p *Pool) Guard(report func(string)) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := p.serial
	p.serial++
	if report != nil {
		p.reports[id] = report
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.reports, id)
	}
}

func (p *Pool) notice(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log(text)
	for _, report := range p.reports {
		report(text)
	}
}

// closeTime bounds how long Close waits for agents that are to hear of it.
const closeTime = 2 * time.Second

// Close tells the agents that the root is done, which ends whatever they still run, and stops listening. Call it after the
// groups have ended.
func (p *Pool) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	links := slices.Clone(p.links)
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.stop()
	p.inside.Wait()
	late := time.NewTimer(closeTime)
	defer late.Stop()
	for _, l := range links {
		l.tell(&adieu{"the root is done"})
	}
	for _, l := range links {
		select {
		case <-l.done:
		case <-late.C:
			late.Reset(0)
		}
	}
	_ = p.system.Root.StopFuture(p.door).Wait()
	if p.engine != nil {
		p.engine.Stop()
		p.system.Shutdown()
	}
}
