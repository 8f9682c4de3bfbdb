package process_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
)

// link is the socket, in a helper.
func link() *os.File { return os.NewFile(3, "link") }

// frame returns one frame with a message.
func frame(m transport.Message) []byte {
	body, err := transport.Marshal(m)
	if err != nil {
		panic(err)
	}
	return transport.AppendFrame(nil, m.Kind(), 0, body)
}

// octal writes bytes as an argument of printf(1).
func octal(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, "\\%03o", c)
	}
	return s.String()
}

var boom = &transport.Exception{
	Type: "ValueError", Module: "builtins", Message: "no learning rate", Traceback: strings.Repeat("a line of it\n", 8),
	Notes: []string{"a note"}, Host: "h",
}

// TestSilence: a command need not know of the socket, and may close it.
func TestSilence(t *testing.T) {
	for _, test := range []struct{ name, script string }{
		{"it ignores the socket", "exit 0"},
		{"it closes the socket", "exec 3>&-; exit 0"},
		{"it reads the socket", "exec 3<&3; exit 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			l, exit := run(t, shell(test.script))
			if !exit.Success() || len(l.messages) > 0 || len(l.broken) > 0 {
				t.Errorf("exit %+v, messages %v, broken %v", exit, l.messages, l.broken)
			}
		})
	}
}

// TestGarble: what is no protocol breaks the link, once, and is no success (G-8).
func TestGarble(t *testing.T) {
	for _, test := range []struct {
		name   string
		bytes  string
		target error // nil: not broken
	}{
		{"a frame that is too long", "\xff\xff\xff\xff\x04\x00", transport.ErrTooLarge},
		{"text", "Traceback (most recent call last):\n", transport.ErrTooLarge},
		{"a frame that is cut off", "\x00\x00\x00\x10\x05\x00ab", process.ErrLink},
		{"half a header", "\x00\x00\x00", process.ErrLink},
		{"a body that is no map: one message is lost, the link stays", "\x00\x00\x00\x01\x03\x00\xc0\x00\x00\x00\x01\x03\x00\x80", nil},
		{"a kind of the future is skipped", "\x00\x00\x00\x01\x63\x00\xc0\x00\x00\x00\x01\x03\x00\x80", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			l, exit := run(t, shell("printf '"+octal([]byte(test.bytes))+"' >&3"))
			if test.target == nil {
				if len(l.broken) > 0 || !exit.Success() || len(l.messages) != 1 {
					t.Errorf("broken %v, exit %+v, messages %v", l.broken, exit, l.messages)
				}
				return
			}
			if len(l.broken) != 1 || exit.Success() || exit.Code != 0 {
				t.Fatalf("broken %v, exit %+v", l.broken, exit)
			}
			for _, err := range []error{l.broken[0], exit.Err, &exit} {
				wantErrorIs(t, err, process.ErrLink)
				wantErrorIs(t, err, test.target)
			}
		})
	}
	t.Run("the exit code says more than a broken link", func(t *testing.T) {
		processtest.Check(t)
		l, exit := run(t, shell(`printf '\377\377\377\377\001\000' >&3; exit 3`))
		if exit.Code != 3 || exit.Err != nil || len(l.broken) != 1 {
			t.Errorf("exit %+v, broken %v", exit, l.broken)
		}
	})
	t.Run("a broken link is told while the process lives", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, shell(`printf '\377\377\377\377\001\000' >&3; exec sleep 60`))
		l.await("the breach", func() bool { return len(l.broken) == 1 })
		if err := l.Signal(0); err != nil {
			t.Error(err)
		}
	})
}

// TestDropped: a message that makes no sense is dropped, and not forgotten: what failed for want of it says so (F-26).
func TestDropped(t *testing.T) {
	junk := "\x00\x00\x00\x02\x04\x00\x81\xc0"
	for _, test := range []struct {
		name, script, says string
	}{
		{"one", "exit 1", "exit status 1, and an unreadable message (transport: malformed message at byte 1: 2 elements announced (Exception dropped))"},
		{"more", "printf '" + octal([]byte(junk)) + "' >&3; exit 3",
			"exit status 3, and an unreadable message, the first of 2 (transport: malformed message at byte 1: 2 elements announced (Exception dropped))"},
		{"no failure", "exit 0", "exit status 0, and an unreadable message (transport: malformed message at byte 1: 2 elements announced (Exception dropped))"},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			l, exit := run(t, shell("printf '"+octal([]byte(junk))+"' >&3; "+test.script))
			if exit.Error() != test.says || len(l.broken)+len(l.messages) > 0 || exit.Success() != (test.name == "no failure") {
				t.Errorf("exit %q, broken %v, messages %v", exit.Error(), l.broken, l.messages)
			}
		})
	}
}

// TestLastWord: of a Result and an Exception the first counts.
func TestLastWord(t *testing.T) {
	result, raised := octal(frame(&transport.Result{Value: []byte{1}})), octal(frame(boom))
	for words, want := range map[string]transport.Kind{
		result + raised: transport.KindResult, raised + result: transport.KindException,
		result + result: transport.KindResult, raised + raised: transport.KindException,
	} {
		processtest.Check(t)
		l, exit := run(t, shell("printf '"+words+"' >&3"))
		if len(l.messages) != 1 || l.messages[0].Kind() != want || !exit.Success() {
			t.Errorf("exit %+v, messages %v, want one %v", exit, l.messages, want)
		}
	}
}

// future speaks a version that we do not know, twice, and then nonsense.
var future = processtest.Helper("speak version 99", func() {
	conn := transport.NewConn(link())
	for range 2 {
		if err := conn.Send(&transport.Hello{Min: 98, Max: 99, PID: os.Getpid(), SDK: "future"}); err != nil {
			panic(err)
		}
	}
	m, err := conn.Recv()
	if err != nil {
		panic(err)
	}
	fmt.Println("version", m.(*transport.Welcome).Version)
	link().Write([]byte("\x00\x00"))
	os.Exit(0)
})

// TestVersion: no version in common is told to both sides, once.
func TestVersion(t *testing.T) {
	processtest.Check(t)
	l, exit := run(t, processtest.Command(t, future))
	if len(l.broken) != 1 {
		t.Fatalf("broken %v, exit %+v, %s", l.broken, exit, l.stderr())
	}
	wantErrorIs(t, l.broken[0], transport.ErrVersion)
	wantErrorIs(t, exit.Err, transport.ErrVersion)
	if want := "process: protocol violation: transport: no protocol version in common: " +
		"the worker speaks 98 to 99, we speak 1"; exit.Err.Error() != want {
		t.Errorf("%q", exit.Err)
	}
	if l.stdout() != "version 0\n" {
		t.Errorf("the worker was told %q", l.stdout())
	}
}

// TestException: an exception that was written is delivered whole, even if the process is killed the moment after (T19).
func TestException(t *testing.T) {
	processtest.Check(t)
	l, exit := run(t, shell("printf '"+octal(frame(boom))+"' >&3; kill -9 $$"))
	all := l.exceptions()
	if len(all) != 1 || exit.Signal != syscall.SIGKILL || len(l.broken) > 0 {
		t.Fatalf("exceptions %v, exit %+v, broken %v", all, exit, l.broken)
	}
	x := all[0]
	if x.Message != boom.Message || x.Truncated || x.Rank != 3 || x.Generation != 1 || x.PID != l.PID() {
		t.Errorf("%+v", x)
	}
}

// TestCutOff: a process that is killed after any number of bytes of an exception. What arrived is delivered, marked; a
// rest without meaning breaks the link; and the signal is told in any case (G-5, T18).
func TestCutOff(t *testing.T) {
	processtest.Check(t)
	whole := frame(boom)
	const parallel = 4
	lives := make([]life, 0, parallel)
	check := func(n int, l life) {
		exit, all := l.awaitExit(), l.exceptions()
		if exit.Signal != syscall.SIGKILL || exit.Err != nil {
			t.Errorf("%d bytes: exit %+v", n, exit)
		}
		if told := len(all) + len(l.broken); told > 1 || told == 0 && n > 0 {
			t.Errorf("%d bytes: exceptions %v, broken %v", n, all, l.broken)
		}
		if len(all) == 0 {
			return
		}
		x := all[0]
		if !strings.HasPrefix(boom.Type, x.Type) || !strings.HasPrefix(boom.Message, x.Message) ||
			!strings.HasPrefix(boom.Traceback, x.Traceback) || x.PID != l.PID() {
			t.Errorf("%d bytes: %+v", n, x)
		}
		if x.Truncated != (n < len(whole)) {
			t.Errorf("%d of %d bytes: truncated %v", n, len(whole), x.Truncated)
		}
		if n > len(whole)/2 && x.Message != boom.Message {
			t.Errorf("%d bytes: the message is lost", n)
		}
	}
	for n := 0; n <= len(whole); n += parallel {
		lives = lives[:0]
		for k := n; k < min(n+parallel, len(whole)+1); k++ {
			lives = append(lives, launch(t, shell(`printf "$1" >&3; kill -9 $$`, octal(whole[:k]))))
		}
		for i, l := range lives {
			check(n+i, l)
		}
	}
}

// unread ends with data of its parent unread in its queue: the kernel then reports a reset in place of an end.
var unread = processtest.Helper("die without reading", func() {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("ready")
	poll := []unix.PollFd{{Fd: 3, Events: unix.POLLIN}}
	if _, err := unix.Poll(poll, -1); err != nil {
		panic(err)
	}
	link().Write(frame(boom))
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
})

// TestReset: the last word is not lost when the process dies with something of ours unread (T20).
func TestReset(t *testing.T) {
	processtest.Check(t)
	for i := range 8 {
		c := processtest.Command(t, unread)
		if i%2 == 0 {
			c.Argument = []byte("\xc0")
		}
		l := launch(t, c)
		if i%2 == 1 {
			l.awaitOutput(process.Stdout, "ready")
			l.Stop("test", time.Minute)
		}
		exit, all := l.awaitExit(), l.exceptions()
		if exit.Signal != syscall.SIGKILL || len(all) != 1 || all[0].Message != boom.Message || len(l.broken) > 0 {
			t.Fatalf("round %d: exit %+v, exceptions %v, broken %v", i, exit, all, l.broken)
		}
	}
}

// big is an argument that fits into no socket.
var big = make([]byte, 8<<20)

// talkative says Hello and then two megabytes before it reads a byte.
var talkative = processtest.Helper("write before reading", func() {
	conn := transport.NewConn(link())
	for _, m := range []transport.Message{
		&transport.Hello{Min: 1, Max: 1}, &transport.Result{Value: make([]byte, 2<<20)},
	} {
		if err := conn.Send(m); err != nil {
			panic(err)
		}
	}
	for {
		m, err := conn.Recv()
		if err != nil {
			panic(err)
		}
		if a, ok := m.(*transport.Argument); ok {
			fmt.Println(len(a.Value), "bytes")
			return
		}
	}
})

// TestBothWrite: both sides write more than the socket holds before they read; neither waits for ever (T21).
func TestBothWrite(t *testing.T) {
	processtest.Check(t)
	c := processtest.Command(t, talkative)
	c.Argument = big
	l, exit := run(t, c)
	if exit.Code != 0 || l.stdout() != fmt.Sprintln(len(big), "bytes") {
		t.Errorf("exit %+v after %s", exit, l.dump())
	}
}

// TestNobodyReads: an argument that is never read delays nothing and nobody.
func TestNobodyReads(t *testing.T) {
	t.Run("the process ends by itself", func(t *testing.T) {
		processtest.Check(t)
		c := shell("exit 0")
		c.Argument = big
		if _, exit := run(t, c); !exit.Success() {
			t.Errorf("exit %+v", exit)
		}
	})
	t.Run("it is stopped", func(t *testing.T) {
		processtest.Check(t)
		c := shell("echo ready; exec sleep 60")
		c.Argument = big
		l := launch(t, c)
		l.awaitOutput(process.Stdout, "ready")
		l.Stop("test", time.Minute)
		if exit := l.awaitExit(); exit.Signal != syscall.SIGTERM {
			t.Errorf("exit %+v", exit)
		}
	})
	t.Run("it is killed", func(t *testing.T) {
		processtest.Check(t)
		c := shell("trap '' TERM; echo ready; sleep 60")
		c.Argument = big
		l := launch(t, c)
		l.awaitOutput(process.Stdout, "ready")
		l.Stop("test", time.Millisecond)
		l.Kill()
		if exit := l.awaitExit(); exit.Signal != syscall.SIGKILL {
			t.Errorf("exit %+v", exit)
		}
	})
	t.Run("an escaped process holds the socket, and has said hello", func(t *testing.T) {
		processtest.Check(t)
		hello := octal(frame(&transport.Hello{Min: 1, Max: 1}))
		c := shell(`mkfifo $1; setsid sh -c 'echo > $1; exec sleep 60' sh $1 & read -r x < $1; printf '`+hello+`' >&3`,
			t.TempDir()+"/fifo")
		c.Argument = big
		start := time.Now()
		l := launch(t, c)
		exit := l.awaitExit()
		if took := l.exitedAt.Sub(start); took > quick || exit.Code != 0 || len(exit.Left) != 1 {
			t.Fatalf("after %v: exit %+v", took, exit)
		}
		_ = process.SendTo(exit.Left[0].PID, syscall.SIGKILL)
	})
}

// TestPlain: a plain command has no socket.
func TestPlain(t *testing.T) {
	processtest.Check(t)
	c := shell("readlink /proc/$$/fd/3; echo fd=$MUSTER_FD")
	c.Plain = true
	c.Argument = []byte("\xc0") // nobody to tell
	l, exit := run(t, c)
	if l.stdout() != "fd=\n" || !exit.Success() {
		t.Errorf("exit %+v after %q", exit, l.stdout())
	}
}

// TestReadError: the end is an end, whatever the reader meets there.
func TestReadError(t *testing.T) {
	processtest.Check(t)
	l := launch(t, shell("exec sleep 60"))
	l.Kill()
	exit := l.awaitExit()
	if len(l.broken) > 0 || errors.Is(exit.Err, io.ErrUnexpectedEOF) {
		t.Errorf("broken %v, exit %+v", l.broken, exit)
	}
}

// Who cannot come up, as it has no socket any more, or never had one, does not hold up the arguments of others.
func TestNeverUp(t *testing.T) {
	processtest.Check(t)
	sh := func(script string, plain bool) process.Command {
		return process.Command{Args: []string{"sh", "-c", script}, Plain: plain, Argument: []byte{0xc0}}
	}
	launch(t, sh("sleep 1000", true))
	if process.Launching() != nil {
		t.Error("a launch without a socket goes on")
	}
	l := launch(t, sh("exec 3>&-; echo closed; sleep 1000", false))
	l.awaitOutput(process.Stdout, "closed")
	if quiet := process.Launching(); quiet != nil {
		select {
		case <-quiet:
		case <-time.After(patience):
			t.Error("the launch goes on, though nobody can say Hello")
		}
	}
}
