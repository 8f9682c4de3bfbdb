package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/process"
)

// An agent is the actor of one host. It is looking for a root, has one, or is ending what it ran for one: it looks for another
// only when nothing of that is alive.
type agent struct {
	AgentConfig
	system *actor.ActorSystem
	self   *actor.PID
	addr   string // of its engine
	actor  string // its name there
	id     string
	speaks span
	root   string // the address; "" while none is known
	began  time.Time
	over   chan struct{} // closed when it has done all it will do
	err    error         // why; read when over is closed

	state      state
	life       int       // of the Join that was sent last
	nonce      uint64    // of it
	asked      time.Time // when
	tries      int
	session    *session // nil without a root
	door       *actor.PID
	tenure     *tenure
	timer      *time.Timer
	unguard    func()
	why        string    // it is ending
	leaves     bool      // it was told to: it looks for no root any more
	farewell   *farewell // while it does
	done       bool      // its root is
	deaf       bool
	tenants    map[uint64]*tenant
	arguments  map[uint64][]byte // that came before their launches
	spare      []*process.Port
	ports      map[int]*process.Port // that somebody meets at
	heartbeats heartbeats
	scout      *scout // nil without a network
	answered   bool   // the last Join: with no
	hindrance  string // what does, "" when that is not known
}

// A state is what an agent is about.
type state int

const (
	looking state = iota
	serving
	draining // it was told to leave: what it ran has its grace
	ending   // what it ran
	parting  // nothing of that is alive, and the root is told: then it looks again, or leaves
	left
)

// Messages to the agent, besides those of its root and its tenants.
type (
	found  struct{ root string }
	depart struct{}
	hasten struct{}           // it has departed, and its ranks have no grace any more
	pulse  struct{}           // its timer
	deafen struct{ off bool } // of tests: as if the network were cut
)

// Receive handles one message.
func (a *agent) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.unguard = a.Launcher.Guard(func(text string) { a.tell(&notice{text}) })
		a.refill()
		a.timer = time.AfterFunc(0, func() { a.tell(&pulse{}) })
	case *actor.Stopping:
		a.timer.Stop()
		a.releasePorts()
		a.unguard()
		if a.scout != nil {
			a.scout.end()
		}
	case *wrapperspb.BytesValue:
		if !a.deaf {
			a.take(m.GetValue())
		}
	case *deafen:
		a.deaf = !m.off
	case *pulse:
		a.pulse(time.Now())
	case *found:
		a.find(m.root)
	case *verdict:
		a.judge(m)
	case *depart:
		a.leave(time.Now())
	case *hasten:
		a.conclude(stoppedAgent)
	case *notice:
		a.say(control, codeNotice, m)
	default:
		a.tenantSays(m)
	}
	a.settle()
	a.flush()
}

// say sends the root something, if there is one. Of what is killed because the agent leaves its root, that it leaves is all that is
// said.
func (a *agent) say(to int, c code, m any) {
	if a.session != nil && (a.serves() || c == codeLeaving) {
		a.session.send(to, encode(c, m))
	}
}

func (a *agent) flush() {
	if a.session == nil {
		return
	}
	for _, f := range a.session.frames() {
		a.send(a.door, f)
	}
}

func (a *agent) send(to *actor.PID, f []byte) {
	if a.deaf {
		return
	}
	a.system.Root.RequestWithCustomSender(to, bytesValue(f), a.self)
}

// pulse does what is to be done from time to time, and says when the next time is.
func (a *agent) pulse(now time.Time) {
	switch a.state {
	case looking:
		a.look(now)
	case serving:
		a.renew(now)
	case draining:
		a.renew(now)
		a.press(now)
	case parting:
		a.part()
	}
}

// look asks a root to be let in. Each time is another life: an answer to one that is over binds nobody.
func (a *agent) look(now time.Time) {
	if a.Patience > 0 && now.Sub(a.began) > a.Patience {
		a.finish(fmt.Errorf("%w in %v (%s)", ErrNoRoot, a.Patience, a.sought()))
		return
	}
	if a.root != "" {
		a.life++
		a.nonce = newSessionID()
		a.asked = now
		a.send(actor.NewPID(a.root, doorName), outside(codeJoin, a.join()))
		a.explore()
	}
	a.tries++
	wait := min(joinEvery<<min(a.tries, 4), 16*joinEvery)
	next := wait/2 + rand.N(wait)
	if a.Patience > 0 {
		next = min(next, a.began.Add(a.Patience+1).Sub(now))
	}
	a.timer.Reset(next)
}

const joinEvery = 250 * time.Millisecond

func (a *agent) join() *join {
	j := &join{
		Min: a.speaks.min, Max: a.speaks.max, Agent: a.id, Life: a.life, Nonce: a.nonce, Name: a.Name, Addr: a.addr, Actor: a.actor, Reach: a.Reach,
		Token: a.Token, Capacity: capacity(a.Slots), Containment: a.Launcher.Containment(), Muster: a.Muster,
		System: runtime.GOOS + "/" + runtime.GOARCH,
	}
	for _, p := range a.spare {
		j.Ports = append(j.Ports, p.Number())
	}
	return j
}

// take handles a frame of the root's.
func (a *agent) take(b []byte) {
	h, body, err := parseFrame(b)
	if err != nil {
		a.log("a frame was dropped", "error", err)
		return
	}
	var payload []byte
	whole := h.seq == 0 && len(body) > 0
	switch {
	case h.session == 0:
		payload = body
	case a.session == nil || h.session != a.session.id:
		return // of the past
	default:
		if payload, _, err = a.session.receive(h, body); err != nil {
			a.log("a frame was dropped", "error", err)
			return
		}
		if whole {
			payload = body
		}
	}
	if payload == nil {
		return
	}
	m, err := decode(payload)
	if err != nil { // perhaps of a newer version
		a.log("a message was dropped", "error", err)
		return
	}
	a.handle(m)
}

func (a *agent) handle(m any) {
	switch m := m.(type) {
	case *welcome:
		a.enter(m)
	case *refused:
		a.refused(m)
	case *invite:
		if a.state == looking && a.Join == "" {
			a.find(m.Addr)
		}
	case *tock:
		if a.session != nil {
			a.session.tick()
			if a.tenure.granted(m.N) {
				a.extend()
			}
		}
	case *gone:
		a.conclude("the root knows it no more")
	case *closing:
		a.done = true
		a.conclude(m.Why)
	default:
		a.obey(m)
	}
}

func (a *agent) find(root string) {
	if a.root = root; a.state == looking {
		a.tries, a.hindrance = 0, ""
		a.timer.Reset(0)
	}
}

func (a *agent) refused(m *refused) {
	if a.state != looking || m.Nonce != a.nonce {
		return
	}
	a.answered = true
	a.hinder("it refuses this host: " + m.Reason)
	if m.Final {
		a.finish(fmt.Errorf("%w: %s", ErrRefused, m.Reason))
	}
}

// enter begins to serve. The lease counts from when this was asked for.
func (a *agent) enter(m *welcome) {
	if a.state != looking || m.Nonce != a.nonce {
		return
	}
	if !a.speaks.has(m.Version) || m.Lease < MinLease || m.Lease > MaxLease { // it takes no notice of what was said
		a.answered = true
		a.hinder(fmt.Sprintf("it wants to speak version %d, with a lease of %v: this host speaks %v", m.Version, m.Lease, a.speaks))
		return
	}
	a.state, a.tries, a.done, a.hindrance = serving, 0, false, ""
	a.session, a.tenure = newSession(m.Session), newTenure(m.Lease, a.asked)
	a.door = actor.NewPID(a.root, doorName)
	a.log("joined", "root", a.root, "lease", m.Lease)
	a.extend()
	a.timer.Reset(0)
}

// renew asks for more time, or ends what runs on time that is over.
func (a *agent) renew(now time.Time) {
	if a.tenure.over(now) {
		a.conclude(fmt.Sprintf("the root was not heard of for %v", a.tenure.lease))
		return
	}
	a.session.aside(encode(codeTick, &tick{a.tenure.ask(now)}))
	a.timer.Reset(min(interval(a.tenure.lease), a.tenure.until.Sub(now)))
}

// extend tells the watchdog how long the ranks may live: it acts when this program is stopped, or otherwise late.
func (a *agent) extend() {
	if l, ok := a.Launcher.(process.Leaser); ok {
		l.Lease(a.tenure.until.Add(watchdogFence(a.tenure.lease)))
	}
}

// conclude ends what was run for a root. One that is still there is told when it has ended.
func (a *agent) conclude(why string) {
	if a.serves() {
		if len(a.tenants) > 0 {
			a.log("the root is left, and its ranks are killed", "ranks", len(a.tenants), "reason", why)
		} else {
			a.log("the root is left", "reason", why)
		}
		a.state = ending
		for _, t := range a.tenants {
			t.end()
		}
		a.why = why
	}
}

// serves holds while it owns ranks for a root that has not lost it.
func (a *agent) serves() bool { return a.state == serving || a.state == draining }

// leave ends the agent: at once where it has no root, and otherwise when nothing of its ranks is alive.
func (a *agent) leave(now time.Time) {
	a.leaves = true
	switch a.state {
	case looking:
		a.finish(nil)
	case serving:
		a.drain(now)
	}
}

// stoppedAgent is why an agent leaves that was told to.
const stoppedAgent = "its agent was stopped"

// settle tells the root, if that is still there, that nothing is alive any more.
func (a *agent) settle() {
	switch {
	case (a.state == ending || a.state == draining) && len(a.tenants) == 0:
		if l, ok := a.Launcher.(process.Leaser); ok {
			l.Lease(time.Time{})
		}
		a.say(control, codeLeaving, &leaving{a.why})
		a.state = parting
		a.timer.Reset(min(interval(a.tenure.lease), partTime))
	case a.state == parting && a.session.idle():
		a.part()
	}
}

// partTime bounds how long an agent waits for its root to hear that it leaves: otherwise that finds out when the lease is over.
const partTime = time.Second

// part goes on after a root (G-3: what comes back to a root, comes back with nothing).
func (a *agent) part() {
	a.session, a.tenure = nil, nil
	clear(a.arguments)
	a.releaseUsed()
	if a.leaves || a.done && !a.Stay {
		a.finish(nil)
		return
	}
	a.state, a.began, a.tries = looking, time.Now(), 0
	if a.Join == "" && a.Roots == nil {
		a.root = "" // it is invited again
	}
	a.timer.Reset(0)
}

func (a *agent) finish(err error) {
	if a.state == left {
		return
	}
	a.state, a.err = left, err
	a.timer.Stop()
	close(a.over)
}

// refill holds ports for whoever will meet here.
func (a *agent) refill() {
	for len(a.spare) < sparePorts {
		p, err := process.HoldPort()
		if err != nil {
			a.log("no port is free", "error", err)
			return
		}
		a.spare = append(a.spare, p)
	}
}

func (a *agent) usePort(number int) {
	i := slices.IndexFunc(a.spare, func(p *process.Port) bool { return p.Number() == number })
	if i < 0 {
		return
	}
	a.ports[number] = a.spare[i]
	a.spare = slices.Delete(a.spare, i, i+1)
	a.refill()
	a.say(control, codePort, &port{a.spare[len(a.spare)-1].Number()})
}

func (a *agent) freePort(number int) {
	a.ports[number].Release()
	delete(a.ports, number)
}

func (a *agent) releaseUsed() {
	for number := range a.ports {
		a.freePort(number)
	}
}

func (a *agent) releasePorts() {
	a.releaseUsed()
	for _, p := range a.spare {
		p.Release()
	}
}

var errEnded = errors.New("host: the session has ended")
