package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor/internal/bench"
	"github.com/go-muster/muster/transport"
)

func newScript(own Strategy) func(bench.Command) (string, error) {
	s := &script{own: own}
	return func(d bench.Command) (out string, err error) {
		defer func() {
			switch p := recover().(type) {
			case nil:
			case badCommand:
				err = p
			default:
				panic(p)
			}
		}()
		return s.run(&d), nil
	}
}

// A badCommand is the panic of a script that cannot be read.
type badCommand struct{ error }

func fail(format string, a ...any) { panic(badCommand{fmt.Errorf(format, a...)}) }

// A script is one conversation: a machine, a virtual clock and the timers that a shell would have set.
type script struct {
	own    Strategy   // where start names no other; nil for fail-fast
	said   []evAnswer // what the strategy "told" will answer, each to one question
	m      *machine
	now    time.Time
	timers [timers]struct {
		at     time.Time
		serial int
	}
}

func (s *script) run(d *bench.Command) string {
	s.look(d)
	switch d.Cmd {
	case "start":
		*s = script{own: s.own, m: newMachine(s.config(d)), now: epoch}
		return s.begin(d)
	case "new": // a machine that was not started
		*s = script{own: s.own, m: newMachine(s.config(d)), now: epoch}
		return ""
	case "next": // what the strategy "told" is going to answer
		s.said = append(s.said, s.answer(d))
		return ""
	case "advance":
		d, err := time.ParseDuration(strings.Join(words(d), ""))
		if err != nil {
			fail("%v", err)
		}
		return s.advance(d)
	case "report":
		return summary(s.m.report())
	case "results":
		return fmt.Sprintf("%q", s.m.results())
	case "timer": // one that fires although it was disarmed, or was set again
		return s.stray(d)
	}
	if ev := s.outside(d); ev != nil {
		return s.tell(ev)
	}
	var out []string
	for _, id := range s.ids(d) {
		out = append(out, s.tell(s.event(d, id)))
	}
	return strings.Join(out, "\n")
}

// outside is what somebody tells the group, or a strategy that takes its time; nil for what a rank tells.
func (s *script) outside(d *bench.Command) event {
	switch d.Cmd {
	case "stop", "kill":
		return evStop{cause: stopped(strings.Join(words(d), " ")), kill: d.Cmd == "kill"}
	case "signal": // to all ranks
		sig, err := process.ParseSignal("SIG" + strings.Join(words(d), ""))
		if err != nil {
			fail("%v", err)
		}
		return evSignal{sig}
	case "notice": // of the launcher's guard
		return evNotice{value(d, "text")}
	case "change":
		return s.change(d)
	case "terms":
		return s.terms(d)
	case "answer":
		return s.answer(d)
	case "restart": // all or some
		return evRestart{numbers(words(d)), value(d, "text")}
	case "room": // that the hosts have
		return s.room(words(d), d)
	case "add", "remove", "resize": // the ranks
		return changeOf(d)
	}
	return nil
}

// change reads another strategy.
func (s *script) change(d *bench.Command) evChange {
	var c scripted
	for _, arg := range d.CmdArgs {
		if arg.Key == "at" {
			continue // look has seen it
		}
		if err := c.set(arg.Key, arg.Vals); err != nil {
			fail("%v", err)
		}
	}
	return evChange{s.strategy(&c)}
}

// look finds what cannot be read, and sets the clock to where "at" has it: that fires no timer.
func (s *script) look(d *bench.Command) {
	if d.Cmd != "start" && d.Cmd != "new" && s.m == nil {
		fail("%s: a conversation begins with start", d.Cmd)
	}
	for _, arg := range d.CmdArgs {
		if need := values[arg.Key]; len(arg.Vals) < need && d.Cmd != "timer" {
			fail("%s: %s wants a value, as in %s=…", d.Cmd, arg.Key, arg.Key)
		}
		if arg.Key == "at" {
			at, err := time.ParseDuration(arg.Vals[0])
			if err != nil {
				fail("%v", err)
			}
			s.now = epoch.Add(at)
		}
	}
}

// begin starts the group; on several hosts when it is told of the room they have.
func (s *script) begin(d *bench.Command) string {
	if !s.m.placed {
		return s.tell(evStart{})
	}
	var room string
	if n := value(d, "room"); n != "none" {
		room = s.tell(s.room([]string{n}, d)) + "\n"
	}
	return room + s.tell(evStart{})
}

// room reads how many ranks there is room for, on hosts=2 or one, text=(why), and since=5s.
func (s *script) room(words []string, d *bench.Command) evRoom {
	n, err := strconv.Atoi(strings.Join(words, ""))
	hosts := 1
	if text := value(d, "hosts"); text != "" && err == nil {
		hosts, err = strconv.Atoi(text)
	}
	if err != nil {
		fail("%s: say for how many ranks there is room", d.Cmd)
	}
	var since time.Duration
	if text := value(d, "since"); text != "" && err == nil {
		since, err = time.ParseDuration(text)
	}
	if err != nil {
		fail("%s: since=%s is no time", d.Cmd, value(d, "since"))
	}
	return evRoom{process.Room{Ranks: n, Hosts: hosts, Why: value(d, "text"), Since: since}}
}

// values is how many values an argument has at least.
var values = map[string]int{
	"code": 1, "signal": 1, "type": 1, "value": 1, "message": 1, "text": 1, "ranks": 1, "grace": 1, "start-timeout": 1,
	"kill-wait": 1, "lifetime": 1, "seed": 1, "timeout": 1, "need": 1, "shutdown": 1, "strategy": 1, "restarts": 1, "within": 1, "decay": 1,
	"heartbeat": 1, "stall": 1, "lag": 1, "count": 1, "min-uptime": 1, "backoff": 2, "linger": 1, "after": 1, "at": 1, "seen": 1,
	"min-ranks": 1, "max-ranks": 1, "history": 1, "host": 1, "with": 1, "room": 1, "hosts": 1, "since": 1, "wait": 1, "settle": 1, "first": 1,
}

// event is what a rank tells.
func (s *script) event(d *bench.Command, id process.ID) event {
	switch d.Cmd {
	case "started":
		return evStarted{id, pid(id)}
	case "hello":
		return evHello{id, "python/3.12"}
	case "beat":
		return evBeat{id}
	case "progress":
		n, _ := strconv.Atoi(value(d, "count"))
		return evProgress{id, uint64(n)}
	case "probing":
		return evProbing{id, errors.New(value(d, "text"))}
	case "dumped":
		return evDumped{id, value(d, "text")}
	case "ready":
		return evReady{id}
	case "returned":
		return evReturned{id, []byte(value(d, "value"))}
	case "raised":
		return evRaised{id: id, exception: s.exception(d), seen: s.seen(d)}
	case "broken":
		return evRaised{id: id, err: process.ErrLink, seen: s.seen(d)}
	case "exited":
		x := exitOf(id, d)
		x.exit.Ended = s.seen(d)
		s.lose(id, d, &x.exit)
		return x
	}
	fail("there is no command %s", d.Cmd)
	return nil
}

// lose reads host=b with=(5,6): the rank was lost with its host, as ranks 5 and 6 were.
func (s *script) lose(id process.ID, d *bench.Command, x *process.Exit) {
	host := value(d, "host")
	if host == "" {
		return
	}
	lost := &process.HostLostError{Host: host, Why: "not heard of", Lives: []process.ID{id}}
	for _, arg := range d.CmdArgs {
		if arg.Key == "with" {
			lost.Lives = append(lost.Lives, s.named(d.Cmd, arg.Vals)...)
		}
	}
	x.Code, x.Err = -1, lost
}

// seen reads when whoever watches the process noticed: seen=2s, since the start. Zero means that nobody says.
func (s *script) seen(d *bench.Command) (t time.Time) {
	if text := value(d, "seen"); text != "" {
		after, err := time.ParseDuration(text)
		if err != nil {
			fail("%v", err)
		}
		t = epoch.Add(after)
	}
	return t
}

// exception reads type=ValueError message=boom bases=(Exception,object).
func (s *script) exception(d *bench.Command) *transport.Exception {
	x := &transport.Exception{Type: value(d, "type"), Message: "boom"}
	if m := value(d, "message"); m != "" {
		x.Message = m
	}
	for _, arg := range d.CmdArgs {
		if arg.Key == "bases" {
			x.Bases = arg.Vals
		}
	}
	return x
}

// changeOf reads "add 1", which is how many, "remove 2", which is whom, and "resize 3"; each with text=(why).
func changeOf(d *bench.Command) event {
	n, err := strconv.Atoi(strings.Join(words(d), ""))
	if err != nil || d.Cmd != "remove" && (n < 1 || n > maxScript) {
		fail("%s: say how many ranks, or which", d.Cmd)
	}
	switch why := value(d, "text"); d.Cmd {
	case "add":
		return evAdd{make([]process.Command, n), why}
	case "resize":
		return evResize{make([]process.Command, n), why}
	default:
		return evRemove{n, why}
	}
}

// maxScript is how many ranks a script may add: enough for anybody, and not for a mistake.
const maxScript = 10_000

// answer reads what a strategy says: "restart scope=(0,1) after=1s linger=1s free text=why", "panic", or "late", which is to the
// question before the last one.
func (s *script) answer(d *bench.Command) evAnswer {
	a := evAnswer{question: s.m.question}
	for _, word := range words(d) {
		action := map[string]Action{"terminate": Terminate, "restart": Restart, "ignore": Ignore, "drop": Drop}
		switch word {
		case "panic":
			a.err = panicked("no idea")
		case "late":
			a.question--
		case "free":
			a.directive.Free = true
		default:
			a.directive.Action = action[word]
		}
	}
	for _, arg := range d.CmdArgs {
		var err error
		switch arg.Key {
		case "scope":
			a.directive.Ranks = numbers(arg.Vals)
		case "after":
			a.directive.After, err = time.ParseDuration(arg.Vals[0])
		case "linger":
			a.directive.Linger, err = time.ParseDuration(arg.Vals[0])
		case "text":
			a.directive.Reason = arg.Vals[0]
		case "question":
			a.question, err = strconv.Atoi(arg.Vals[0])
		}
		if err != nil {
			fail("%v", err)
		}
	}
	return a
}

// strategy is the one that the words name.
func (s *script) strategy(c *scripted) Strategy {
	if c.name != "told" {
		return c.strategy()
	}
	return &told{func(State, *Failure) Directive {
		if len(s.said) == 0 {
			panic("nobody has said what to answer: see next")
		}
		a := s.said[0]
		if s.said = s.said[1:]; a.err != nil {
			panic("no idea")
		}
		return a.directive
	}}
}

func pid(id process.ID) int { return 100 + 10*id.Generation + id.Rank }

func exitOf(id process.ID, d *bench.Command) evExited {
	ev := evExited{id: id, pid: pid(id)}
	x := &ev.exit
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "code":
			x.Code, _ = strconv.Atoi(arg.Vals[0])
		case "signal":
			x.Code, x.Signal = -1, map[string]syscall.Signal{
				"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "ABRT": syscall.SIGABRT, "SEGV": syscall.SIGSEGV,
			}[arg.Vals[0]]
		case "stopped":
			x.Stopped = true
		case "lost":
			x.Code, x.Err = -1, errLost
		case "link":
			x.Err = process.ErrLink
		case "unlaunched":
			ev.pid, x.Code, x.Err = 0, -1, errFork
		case "abandoned":
			x.Code, x.Err, x.Stopped = -1, ErrAbandoned, true
		}
	}
	return ev
}

// tell gives the machine one event and writes down what it does.
func (s *script) tell(ev event) string {
	before := s.m.phase
	effects := s.m.step(s.now, ev)
	for _, e := range effects {
		if e, ok := e.(efTimer); ok {
			s.timers[e.timer].at, s.timers[e.timer].serial = s.now.Add(e.after), e.serial
		}
	}
	return transcribe(effects, before, s.m.phase)
}

// transcribe is what a transcript has of a step.
func transcribe(effects []effect, before, after phase) string {
	out := render(effects)
	if after != before {
		out += "\n= " + after.String()
	}
	if out == "" {
		return "nothing"
	}
	return strings.TrimPrefix(out, "\n")
}

// advance lets the clock run and fires the timers that are due, earliest first.
func (s *script) advance(d time.Duration) string {
	end := s.now.Add(d)
	var out []string
	for {
		next := -1
		for i, t := range s.timers {
			if t.serial > 0 && !t.at.After(end) && (next < 0 || t.at.Before(s.timers[next].at)) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		t := s.timers[next]
		s.timers[next].serial = 0
		s.now = t.at
		if did := s.tell(evTimer{timer(next), t.serial}); did != "nothing" {
			out = append(out, fmt.Sprintf("%v: %v timer", s.now.Sub(epoch), timer(next)), did)
		}
	}
	s.now = end
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, "\n")
}

func (s *script) stray(d *bench.Command) string {
	for i := range timers {
		if slices.Contains(words(d), i.String()) {
			return s.tell(evTimer{i, s.m.serial[i]})
		}
	}
	fail("no such timer")
	return ""
}

// ids reads "1", which means the newest life of rank 1, "1@0" and "all".
func (s *script) ids(d *bench.Command) []process.ID {
	ids := s.named(d.Cmd, words(d))
	if ids == nil {
		fail("%s: say which rank", d.Cmd)
	}
	return ids
}

func (s *script) named(cmd string, words []string) (ids []process.ID) {
	for _, word := range words {
		if word == "all" {
			for rank := range s.m.lives {
				ids = append(ids, process.ID{Rank: rank, Generation: s.m.lives[rank].generation})
			}
			continue
		}
		rank, generation, old := strings.Cut(word, "@")
		n, err := strconv.Atoi(rank)
		if err != nil {
			continue
		}
		id := process.ID{Rank: n}
		switch {
		case old && n >= 0: // perhaps there was such a rank
			id.Generation, _ = strconv.Atoi(generation)
		case n < 0 || n >= len(s.m.lives):
			fail("%s: there is no rank %d", cmd, n)
		default:
			id.Generation = s.m.lives[n].generation
		}
		ids = append(ids, id)
	}
	return ids
}

func words(d *bench.Command) []string {
	var words []string
	for _, arg := range d.CmdArgs {
		if arg.Vals == nil {
			words = append(words, arg.Key)
		}
	}
	return words
}

func value(d *bench.Command, key string) string {
	for _, arg := range d.CmdArgs {
		if arg.Key == key {
			return arg.Vals[0]
		}
	}
	return ""
}

// config reads the arguments of start. Times are short and round: grace 5s, exit time 1s, kill wait 10s, start 60s.
func (s *script) config(d *bench.Command) config {
	c := config{
		size: 1, grace: 5 * time.Second, exitTime: time.Second, killWait: 10 * time.Second, startTimeout: time.Minute,
		answerTime: 20 * time.Second,
		random:     func() float64 { return 0.5 },
		elastic:    Elastic{Wait: time.Minute, Settle: defaultSettle},
	}
	answer := scripted{}
	for _, arg := range d.CmdArgs {
		err := c.set(arg)
		if err == errNoKey {
			err = answer.set(arg.Key, arg.Vals)
		}
		if err != nil {
			fail("%v", err)
		}
	}
	if c.strategy = s.strategy(&answer); answer.name == "" && s.own != nil {
		c.strategy = s.own
	}
	if err := errors.Join(c.check(c.size), c.bounds.check(c.size)); err != nil {
		fail("%v", err)
	}
	return c
}

var errNoKey = errors.New("that is no argument of a group's")

// set reads an argument of start that is not about its strategy.
func (c *config) set(arg bench.Arg) (err error) {
	times := map[string]*time.Duration{
		"grace": &c.grace, "start-timeout": &c.startTimeout, "kill-wait": &c.killWait, "answer-time": &c.answerTime,
		"timeout": &c.timeout, "lifetime": &c.lifetime, "heartbeat": &c.liveness.Heartbeat, "stall": &c.liveness.Stall,
		"wait": &c.elastic.Wait, "settle": &c.elastic.Settle,
	}
	numbers := map[string]*int{
		"ranks": &c.size, "min-ranks": &c.bounds.min, "max-ranks": &c.bounds.max,
		"history": &c.history, // how much a report has at least
		"first":   &c.first,   // generation
	}
	if d := times[arg.Key]; d != nil {
		*d, err = time.ParseDuration(arg.Vals[0])
		return err
	}
	if n := numbers[arg.Key]; n != nil {
		*n, err = strconv.Atoi(arg.Vals[0])
		return err
	}
	switch arg.Key {
	case "lag":
		c.liveness.Lag, err = strconv.ParseUint(arg.Vals[0], 10, 64)
	case "seed": // of State.Random, which is 0.5 without
		c.random = randomOf(arg.Vals[0])
	case "ordered":
		c.ordered = true
	case "room": // that the hosts have at the start; none when they are not heard of yet
		c.placed = true
	case "hosts", "text", "since": // of room
	case "fit":
		c.elastic.Fit = true
	case "regrow":
		c.elastic.Regrow = true
	case "types", "need", "count", "await", "significant", "shutdown":
		setTerms(&c.terms, arg.Key, arg.Vals)
	default:
		return errNoKey
	}
	return err
}

// terms reads other terms.
func (s *script) terms(d *bench.Command) evTerms {
	var t terms
	for _, arg := range d.CmdArgs {
		setTerms(&t, arg.Key, arg.Vals)
	}
	return evTerms{Terms{t.types, t.success, t.significant, t.shutdown}}
}

// setTerms reads types=(permanent,temporary), count=(0,1) need=1 await=yes, significant=(0) shutdown=any.
func setTerms(t *terms, key string, values []string) {
	switch key {
	case "types":
		for _, v := range values {
			t.types = append(t.types, map[string]RestartType{"permanent": Permanent, "temporary": Temporary}[v])
		}
	case "need":
		t.success.Need, _ = strconv.Atoi(values[0])
	case "count":
		t.success.Ranks = numbers(values)
	case "await":
		t.success.Await = true
	case "significant":
		t.significant = numbers(values)
	case "shutdown":
		t.shutdown = map[string]Shutdown{"any": AnySignificant, "all": AllSignificant}[values[0]]
	}
}

var (
	errLost = errors.New("the exit status is lost")
	errFork = errors.New("fork: no more processes")
)

// randomOf is a source of State.Random.
func randomOf(seed string) func() float64 {
	n, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		fail("seed %s: %v", seed, err)
	}
	return rand.New(rand.NewPCG(n, 2)).Float64
}

func numbers(words []string) (ns []int) {
	for _, w := range words {
		n, _ := strconv.Atoi(w)
		ns = append(ns, n)
	}
	return ns
}

// scripted is a strategy from the words of a script.
type scripted struct {
	name     string
	restarts int
	within   time.Duration
	decay    time.Duration
	uptime   time.Duration
	backoff  Backoff
	d        Directive
}

func (s *scripted) set(key string, values []string) (err error) {
	switch key {
	case "strategy":
		s.name = values[0]
	case "restarts":
		s.restarts, err = strconv.Atoi(values[0])
	case "within":
		s.within, err = time.ParseDuration(values[0])
	case "decay":
		s.decay, err = time.ParseDuration(values[0])
	case "min-uptime":
		s.uptime, err = time.ParseDuration(values[0])
	case "backoff":
		s.backoff.Min, _ = time.ParseDuration(values[0])
		s.backoff.Max, err = time.ParseDuration(values[1])
	case "free":
		s.d.Free = true
	case "linger":
		s.d.Linger, err = time.ParseDuration(values[0])
	case "after":
		s.d.After, err = time.ParseDuration(values[0])
	case "scope":
		s.d.Ranks = numbers(values)
	default:
		return fmt.Errorf("what is %s?", key)
	}
	return err
}

func (s *scripted) strategy() Strategy {
	switch s.name {
	case "all-for-one":
		return AllForOne{s.restarts, s.within, s.decay, s.uptime, s.backoff, s.d.Linger}
	case "one-for-one":
		return OneForOne{s.restarts, s.within, s.decay, s.uptime, s.backoff}
	case "rest-for-one":
		return RestForOne{s.restarts, s.within, s.decay, s.uptime, s.backoff}
	case "panic":
		return StrategyFunc(func(State, *Failure) Directive { panic("no idea") })
	case "restart":
		s.d.Action = Restart
	case "slow":
		return slow{}
	case "ignore":
		return IgnoreFailures{}
	case "drop":
		s.d.Action = Drop
	case "nonsense":
		s.d.Action = 7
	default:
		return FailFast{Linger: s.d.Linger}
	}
	return StrategyFunc(func(State, *Failure) Directive { return s.d })
}
