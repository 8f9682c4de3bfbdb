package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// hostile says what it is told to on the socket, as no SDK would, and ends or waits for its end.
var hostile = processtest.Helper("hostile", func() { attacks[os.Args[1]]() })

// tell writes one message, whatever its limits.
func tell(m transport.Message) {
	body, err := transport.Marshal(m)
	check(err)
	write(transport.AppendFrame(nil, m.Kind(), 0, body))
}

func value(v any) []byte {
	b, err := transport.Marshal(v)
	check(err)
	return b
}

// attacks are what a rank may do with its socket. What breaks the protocol then waits for its end.
var attacks = map[string]func(){
	"a frame that is too long": func() { write([]byte("\x00\x10\x00\x01\x04\x00")); hang() },
	"text":                     func() { write([]byte("Traceback (most recent call last):\n")); hang() },
	"another version":          func() { tell(&transport.Hello{Min: 98, Max: 99}); hang() },
	"a part without credit":    func() { tell(&transport.Part{Value: []byte{1}}); hang() },
	"mail without credit":      func() { tell(&transport.Mail{Topic: "muster.set"}); hang() },
	"a hole in the result": func() {
		tell(&transport.Hello{Min: 1, Max: 1})
		write(transport.AppendFrame(nil, transport.KindPart, 0, []byte{0xc0}))
		hang()
	},
	"a flood of nonsense": func() {
		for frame := transport.AppendFrame(nil, transport.KindMail, 0, []byte{0xc1}); ; {
			write(frame)
		}
	},
	"a flood of messages": func() {
		tell(&transport.Hello{Min: 1, Max: 1})
		var flood []byte
		for i := range 100 {
			for _, m := range []transport.Message{
				&transport.Hello{Min: 1, Max: 1}, &transport.Ready{}, &transport.Heartbeat{Seq: i}, &transport.Progress{Count: uint64(i)},
				&transport.Dump{Text: "nobody asked"}, &transport.Mail{Reply: i + 1}, &transport.Credit{Bytes: 1}, &transport.Welcome{},
				&transport.Stop{}, &transport.Argument{},
			} {
				flood = transport.AppendFrame(flood, m.Kind(), 0, value(m))
			}
			flood = transport.AppendFrame(flood, 200, byte((i+1)%2), []byte("of the future"))
		}
		for range 200 {
			write(flood)
		}
	},
	"a byte at a time": func() {
		frame := transport.AppendFrame(nil, transport.KindResult, 0, value(&transport.Result{Value: value("slow")}))
		wake := make(chan os.Signal, 1)
		signal.Notify(wake, syscall.SIGUSR1)
		for i := range frame {
			fmt.Println("byte", i)
			<-wake
			write(frame[i : i+1])
		}
	},
	"two results": func() {
		tell(&transport.Result{Value: value("first")})
		tell(&transport.Result{Value: value("second")})
	},
	"a result, then an exception": func() {
		tell(&transport.Result{Value: value("first")})
		tell(&transport.Exception{Type: "Late", Message: "second"})
	},
	"an exception, then a result": func() {
		tell(&transport.Exception{Type: "Early", Message: "first"})
		tell(&transport.Result{Value: value("second")})
	},
	"of another rank and generation": func() {
		tell(&transport.Exception{Type: "Liar", Rank: 1, Generation: 7, PID: 1, Host: "elsewhere"})
		os.Exit(1)
	},
}

// siege starts a group of a rank that is hostile and a clerk, which goes on when the other one fails.
func siege(t *testing.T, attack string) (*trial, func()) {
	t.Helper()
	if attacks[attack] == nil {
		t.Fatalf("nobody knows how to do %q", attack)
	}
	in := newInbox()
	spec := supervisor.Spec{Ranks: []process.Command{processtest.Command(t, hostile, attack), process.Reexec(clerk.Name())}}
	spec.Ranks[1].Argument = value("clerk")
	spec.Strategy = supervisor.StrategyFunc(func(supervisor.State, *supervisor.Failure) supervisor.Directive {
		return supervisor.Directive{Action: supervisor.Drop}
	})
	x := begin(t, spec, supervisor.WithMessages(in.take))
	asked := 0
	return x, func() {
		t.Helper()
		var answer string
		err := x.group.Request(t.Context(), 1, "ask", "still there?", &answer)
		if want := fmt.Sprintf("%d: still there? from rank 1", asked); err != nil || answer != want {
			t.Errorf("the clerk says %q, want %q: %v", answer, want, err)
		}
		asked++
	}
}

// dismiss ends the clerk, which has lived through it all in its first life.
func dismiss(t *testing.T, x *trial) {
	t.Helper()
	if err := x.group.Tell(t.Context(), 1, "end", "well"); err != nil {
		t.Error(err)
	}
	_ = x.end()
	if r := x.group.Report().Ranks[1]; r.Outcome != supervisor.Succeeded || r.Generation != 0 {
		t.Errorf("the clerk: %+v", r)
	}
}

// Who breaks the protocol is killed, and reported for that; the other rank does not notice (protoactor.md §7.4, F-26).
func TestProtocolViolation(t *testing.T) {
	for attack, says := range map[string]string{
		"a frame that is too long": "transport: larger than the protocol allows: a frame of 1048577 bytes",
		"text":                     "transport: larger than the protocol allows: a frame of 1416782179 bytes",
		"another version":          "transport: no protocol version in common: the worker speaks 98 to 99, we speak 1",
		"a part without credit":    "a Part without credit",
		"mail without credit":      "a Mail without credit",
		"a hole in the result":     "transport: malformed message: the body is not a map (Part dropped)",
		"a flood of nonsense": "more than 1000 messages that make no sense, the last: transport: malformed message: the body is not a map " +
			"(Mail dropped)",
	} {
		t.Run(attack, func(t *testing.T) {
			x, ask := siege(t, attack)
			ask()
			e := x.event(supervisor.EventFailed, 0)
			if want := "rank 0@0: process: protocol violation: " + says; e.Failure.Error() != want || !errors.Is(e.Failure, process.ErrLink) {
				t.Errorf("%v, want %s", e.Failure, want)
			}
			x.event(supervisor.EventExited, 0)
			ask()
			dismiss(t, x)
			if exit := x.rank(0).Exit; !exit.Stopped || exit.Signal == 0 {
				t.Errorf("the offender: %v", exit)
			}
		})
	}
}

// What is odd, and no violation: the first word counts, who says it is known, and neither much nor slow is an offence.
func TestOddRanks(t *testing.T) {
	for _, test := range []struct{ attack, raised, result string }{
		{"a flood of messages", "", ""},
		{"two results", "", "first"},
		{"a result, then an exception", "", "first"},
		{"an exception, then a result", "Early: first", ""},
		{"of another rank and generation", "Liar", ""},
	} {
		t.Run(test.attack, func(t *testing.T) {
			x, ask := siege(t, test.attack)
			ask()
			x.event(supervisor.EventExited, 0)
			ask()
			dismiss(t, x)
			raised := ""
			for _, f := range x.group.Report().Failures {
				if f.Exception == nil {
					t.Fatal(f)
				}
				if raised = f.Exception.Error(); f.Rank != 0 || f.Generation != 0 || f.Exception.Rank != 0 || f.Exception.PID != f.PID {
					t.Errorf("failure %+v", f)
				}
			}
			result := ""
			if b := x.group.Results()[0]; b != nil {
				check(transport.Unmarshal(b, &result))
			}
			if raised != test.raised || result != test.result {
				t.Errorf("raised %q, result %q", raised, result)
			}
		})
	}
	t.Run("a byte at a time", func(t *testing.T) {
		x, ask := siege(t, "a byte at a time")
		slow := hold(t, x.event(supervisor.EventStarted, 0).PID)
		for i := range len(value(&transport.Result{Value: value("slow")})) + 6 {
			x.line(process.ID{}, fmt.Sprint("byte ", i))
			ask()
			slow.signal(t, syscall.SIGUSR1)
		}
		x.event(supervisor.EventExited, 0)
		dismiss(t, x)
		var result string
		if err := transport.Unmarshal(x.group.Results()[0], &result); err != nil || result != "slow" {
			t.Errorf("result %q, %v", result, err)
		}
	})
}

// poison is the table of protoactor.md §7.4: what kills or bloats the bare decoder.
var poison = map[string]string{
	"array of 4 G":            "\xdd\xff\xff\xff\xff",
	"map of 4 G":              "\xdf\xff\xff\xff\xff",
	"bytes of 4 G":            "\xc6\xff\xff\xff\xff",
	"text of 4 G":             "\xdb\xff\xff\xff\xff",
	"extension of 4 G":        "\xc9\xff\xff\xff\xff\x01",
	"arrays of 64 K":          strings.Repeat("\xdc\xff\xff", 1000),
	"1 M arrays":              strings.Repeat("\x91", 1e6-100) + "\xc0",
	"a chain of causes":       strings.Repeat("\x81\xa5cause", 1e5) + "\x80",
	"empty maps":              "\xdd\x00\x0f\x00\x00" + strings.Repeat("\x80", 0xf0000),
	"a key of a bad type":     "\x81\x91\x01\x01",
	"an extension for a map":  "\xd7\xff\xdf\xea\x13\x00\x00\xff\x00\x00",
	"a timestamp for nothing": "\xd6\xff\x00\x00\x00\x00",
	"nil":                     "\xc0",
}

// poisoner puts one poison everywhere that has room for one: in each key of messages, in mail, in its result.
var poisoner = worker.Func("poisoner", func(ctx context.Context, _ worker.Info, name string) (msgpack.RawMessage, error) {
	dose := msgpack.RawMessage(poison[name])
	if err := worker.Tell(ctx, "gift", dose); err != nil {
		return nil, err
	}
	if len(dose) < 1<<10 {
		for i, topic := range []string{"set", "get", "broadcast", "cancel"} {
			tell(&transport.Mail{ID: 1<<20 + i, Topic: "muster." + topic, Value: dose})
		}
	}
	keys := []string{"type", "frames", "cause", "notes", "members", "attributes", "bases", "value", "rank", "count", "id", "bytes", "nobody's"}
	for kind := range transport.Kind(14) {
		for _, key := range keys {
			body := append(append([]byte{0x81, 0xa0 | byte(len(key))}, key...), dose...)
			if kind != transport.KindResult && len(body) <= transport.MaxFrame {
				write(transport.AppendFrame(nil, kind, 0, body))
			}
		}
	}
	return dose, nil
})

// besieged is a supervisor of all poisoners. It reads all that they give it into whatever there may be, and prints how the group
// ended, how many gifts there were, and how much memory it ever had, in KiB.
var besieged = processtest.Helper("besieged", func() {
	var spec supervisor.Spec
	for name := range poison {
		c := process.Reexec(poisoner.Name())
		c.Argument = value(name)
		spec.Ranks = append(spec.Ranks, c)
	}
	spec.Strategy = supervisor.StrategyFunc(func(supervisor.State, *supervisor.Failure) supervisor.Directive {
		return supervisor.Directive{Action: supervisor.Ignore}
	})
	spec.Ordered = true
	open := func(b []byte) {
		for _, into := range []any{new(any), new(map[string]any), new(map[any]any), new([]transport.Frame), new(transport.Exception), new([]byte)} {
			_ = transport.Unmarshal(b, into)
		}
	}
	gifts := 0
	g, err := supervisor.Start(context.Background(), spec, supervisor.WithMessages(func(m *supervisor.Message) {
		if m.Topic == "gift" {
			gifts++
		}
		open(m.Value)
	}))
	check(err)
	err = g.Wait()
	for _, b := range g.Results() {
		open(b)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Println(err == nil, gifts, memory.Sys>>10) // never less than before, and without what the race detector adds
})

// Whatever the ranks send, their supervisor stays as it was (protoactor.md §7.4).
func TestPoison(t *testing.T) {
	x := begin(t, supervisor.Spec{Ranks: []process.Command{within(t, 3<<30, processtest.Command(t, besieged))}})
	if err := x.end(); err != nil {
		if x.rank(0).Exit.Code == 9 {
			t.Skipf("no process can be limited here: %s", x.rank(0).Exit.Stderr)
		}
		t.Fatalf("%v\n%s", err, x.rank(0).Exit.Stderr)
	}
	var well bool
	var gifts, peak int
	line := x.line(process.ID{}, "")
	if _, err := fmt.Sscan(line, &well, &gifts, &peak); err != nil || !well || gifts != len(poison) || peak > 1<<20 {
		t.Errorf("%q: it ended well: %v, %d gifts, %d KiB of memory", line, well, gifts, peak)
	}
	t.Logf("the supervisor had at most %d MiB", peak>>10)
}
