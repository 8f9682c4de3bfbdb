package supervisor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor/internal/desk"
)

// The root actor is the shell of the machine: messages become events, effects become messages. It never waits, so that
// it always answers (G-9).
type root struct {
	spec     Spec
	options  options
	group    *Group
	machine  *machine
	start    time.Time
	launcher process.Launcher // of its ranks
	hosts    *hosts           // nil for this one
	port     *process.Port
	ranks    map[int]*actor.PID
	dumps    map[process.ID][]chan<- stacksOf // who waits for stacks
	base     []process.Command                // what an elastic group has the first of
	ended    []int                            // ranks whose lives are over, and that may be started again
	cast     *cast
	timers   [timers]*time.Timer

	containment string
	unguard     func() // gives the launcher's guard back
	journal     *journal
	refusal     error     // of the change that was last asked for
	paused      time.Time // since when the group is suspended; zero when it is not
	closing     bool      // the engine is stopping us: what still comes starts nothing
}

// Messages to the root actor, besides those of its rank actors.
type (
	stop struct {
		cause error
		kill  bool
	}
	signal  struct{ signal process.Signal }
	inquiry struct{ answer chan<- Report }
	fired   struct{ event evTimer }
	notice  struct{ text string } // of the launcher's guard
	answer  struct{ event evAnswer }
)

func newRoot(g *Group, s Spec, o options) *root {
	g.stream.size = len(s.Ranks)
	if speaks(s.Ranks) {
		g.mail.Store(newMailroom(g, o, len(s.Ranks)))
	}
	c := s.config()
	c.random = rand.Float64
	_, c.placed = o.launcher.(process.Placer)
	start := time.Now()
	return &root{
		spec: s, base: s.Ranks, options: o, group: g, start: start, ranks: map[int]*actor.PID{}, dumps: map[process.ID][]chan<- stacksOf{}, cast: newCast(),
		journal: newJournal(o.journal, s, start).with(o.note), machine: newMachine(c),
	}
}

// Receive handles one message. A panic is a bug of ours: see guardian.
func (r *root) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		r.join(ctx)
		r.guard(ctx)
		r.startPorter(ctx)
		r.begin(ctx)
	case *actor.Stopping:
		r.closing = true
	case *actor.Stopped:
		r.stopped()
	case *inquiry:
		m.answer <- r.report()
	case *change:
		r.change(ctx, m)
	case *pause:
		r.pause(ctx, m)
	case *unpause:
		r.unpause(ctx)
		close(m.answer)
	case *addressRequest:
		r.askAddress(ctx, m)
	case *dumpRequest:
		r.dump(ctx, m)
	case *mailRead:
		ctx.Poison(ctx.Self())
	default:
		if s, is := m.(*stop); is && s.kill && r.machine.phase == done {
			ctx.Stop(ctx.Self())
		}
		if r.standsStill(ctx, m) {
			return
		}
		if d, is := m.(*actors.Dumped); is {
			r.dumped(stacksOf{id: d.ID, text: d.Text})
		}
		if ev := translate(m); ev != nil && !r.closing {
			r.step(ctx, ev)
		}
	}
}

// translate turns a message into an event, nil for one that is none.
func translate(m any) event {
	switch m := m.(type) {
	case *actors.Started:
		return evStarted{m.ID, m.PID}
	case *actors.Hello:
		return evHello{m.ID, m.SDK}
	case *actors.Beat:
		return evBeat{m.ID}
	case *actors.Progress:
		return evProgress{m.ID, m.Count}
	case *actors.Probing:
		return evProbing{m.ID, m.Err}
	case *actors.Dumped:
		return evDumped{m.ID, m.Text}
	case *actors.Ready:
		return evReady{m.ID}
	case *actors.Raised:
		return evRaised{id: m.ID, exception: m.Exception, seen: m.Seen}
	case *actors.Broken:
		return evRaised{id: m.ID, err: m.Err, seen: m.Seen}
	case *actors.Returned:
		return evReturned{m.ID, m.Value}
	case *actors.Exited:
		return evExited{m.ID, m.PID, m.Exit}
	case *stop:
		return evStop{m.cause, m.kill}
	case *signal:
		return evSignal{m.signal}
	case *fired:
		return m.event
	case *answer:
		return m.event
	case *notice:
		return evNotice{m.text}
	case *roomed:
		return evRoom{m.room}
	case *begun:
		return evStart{}
	}
	return nil
}

// guard puts the launcher's guard up for the life of the group.
func (r *root) guard(ctx actor.Context) {
	system, self := ctx.ActorSystem(), ctx.Self()
	r.unguard = r.launcher.Guard(func(text string) { system.Root.Send(self, &notice{text}) })
	r.containment = r.launcher.Containment()
}

func (r *root) step(ctx actor.Context, ev event) {
	for _, e := range r.machine.step(time.Now(), ev) {
		r.perform(ctx, e)
	}
	r.tellGone()
}

func (r *root) perform(ctx actor.Context, e effect) {
	switch e := e.(type) {
	case efSpawn:
		r.spawn(ctx, e.ids)
	case efStop:
		r.tell(ctx, e.ids, &actors.Stop{Reason: e.reason, Grace: r.spec.Grace})
	case efKill:
		r.tell(ctx, e.ids, &actors.Kill{})
	case efAbandon:
		r.tell(ctx, e.ids, &actors.Abandon{Err: ErrAbandoned})
	case efTimer:
		r.arm(ctx, e)
	case efEvent:
		r.tellDesk(e.event) // before anybody knows of it, who may write to the mailroom himself
		r.tellOf(ctx, e.event)
		if e.event.Kind == EventExited {
			r.dumped(stacksOf{id: process.ID{Rank: e.event.Rank, Generation: e.event.Generation}, err: ErrRankEnded})
		}
	case efDump:
		r.tell(ctx, e.ids, &actors.Dump{})
	case efSignal:
		r.tell(ctx, e.ids, &actors.Signal{Signal: e.signal})
	case efAsk:
		r.ask(ctx, e)
	case efRefuse:
		r.refusal = e.err
	case efAdd:
		r.base = slices.Concat(r.spec.Ranks, e.commands)
		r.journal.newCommands(r.base)
		r.setRanks(ctx, r.base)
	case efResize:
		r.base = e.commands
		r.journal.newCommands(r.base)
		r.renew(ctx, e.commands)
	case efFit:
		r.renew(ctx, cutOrRepeat(r.base, e.size))
	case efDone:
		r.closeMail(ctx)
	}
}

// tellOf tells of an event: the journal first, which is to know of a deed before it is done.
func (r *root) tellOf(ctx actor.Context, e Event) {
	r.journal.write(e, func(text string) { ctx.Send(ctx.Self(), &notice{text}) })
	r.group.stream.put(e)
	if r.options.observe != nil {
		r.options.observe(e)
	}
}

// ask asks a strategy that takes its time. The answer may come on any goroutine, and even before this returns.
func (r *root) ask(ctx actor.Context, e efAsk) {
	// Start may not have noted yet where we are, when the first question comes.
	system, self := ctx.ActorSystem(), ctx.Self()
	e.strategy.(*engineStrategy).ask(system, self.Id, r.cast, e, func(d Directive, err error) {
		r.group.sendTo(system, self, &answer{evAnswer{e.question, d, err}})
	})
}

func (r *root) tell(ctx actor.Context, ids []process.ID, order any) {
	for _, id := range ids {
		ctx.Send(r.ranks[id.Rank], order)
	}
}

// spawn makes a new actor for each new life.
func (r *root) spawn(ctx actor.Context, ids []process.ID) {
	launcher := r.meet(ids)
	queued := r.machine.pick(func(_ int, l *life) bool { return l.state == queued })
	r.desk(func(d *desk.Desk) {
		d.Born(ids, len(r.spec.Ranks))
		for _, id := range queued {
			d.Due(id.Rank)
		}
	})
	var mail actors.Mailroom
	if room := r.group.mail.Load(); room != nil {
		mail = room
	}
	roles := r.spec.Roles()
	for _, id := range ids {
		command := withErrorFile(r.spec.Ranks[id.Rank])
		command.Env = append(environment(r.environment(id, roles[id.Rank])), command.Env...)
		command.Host = r.machine.lives[id.Rank].host
		live := r.spec.Liveness
		props := actors.Rank(actors.Config{
			ID: id, Command: command, Launcher: launcher, Output: r.options.output,
			Heartbeat: live.Heartbeat, Dumps: live != Liveness{},
			Mail: mail, MaxResult: r.spec.MaxResult, Result: r.options.result,
		})
		r.ranks[id.Rank] = ctx.Spawn(props.Configure(r.group.common()...))
		if !r.paused.IsZero() {
			ctx.Send(r.ranks[id.Rank], &actors.Signal{Signal: sigStop})
		}
	}
}

// arm sets a timer. One that was set before is a ghost to the machine, and stopped to save it the trouble.
func (r *root) arm(ctx actor.Context, e efTimer) {
	if t := r.timers[e.timer]; t != nil {
		t.Stop()
	}
	system, self := ctx.ActorSystem(), ctx.Self()
	r.timers[e.timer] = time.AfterFunc(e.after, func() {
		system.Root.Send(self, &fired{evTimer{e.timer, e.serial}})
	})
}

// stopped is the end of the root actor, after that of its ranks (G-4). The answer comes first: whatever follows may panic.
func (r *root) stopped() {
	defer close(r.group.done)
	defer r.group.stream.end()
	r.conclude()
	for _, t := range r.timers {
		if t != nil {
			t.Stop()
		}
	}
	r.port.Release()
	if r.unguard != nil {
		r.group.final.Containment = r.launcher.Containment() // the kernel may have refused what was there before
		r.unguard()
	}
	r.hosts.leave()
}

func (r *root) conclude() {
	g := r.group
	switch c := g.crash.Load(); {
	case c != nil:
		r.machine.abort(Failed, c)
	case r.machine.phase != done:
		r.machine.abort(Interrupted, fmt.Errorf("%w: the root actor was stopped from outside", ErrStopped))
	}
	g.err, g.final, g.values = r.machine.end, r.report(), r.machine.results()
	g.final.addResults(g.values)
}

// abort ends a machine whose shell can go on no longer: whoever lived has been killed.
func (m *machine) abort(o Outcome, err error) {
	for rank := range m.lives {
		if l := &m.lives[rank]; l.state != ended {
			l.state, l.outcome = ended, Stopped
		}
	}
	m.conclude(o, err)
	m.phase = done
}

func (r *root) report() Report {
	report := r.machine.report()
	report.Run, report.Name, report.Containment = r.spec.RunID, r.spec.Name, r.containment
	places := r.spec.Roles()
	for i := range min(len(report.Ranks), len(r.spec.Ranks)) { // a crash may come between the two
		if r.spec.Ranks[i].Role != "" {
			report.Ranks[i].Role, report.Ranks[i].RoleRank = places[i].Role, places[i].Rank
		}
		report.Ranks[i].Conditions = r.conditions(report.Ranks[i].Rank)
	}
	report.Start, report.Seconds = r.start, time.Since(r.start).Seconds()
	return report
}
