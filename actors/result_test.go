//go:build unix

package actors_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
)

// A sink is a ResultWriter that the test holds up and looks into.
type sink struct {
	got   bytes.Buffer
	fails error
	open  chan struct{} // a write waits for a token, if it is not nil
	end   chan error
}

func newSink() *sink { return &sink{end: make(chan error, 2)} }

func (s *sink) Write(b []byte) (int, error) {
	if s.open != nil {
		<-s.open
	}
	if s.fails != nil {
		return 0, s.fails
	}
	return s.got.Write(b)
}

func (s *sink) CloseWithError(err error) error { s.end <- err; return nil }

func part(text string) *transport.Part { return &transport.Part{Value: []byte(text)} }

// begun starts a rank and takes its first facts.
func begun(t *testing.T, change func(*actors.Config)) (*family, *actorstest.Process) {
	t.Helper()
	launcher := actorstest.NewLauncher(t)
	f := start(t, launcher, change)
	p := launcher.Next(f.ctx)
	f.want(&actors.Started{ID: id, PID: p.PID()})
	return f, p
}

func to(s *sink) func(*actors.Config) {
	return func(c *actors.Config) {
		c.Result = func(process.ID) (actors.ResultWriter, error) { return s, nil }
	}
}

// credits takes orders until so much credit was given back.
func credits(f *family, p *actorstest.Process, bytes int) {
	f.t.Helper()
	for bytes > 0 {
		c, ok := p.Order(f.ctx).(*transport.Credit)
		if !ok {
			f.t.Fatalf("%d bytes of credit are missing", bytes)
		}
		bytes -= c.Bytes
	}
	if bytes < 0 {
		f.t.Errorf("%d bytes of credit too many", -bytes)
	}
}

// A result in parts is one value, whose credit comes back at once.
func TestResultInParts(t *testing.T) {
	processtest.Check(t)
	f, p := begun(t, nil)
	p.Say(part("one "))
	p.Say(part("two "))
	credits(f, p, 2*68)
	p.Return([]byte("three"))
	p.Return([]byte("four"))
	f.want(&actors.Returned{ID: id, Value: []byte("one two three")})
	p.Exit(process.Exit{})
	f.want(&actors.Exited{ID: id, PID: p.PID()})
	f.wantEnd()
}

// A result over its bound breaks the rank, whether it comes in parts or at once; the worker is not held up.
func TestResultTooLarge(t *testing.T) {
	processtest.Check(t)
	for _, say := range []func(*actorstest.Process){
		func(p *actorstest.Process) { p.Say(part("12345")); p.Say(part("6")); p.Return([]byte("7")) },
		func(p *actorstest.Process) { p.Return([]byte("123456")) },
	} {
		f, p := begun(t, func(c *actors.Config) { c.MaxResult = 5 })
		say(p)
		broken, ok := f.next().(*actors.Broken)
		if !ok || !errors.Is(broken.Err, actors.ErrResultSize) {
			t.Fatalf("told %+v", broken)
		}
		p.Exit(process.Exit{Code: 1})
		f.want(&actors.Exited{ID: id, PID: p.PID(), Exit: process.Exit{Code: 1}})
		f.wantEnd()
	}
}

// A writer takes the result as it comes, and holds its worker back; the rank returns when all is written, and ends then.
func TestResultWriter(t *testing.T) {
	processtest.Check(t)
	s := newSink()
	s.open = make(chan struct{})
	f, p := begun(t, to(s))
	p.Say(part("one "))
	p.Say(part("two "))
	p.Return([]byte("three"))
	p.Exit(process.Exit{})
	for range 3 {
		s.open <- struct{}{}
	}
	f.want(&actors.Returned{ID: id}, &actors.Exited{ID: id, PID: p.PID()})
	if err := <-s.end; err != nil || s.got.String() != "one two three" {
		t.Errorf("%q, closed with %v", s.got.String(), err)
	}
	f.wantEnd()
}

// What is written comes back as credit, and not before.
func TestResultWriterCredit(t *testing.T) {
	processtest.Check(t)
	s := newSink()
	s.open = make(chan struct{})
	f, p := begun(t, func(c *actors.Config) { to(s)(c); c.Heartbeat = time.Hour })
	p.Say(part("one "))
	p.Beat(1)
	f.want(&actors.Beat{ID: id, Seq: 1}) // is not held up by the writer
	f.send(&actors.Dump{})
	if order := p.Order(f.ctx); order != (actors.Dump{}) {
		t.Fatalf("the order is %v", order)
	}
	s.open <- struct{}{}
	credits(f, p, 68)
	p.Exit(process.Exit{Code: 1})
	f.want(&actors.Exited{ID: id, PID: p.PID(), Exit: process.Exit{Code: 1}})
	if err := <-s.end; !errors.Is(err, actors.ErrResultLost) {
		t.Errorf("closed with %v", err)
	}
	f.wantEnd()
}

// A writer that cannot be opened, or fails, breaks the rank; what comes after it is let go.
func TestResultWriterFails(t *testing.T) {
	processtest.Check(t)
	full := errors.New("no space left on device")
	for name, change := range map[string]func(*actors.Config){
		"open": func(c *actors.Config) {
			c.Result = func(process.ID) (actors.ResultWriter, error) { return nil, full }
		},
		"write": to(&sink{fails: full, end: make(chan error, 2)}),
	} {
		f, p := begun(t, change)
		p.Say(part("one "))
		broken, ok := f.next().(*actors.Broken)
		if !ok || !errors.Is(broken.Err, full) || !strings.Contains(broken.Err.Error(), "result") {
			t.Fatalf("%s: told %+v", name, broken)
		}
		p.Say(part("two "))
		credits(f, p, 2*68)
		p.Return(nil)
		p.Exit(process.Exit{})
		f.want(&actors.Exited{ID: id, PID: p.PID()})
		f.wantEnd()
	}
}

// An actor that ends before its process closes the writer, whatever it is doing.
func TestResultWriterAbandoned(t *testing.T) {
	processtest.Check(t)
	for _, busy := range []bool{false, true} {
		s := newSink()
		s.open = make(chan struct{}, 1)
		f, p := begun(t, to(s))
		p.Say(part("one "))
		if !busy {
			s.open <- struct{}{}
			credits(f, p, 68)
		}
		f.send(&actors.Abandon{Err: errors.New("it does not die")})
		if _, ok := f.next().(*actors.Exited); !ok {
			t.Fatal("no end")
		}
		f.wantEnd()
		s.open <- struct{}{}
		if err := <-s.end; !errors.Is(err, actors.ErrResultLost) {
			t.Errorf("closed with %v", err)
		}
		p.Exit(process.Exit{})
	}
}

// A writer that blocks does not make a process of one that is gone: it is killed at once, and its rank ends.
func TestResultWriterKilled(t *testing.T) {
	processtest.Check(t)
	for _, first := range []string{"exit", "kill"} {
		s := newSink()
		s.open = make(chan struct{})
		f, p := begun(t, to(s))
		p.Say(part("one "))
		if first == "exit" {
			p.Return(nil)
			p.Exit(process.Exit{})
		}
		f.send(&actors.Kill{})
		if first == "kill" {
			if order := p.Order(f.ctx); order != (actors.Kill{}) {
				t.Fatalf("the order is %v", order)
			}
			p.Exit(process.Exit{})
		}
		if e, ok := f.next().(*actors.Exited); !ok || e.Exit.Err != nil {
			t.Errorf("%s: told %+v", first, e)
		}
		f.wantEnd()
		close(s.open)
		<-s.end
	}
}

// A rank whose process is gone while its result is being written is alive.
func TestResultWriterBeats(t *testing.T) {
	processtest.Check(t)
	s := newSink()
	s.open = make(chan struct{})
	f, p := begun(t, func(c *actors.Config) { to(s)(c); c.Heartbeat = time.Millisecond })
	p.Say(part("one "))
	p.Return(nil)
	p.Exit(process.Exit{})
	f.want(&actors.Beat{ID: id}, &actors.Beat{ID: id})
	close(s.open)
	for fact := f.next(); ; fact = f.next() {
		if _, beat := fact.(*actors.Beat); !beat {
			if _, returned := fact.(*actors.Returned); !returned {
				t.Errorf("told %+v", fact)
			}
			break
		}
	}
	f.want(&actors.Exited{ID: id, PID: p.PID()})
	f.wantEnd()
}

// What comes after the Result is no part of it.
func TestPartAfterResult(t *testing.T) {
	processtest.Check(t)
	s := newSink()
	s.open = make(chan struct{})
	f, p := begun(t, to(s))
	p.Say(part("one "))
	p.Return(nil)
	p.Say(part("two "))
	credits(f, p, 68)
	close(s.open)
	f.want(&actors.Returned{ID: id})
	if err := <-s.end; err != nil || s.got.String() != "one " {
		t.Errorf("%q, closed with %v", s.got.String(), err)
	}
	credits(f, p, 68)
	p.Exit(process.Exit{})
	f.want(&actors.Exited{ID: id, PID: p.PID()})
	f.wantEnd()
}

// A panic of the user's writer, and one that is not there, break the rank and nothing else.
func TestResultWriterPanics(t *testing.T) {
	processtest.Check(t)
	for want, open := range map[string]func(process.ID) (actors.ResultWriter, error){
		"no such luck": func(process.ID) (actors.ResultWriter, error) { panic("no such luck") },
		"no writer":    func(process.ID) (actors.ResultWriter, error) { return nil, nil },
	} {
		f, p := begun(t, func(c *actors.Config) { c.Result = open })
		p.Say(part("one "))
		if broken, ok := f.next().(*actors.Broken); !ok || !strings.Contains(broken.Err.Error(), want) {
			t.Errorf("told %+v", broken)
		}
		p.Exit(process.Exit{})
		f.want(&actors.Exited{ID: id, PID: p.PID()})
		f.wantEnd()
	}
}

// A room notes what it is told, and keeps the way to the worker.
type room struct {
	mu   sync.Mutex
	told []string
	post func(transport.Message)
}

func (r *room) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, fmt.Sprintf(format, args...))
}

func (r *room) Opened(id process.ID, post func(transport.Message)) {
	r.note("opened %v", id)
	r.post = post
}

func (r *room) Mailed(id process.ID, m *transport.Mail) {
	r.note("mailed %v %d %s", id, m.Reply, m.Topic)
}

func (r *room) Credited(id process.ID, bytes int) { r.note("credited %v %d", id, bytes) }

// The user's mail goes by its own way, both ways, past the actor, and all of it before the exit.
func TestMail(t *testing.T) {
	processtest.Check(t)
	r := &room{}
	f, p := begun(t, func(c *actors.Config) { c.Mail = r })
	p.Say(&transport.Credit{Bytes: 5})
	for range 2 {
		p.Hello("go")
	}
	f.want(&actors.Hello{ID: id, SDK: "go"})
	p.Say(&transport.Credit{Bytes: 10})
	p.Say(&transport.Mail{Topic: "loss"})
	p.Say(&transport.Mail{Reply: 1})
	for _, want := range []transport.Message{&transport.Mail{ID: 1, Topic: "ask"}, &transport.Credit{Bytes: 68}} {
		r.post(want)
		if got := p.Order(f.ctx); show(got) != show(want) {
			t.Errorf("the order is %s", show(got))
		}
	}
	p.Exit(process.Exit{})
	f.want(&actors.Exited{ID: id, PID: p.PID()})
	f.wantEnd()
	want := "credited 2@1 5, opened 2@1, credited 2@1 10, mailed 2@1 0 loss, mailed 2@1 1 "
	if got := strings.Join(r.told, ", "); got != want {
		t.Errorf("the mailroom was told\n\t%s\nnot\n\t%s", got, want)
	}
}

// Where nobody takes messages, what they cost goes back at once.
func TestMailOfNobody(t *testing.T) {
	processtest.Check(t)
	f, p := begun(t, func(*actors.Config) {})
	p.Hello("go")
	f.want(&actors.Hello{ID: id, SDK: "go"})
	m := &transport.Mail{Topic: "loss"}
	p.Say(&transport.Credit{Bytes: 10})
	p.Say(&transport.Mail{Reply: 1})
	p.Say(m)
	credits(f, p, m.Cost())
	p.Exit(process.Exit{})
	f.want(&actors.Exited{ID: id, PID: p.PID()})
	f.wantEnd()
}

// chatty launches processes that speak before Launch returns.
type chatty struct {
	hasty
	posted chan transport.Message
}

func (c chatty) Launch(_ process.ID, _ process.Command, o process.Observer) (process.Process, error) {
	for _, m := range []transport.Message{&transport.Mail{Topic: "loss"}, &transport.Mail{Topic: "losses"}} {
		o.Message(m)
	}
	if n := len(c.posted); n > 0 {
		return nil, fmt.Errorf("%d orders before there was a process", n)
	}
	defer o.Exited(process.Exit{})
	return listening{dead{}, c.posted}, nil
}

type listening struct {
	dead
	posted chan transport.Message
}

func (l listening) Post(m transport.Message) { l.posted <- m }

// What a process is answered that speaks early waits for it, in order.
func TestMailBeforeLaunch(t *testing.T) {
	processtest.Check(t)
	posted := make(chan transport.Message, 9)
	f := start(t, chatty{posted: posted}, nil)
	f.want(&actors.Started{ID: id, PID: 7}, &actors.Exited{ID: id, PID: 7})
	f.wantEnd()
	close(posted)
	var got []string
	for m := range posted {
		got = append(got, show(m))
	}
	want := []string{show(&transport.Credit{Bytes: 68}), show(&transport.Credit{Bytes: 70})}
	if !slices.Equal(got, want) {
		t.Errorf("it was told %q, not %q", got, want)
	}
}
