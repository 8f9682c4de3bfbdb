package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A tenant is a process that the agent runs for its root. It is the process's observer, and passes on what it hears within the
// windows that the root keeps open: what there is no room for stays where it is, in the process's pipe.
type tenant struct {
	number  uint64
	id      process.ID
	agent   *agent
	windows [classes]transport.Balance
	beat    bool          // it was asked for heartbeats
	grace   time.Duration // that its group gives it

	// of the agent's actor
	command process.Command
	started bool // its launch was begun
	process process.Process
	orders  []func(process.Process) // that came before there was one
	exit    *process.Exit           // that came before its process
	asked   bool                    // to end, by the root
}

func (a *agent) newTenant(m *launch) (*tenant, error) {
	c, err := decodeCommand(m.Command)
	t := &tenant{number: m.Life, id: process.ID{Rank: m.Rank, Generation: m.Generation}, agent: a, command: c, beat: c.Heartbeat > 0, grace: m.Grace}
	for i := range t.windows {
		t.windows[i].Grant(window)
	}
	return t, err
}

// What a tenant's own goroutines tell the agent.
type (
	spawned struct {
		tenant  *tenant
		process process.Process
		err     error
	}
	passed struct {
		tenant  *tenant
		code    code
		message any
	}
	ended struct {
		tenant *tenant
		exit   process.Exit
	}
	answered struct{ checked *checked }
	drum     struct{} // heartbeats are to be sent
)

// Message passes on what the worker says. Heartbeats of all tenants travel together.
func (t *tenant) Message(m transport.Message) {
	if _, is := m.(*transport.Heartbeat); is {
		t.agent.heartbeats.add(t.agent, t.number, t.command.Heartbeat)
		return
	}
	body, err := transport.EncodeMessage(m)
	if err != nil {
		return // it was decoded a moment ago
	}
	if t.windows[messages].Await(context.Background(), cost(len(body))) == nil {
		t.agent.tell(&passed{t, codeSaid, &said{t.number, m.Kind(), body}})
	}
}

// Output passes lines on.
func (t *tenant) Output(s process.Stream, lines []byte) {
	for len(lines) > 0 {
		piece := lines[:min(len(lines), maxLines)]
		if end := bytes.LastIndexByte(piece, '\n') + 1; end > 0 && len(piece) < len(lines) {
			piece = piece[:end]
		}
		if t.windows[s].Await(context.Background(), len(piece)) != nil {
			return
		}
		t.agent.tell(&passed{t, codeOutput, &output{t.number, s, bytes.Clone(piece)}})
		lines = lines[len(piece):]
	}
}

// maxLines is how many bytes of output travel in one message, unless a line is longer.
const maxLines = 32 << 10

// Probed passes on what a probe has found.
func (t *tenant) Probed(err error) {
	t.agent.tell(&passed{t, codeProbed, &probed{t.number, faultOf(err)}})
}

// Broken passes on that the worker broke the protocol.
func (t *tenant) Broken(err error) {
	t.agent.tell(&passed{t, codeBroken, &broken{t.number, faultOf(err)}})
}

// Exited passes on the end, after all else.
func (t *tenant) Exited(e process.Exit) { t.agent.tell(&ended{t, e}) }

// tenantSays handles what comes from tenants. What a tenant says to a root that is lost, is said to nobody.
func (a *agent) tenantSays(m any) {
	switch m := m.(type) {
	case *spawned:
		a.spawned(m)
	case *passed:
		if a.tenants[m.tenant.number] == m.tenant && (a.state == serving || m.tenant.asked || !blames(m.code, m.message)) {
			a.say(bulk, m.code, m.message)
		}
	case *ended:
		if m.tenant.exit = &m.exit; m.tenant.process != nil {
			a.vacate(m.tenant)
		}
	case *answered:
		a.say(control, codeChecked, m.checked)
	case *drum:
		a.drum()
	}
}

func (a *agent) spawned(m *spawned) {
	t := m.tenant
	if m.err != nil {
		if delete(a.tenants, t.number); a.state == serving || t.asked {
			a.say(bulk, codeLaunched, &launched{Life: t.number, Err: faultOf(m.err)})
		}
		return
	}
	t.process = m.process
	a.say(bulk, codeLaunched, &launched{Life: t.number, PID: m.process.PID()})
	for _, order := range t.orders {
		order(t.process)
	}
	t.orders = nil
	if t.exit != nil {
		a.vacate(t)
	}
}

// vacate is the end of a tenant: nothing of it is alive.
func (a *agent) vacate(t *tenant) {
	delete(a.tenants, t.number)
	x := &exited{t.number, exitOf(*t.exit)}
	if a.state != draining || a.farewell.end(x, t.asked) {
		a.say(bulk, codeExited, x)
	}
}

// obey carries out an order of the root's.
func (a *agent) obey(m any) {
	if !a.serves() {
		return
	}
	switch m := m.(type) {
	case *launch:
		if a.state == serving { // else it is answered by our leaving
			a.launch(m)
		}
	case *argument:
		if a.state == serving {
			a.argument(m)
		}
	case *stop:
		if a.bid(m.Life) {
			a.order(m.Life, func(p process.Process) { p.Stop(m.Reason, m.Grace) })
		}
	case *kill:
		a.bid(m.Life)
		a.order(m.Life, process.Process.Kill)
	case *dump:
		a.order(m.Life, process.Process.Dump)
	case *signal:
		a.order(m.Life, func(p process.Process) { _ = p.Signal(m.Signal) })
	case *post:
		if message, err := transport.DecodeMessage(m.Kind, m.Body); err == nil {
			a.order(m.Life, func(p process.Process) { p.Post(message) })
		}
	case *taken:
		if t := a.tenants[m.Life]; t != nil && m.Class >= 0 && m.Class < classes && m.Bytes > 0 {
			t.windows[m.Class].Grant(m.Bytes)
		}
	case *check:
		a.check(m)
	case *portUse:
		a.usePort(m.Number)
	case *portFree:
		a.freePort(m.Number)
	}
}

// bid notes that the root asks a life to end. It reports whether that is news for the life, which has one grace.
func (a *agent) bid(life uint64) bool {
	if t := a.tenants[life]; t != nil {
		t.asked = true
	}
	if a.state != draining {
		return true
	}
	if x := a.farewell.answer(life); x != nil {
		a.say(bulk, codeExited, x)
	}
	return false
}

func (a *agent) order(life uint64, do func(process.Process)) {
	switch t := a.tenants[life]; {
	case t == nil:
	case t.process == nil:
		t.orders = append(t.orders, do)
	default:
		do(t.process)
	}
}

func (a *agent) launch(m *launch) {
	if a.tenants[m.Life] != nil {
		return
	}
	if a.Slots > 0 && len(a.tenants) >= a.Slots {
		a.say(bulk, codeLaunched, &launched{Life: m.Life, Err: faultOf(a.full())})
		return
	}
	t, err := a.newTenant(m)
	if err != nil {
		a.say(bulk, codeLaunched, &launched{Life: m.Life, Err: faultOf(err)})
		return
	}
	a.tenants[m.Life] = t
	value, come := a.arguments[m.Life]
	if m.Argument && !come {
		return // it is on its way
	}
	delete(a.arguments, m.Life)
	t.command.Argument = value
	t.begin()
}

// full says that there is no slot left, whatever the root thinks.
func (a *agent) full() error {
	has := fmt.Sprintf("%d slots, and all are taken", a.Slots)
	if a.Slots == 1 {
		has = "1 slot, and it is taken"
	}
	return fmt.Errorf("%w: host %s has %s: give its agent more (--slots), or take fewer ranks of each host (--per-host)", process.ErrNoRoom, a.Name, has)
}

func (a *agent) argument(m *argument) {
	t := a.tenants[m.Life]
	switch {
	case t == nil:
		a.arguments[m.Life] = m.Value
	case !t.started:
		t.command.Argument = m.Value
		t.begin()
	}
}

// begin launches the process, which may take its time.
func (t *tenant) begin() {
	t.started = true
	a, id, c := t.agent, t.id, t.command
	t.command.Argument = nil
	go func() { // ends with the launch
		p, err := a.Launcher.Launch(id, c, t)
		a.tell(&spawned{t, p, err})
	}()
}

// end kills the process of a lease that is over. Nobody takes what it still says.
func (t *tenant) end() {
	for i := range t.windows {
		t.windows[i].Close(errEnded)
	}
	switch {
	case t.process != nil:
		t.process.Kill()
	case t.started:
		t.orders = append(t.orders, process.Process.Kill)
	default: // it never begins
		delete(t.agent.tenants, t.number)
	}
}

// check answers a preflight, which may take its time.
func (a *agent) check(m *check) {
	go func() { // ends with the look-ups
		a.tell(&answered{&checked{m.Ask, faultOf(a.preflight(m))}})
	}()
}

func (a *agent) preflight(m *check) error {
	var commands []process.Command
	var errs []error
	for _, text := range m.Commands {
		c, err := decodeCommand(text)
		if err == nil {
			commands = append(commands, c)
			err = a.Launcher.Check(c)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if a.Slots > 0 && m.Count > a.Slots {
		errs = append(errs, fmt.Errorf("it has %d slots, %d are wanted: give its agent more (--slots), or take fewer ranks of each host", a.Slots, m.Count))
	}
	if p, ok := a.Launcher.(process.Preflighter); ok && len(errs) == 0 && len(commands) > 0 {
		all := slices.Repeat(commands, (m.Count+len(commands)-1)/len(commands))
		errs = append(errs, p.Preflight(all[:min(len(all), m.Count)]))
	}
	return errors.Join(errs...)
}

// heartbeats are the signs of life that were not told yet.
type heartbeats struct {
	mu    sync.Mutex
	lives map[uint64]bool
}

// The bounds of how long a sign of life waits for others: less than the interval at which they come.
const (
	shortestDrum = 20 * time.Millisecond
	longestDrum  = time.Second
)

// add notes a sign of life, and has it told before the next one comes.
func (h *heartbeats) add(a *agent, life uint64, every time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lives == nil {
		h.lives = map[uint64]bool{}
		time.AfterFunc(min(max(every/4, shortestDrum), longestDrum), func() { a.tell(&drum{}) })
	}
	h.lives[life] = true
}

func (a *agent) drum() {
	a.heartbeats.mu.Lock()
	lives := a.heartbeats.lives
	a.heartbeats.lives = nil
	a.heartbeats.mu.Unlock()
	m := &beats{}
	for life := range lives {
		m.Lives = append(m.Lives, life)
	}
	slices.Sort(m.Lives)
	a.say(control, codeBeats, m)
}
