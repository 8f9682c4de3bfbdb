package process_test

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
)

// greedy spends its credit in parts, and one more than it has when it is told to.
var greedy = processtest.Helper("spend credit", func() {
	conn := transport.NewConn(link())
	orPanic(conn.Send(&transport.Hello{Min: 1, Max: 1, PID: os.Getpid(), SDK: "greedy"}))
	m, err := conn.Recv()
	orPanic(err)
	part := &transport.Part{Value: bytes.Repeat([]byte{1}, transport.MaxPart)}
	credit := m.(*transport.Welcome).Credit
	spend := func() {
		for ; credit > 0; credit -= part.Cost() {
			orPanic(conn.Send(part))
		}
	}
	spend()
	if os.Args[1] == "unfair" {
		orPanic(conn.Send(part))
		os.Exit(0)
	}
	m, err = conn.Recv()
	orPanic(err)
	credit += m.(*transport.Credit).Bytes
	spend()
	os.Exit(0)
})

func orPanic(err error) {
	if err != nil {
		panic(err)
	}
}

// TestCredit: who stays within its credit gets more; who does not has broken the link, and what it sent is not taken.
func TestCredit(t *testing.T) {
	t.Run("fair", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, processtest.Command(t, greedy, "fair"))
		parts := func() (n int) {
			for _, m := range l.messages {
				if m.Kind() == transport.KindPart {
					n++
				}
			}
			return n
		}
		l.await("all of the first credit", func() bool { return parts() == 4 })
		l.Post(&transport.Credit{Bytes: 2 * transport.MaxPart})
		if exit := l.awaitExit(); !exit.Success() || parts() != 6 || len(l.broken) > 0 {
			t.Errorf("exit %+v, %d parts, broken %v", exit, parts(), l.broken)
		}
	})
	t.Run("unfair", func(t *testing.T) {
		processtest.Check(t)
		l, exit := run(t, processtest.Command(t, greedy, "unfair"))
		if len(l.broken) != 1 || exit.Success() || len(l.messages) != 5 {
			t.Fatalf("exit %+v, %d messages, broken %v", exit, len(l.messages), l.broken)
		}
		wantErrorIs(t, l.broken[0], process.ErrLink)
		if !strings.Contains(l.broken[0].Error(), "Part without credit") {
			t.Errorf("broken: %v", l.broken[0])
		}
	})
}

// echo answers mail with the same.
var echo = processtest.Helper("echo mail", func() {
	conn := transport.NewConn(link())
	orPanic(conn.Send(&transport.Hello{Min: 1, Max: 1, PID: os.Getpid(), SDK: "echo"}))
	for last := 0; last < 300; {
		m, err := conn.Recv()
		orPanic(err)
		if mail, ok := m.(*transport.Mail); ok {
			if last++; mail.ID != last {
				panic(fmt.Sprintf("mail %d in place of %d", mail.ID, last))
			}
			orPanic(conn.Send(&transport.Mail{Reply: mail.ID, Value: mail.Value}))
		}
	}
	os.Exit(0)
})

// TestPost: what is posted arrives in order, by more than the socket holds; to whom does not speak it is nothing.
func TestPost(t *testing.T) {
	processtest.Check(t)
	l := launch(t, processtest.Command(t, echo))
	for n := range 300 {
		l.Post(&transport.Mail{ID: n + 1, Value: bytes.Repeat([]byte{byte(n)}, 4<<10)})
	}
	if exit := l.awaitExit(); !exit.Success() || len(l.messages) != 301 {
		t.Fatalf("exit %+v, %d messages", exit, len(l.messages))
	}
	for n, m := range l.messages[1:] {
		if mail := m.(*transport.Mail); mail.Reply != n+1 || mail.Value[0] != byte(n) {
			t.Fatalf("answer %d is to %d", n+1, mail.Reply)
		}
	}
	l.Post(&transport.Mail{ID: 1})
	plain := shell("exit 0")
	plain.Plain = true
	p := launch(t, plain)
	p.Post(&transport.Mail{ID: 1})
	if exit := p.awaitExit(); !exit.Success() {
		t.Errorf("exit %+v", exit)
	}
}

// deaf says hello and the bytes it is given, and reads nothing until it is asked to end.
var deaf = processtest.Helper("read nothing", func() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	conn := transport.NewConn(link())
	orPanic(conn.Send(&transport.Hello{Min: 1, Max: 1, PID: os.Getpid(), SDK: "deaf"}))
	<-ended
	os.Exit(0)
})

// TestUnread: a worker that does not read what it asks for breaks the link in the end; credit does not pile up either.
func TestUnread(t *testing.T) {
	processtest.Check(t)
	l := launch(t, processtest.Command(t, deaf))
	l.await("hello", func() bool { return len(l.messages) == 1 })
	value := make([]byte, transport.MaxMail)
	for n := range 300 {
		l.Post(&transport.Mail{Reply: n + 1, Value: value})
		l.Post(&transport.Credit{Bytes: 1})
	}
	l.await("the breach", func() bool { return len(l.broken) == 1 })
	wantErrorIs(t, l.broken[0], process.ErrLink)
	if !strings.Contains(l.broken[0].Error(), "does not read") {
		t.Errorf("broken: %v", l.broken[0])
	}
	l.Stop("enough", 0)
	l.awaitExit()
}

// holed sends a piece of its result that is none, between two that are.
var holed = processtest.Helper("a result with a hole", func() {
	conn := transport.NewConn(link())
	orPanic(conn.Send(&transport.Hello{Min: 1, Max: 1, PID: os.Getpid(), SDK: "holed"}))
	_, err := conn.Recv()
	orPanic(err)
	for _, size := range []int{1, transport.MaxPart + 1, 1} {
		orPanic(conn.Send(&transport.Part{Value: make([]byte, size)}))
	}
	orPanic(conn.Send(&transport.Result{}))
	os.Exit(0)
})

// TestHole: a result of which a piece had to be dropped is no success (G-8).
func TestHole(t *testing.T) {
	processtest.Check(t)
	l, exit := run(t, processtest.Command(t, holed))
	if len(l.broken) != 1 || exit.Success() {
		t.Fatalf("exit %+v, broken %v", exit, l.broken)
	}
	wantErrorIs(t, l.broken[0], transport.ErrMalformed)
}
