package host

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
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

// A Pool is the root's side of all its hosts, and the process.Placer of the groups that run on them. Its methods may be called
// from any goroutine.
type Pool struct {
	Config
	lease  time.Duration
	id     string
	speaks span
	system *actor.ActorSystem
	engine *engine.Engine // nil where all agents live in our own system
	door   *actor.PID
	frames atomic.Uint64      // sent and received
	stop   context.CancelFunc // of invitations
	inside sync.WaitGroup

	mu       sync.Mutex
	links    []*link // in the order in which they joined
	sessions map[uint64]*link
	agents   map[string]*link // by what an agent calls itself: those, too, that have not entered yet
	teams    []*team
	numbers  uint64
	ports    map[*link][]int // that agents hold for us
	reports  map[int]func(string)
	serial   int
	changed  chan struct{} // closed and replaced when a host joins or is lost
	moved    time.Time     // when a host joined or was lost last
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
		Listen: c.Listen, Advertise: c.Advertise, TLS: c.TLS, Open: []string{doorName}, Logger: orSilent(c.Logger),
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
	e.TurnedAway(p.turnedAway)
	p.invite()
	return p, nil
}

// newPool opens a pool whose agents reach it in a system.
func newPool(system *actor.ActorSystem, c Config) (*Pool, error) {
	p := &Pool{
		Config: c, lease: cmp.Or(c.Lease, DefaultLease), id: newName(), speaks: spoken, system: system, sessions: map[uint64]*link{},
		agents: map[string]*link{},
		ports:  map[*link][]int{}, reports: map[int]func(string){}, changed: make(chan struct{}), stop: func() {},
	}
	props := actor.PropsFromProducer(func() actor.Actor { return &door{p} })
	pid, err := system.Root.SpawnNamed(props, doorName)
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	p.door = pid
	return p, nil
}

// newSystem is an actor system of its own: a remote has to be there before the first actor. Nothing that peers say gets into a log
// through its dead letters.
func newSystem() *actor.ActorSystem {
	silent := func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
	return actor.NewActorSystem(actor.WithLoggerFactory(silent), actor.WithDeadLetterThrottleCount(0))
}

func orSilent(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// turnedAway notes whose connection was refused, for Await.
func (p *Pool) turnedAway(host string, why *engine.Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = fmt.Sprintf("%s was turned away: %v", host, why)
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

// A Host is an agent that has joined, and not left.
type Host struct {
	Name        string   `json:"name"`
	Addr        string   `json:"addr"`  // of its agent
	Reach       string   `json:"reach"` // where its ranks are reached
	Capacity    Capacity `json:"capacity"`
	Places      int      `json:"places"` // ranks that it takes from this root
	Containment string   `json:"containment"`
	Version     string   `json:"version"` // of its Muster
	System      string   `json:"system"`  // "linux/amd64"
	Leaving     bool     `json:"leaving"` // its agent was told to, and waits for its ranks
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
		l.joined.System, l.leaves,
	}
}

// Await waits until that many hosts have joined, and then, for as long as settle, for others to come, up to most (0: it does
// not wait for others). It returns how many there are. Its error is the context's cause, with what is missing and who was
// refused, or that the pool was closed.
func (p *Pool) Await(ctx context.Context, least, most int, settle time.Duration) (int, error) {
	var late <-chan time.Time
	for {
		p.mu.Lock()
		n, changed, refused, closed := len(p.staying()), p.changed, p.refused, p.closed
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

// staying are the hosts that count: those that do not leave, and can run what runs. Called with mu held.
func (p *Pool) staying() (all []*link) {
	for _, l := range p.links {
		if !l.leaves && !l.unfit {
			all = append(all, l)
		}
	}
	return all
}

// slots is how many ranks a host takes. Called with mu held.
func (p *Pool) slots(l *link) int {
	if l.leaves || l.unfit {
		return 0
	}
	if p.PerHost > 0 {
		if l.joined.Capacity.Bound {
			return min(p.PerHost, l.joined.Capacity.Slots)
		}
		return p.PerHost
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

// enter makes a host one of ours, unless there is another one of that name.
func (p *Pool) enter(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || l.leaves || p.named(l.joined.Name) != nil {
		return false
	}
	p.links = append(p.links, l)
	p.ports[l] = l.joined.Ports
	if commands := p.running(); len(commands) > 0 {
		l.unfit = true
		go p.examine(l, commands) // ends with the answers, or the link
	} else {
		p.joined(l)
	}
	return true
}

// departs takes no more of a host that leaves, which is heard of, and keeps its ranks, until they have ended.
func (p *Pool) departs(l *link, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.leaves {
		return
	}
	if l.leaves = true; slices.Contains(p.links, l) {
		p.change(fmt.Sprintf("host %s leaves: %s", l.joined.Name, why))
	}
}

// lost takes a host out, before its ranks are told of.
func (p *Pool) lost(l *link, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, l.session.id)
	if p.agents[l.joined.Agent] == l {
		delete(p.agents, l.joined.Agent)
	}
	if i := slices.Index(p.links, l); i >= 0 {
		p.links = slices.Delete(p.links, i, i+1)
		delete(p.ports, l)
		becomes := "is lost"
		if p.closed { // by whom it was told to leave
			becomes = "has left"
		}
		p.change(fmt.Sprintf("host %s %s: %s", l.joined.Name, becomes, why))
	}
}

// ring wakes those that wait for hosts. Called with mu held.
func (p *Pool) ring() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// change tells everybody of hosts that came or went. Called with mu held.
func (p *Pool) change(why string, args ...any) {
	p.log(why, args...)
	p.moved = time.Now()
	p.ring()
	for _, t := range p.teams {
		t.tell(why)
	}
}

// Launch starts a process on the host that the command names: see [process.Team], which groups use.
func (p *Pool) Launch(id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	return (&team{pool: p, lives: map[int]*life{}}).Launch(id, c, o)
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
	p.tellAll(text)
}

// tellAll tells the groups what is noticed, or where there is none the log. Called with mu held.
func (p *Pool) tellAll(text string) {
	if len(p.reports) == 0 {
		p.log(text)
	}
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
	p.ring()
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
