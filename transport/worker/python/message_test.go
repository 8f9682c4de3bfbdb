package python

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/go-muster/muster/transport"
)

// greeting is what a supervisor says that takes messages.
var greeting = transport.Welcome{Version: 1, Credit: transport.MailWindow}

// startRank starts a script that has been welcomed, and is at its first line.
func startRank(t testing.TB, p executable, script string, options ...string) *worker {
	t.Helper()
	w := startScript(t, p, script, options...)
	w.greet(t, greeting)
	expect[*transport.Ready](t, w)
	return w
}

// say sends the worker messages.
func (w *worker) say(t testing.TB, all ...transport.Message) {
	t.Helper()
	for _, m := range all {
		if err := w.conn.Send(m); err != nil {
			t.Fatal(err)
		}
	}
}

// packed is the encoding of a value.
func packed(t testing.TB, v any) []byte {
	t.Helper()
	b, err := transport.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unpacked is the value of an encoding.
func unpacked(t testing.TB, b []byte) (v any) {
	t.Helper()
	if err := transport.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestReport: what was reported last is the result of a program that ends well, however it does, and of no other.
func TestReport(t *testing.T) {
	const script = `
import muster, sys
muster.report("first")
muster.report({"loss": [0.5, -1e300, None, True], "n": (1, -2, 1 << 63), "raw": b"\x00\xff", "text": "\u5b66", "none": {}})
`
	want := map[string]any{
		"loss": []any{0.5, -1e300, nil, true}, "n": []any{int8(1), int8(-2), uint64(1 << 63)}, "raw": []byte{0, 255},
		"text": "学", "none": map[string]any{},
	}
	for end, last := range map[string]string{
		"": "Result", "sys.exit(0)": "Result", "sys.exit()": "Result", "sys.exit(3)": "Ready", "1 / 0": "Exception",
		"muster.report({1})": "Exception", "import os; os._exit(0)": "Ready",
	} {
		t.Run(end, func(t *testing.T) {
			eachPython(t, func(t *testing.T, p executable) {
				all := startScript(t, p, script+end).rest(t)
				if got := lastOf(all).Kind().String(); got != last {
					t.Fatalf("the last word is %s, want %s", got, last)
				}
				if r, ok := lastOf(all).(*transport.Result); ok && !reflect.DeepEqual(unpacked(t, r.Value), want) {
					t.Errorf("got %#v", unpacked(t, r.Value))
				}
			})
		})
	}
}

// TestReportLarge: a large result comes in parts, as there is credit for them, and beside it what else there is to say. E14.
func TestReportLarge(t *testing.T) {
	const size = 3 << 20
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, fmt.Sprintf("import muster\nmuster.report(bytes(n %% 251 for n in range(%d)))", size))
		expect[*transport.Hello](t, w)
		w.say(t, &transport.Welcome{Version: 1, Credit: 1, Dumps: true})
		expect[*transport.Ready](t, w)
		first := expect[*transport.Part](t, w)
		whole := slices.Clone(first.Value)
		w.say(t, &transport.Dump{})
		expect[*transport.Dump](t, w) // in place of the second part, for which there is no credit
		w.say(t, &transport.Credit{Bytes: first.Cost()})
		for m := w.recv(t); m != nil; m = w.recv(t) {
			switch m := m.(type) {
			case *transport.Part:
				whole = append(whole, m.Value...)
				_ = w.conn.Send(&transport.Credit{Bytes: m.Cost()}) // it may be gone
			case *transport.Result:
				whole = append(whole, m.Value...)
			default:
				t.Fatalf("got %T", m)
			}
		}
		value, ok := unpacked(t, whole).([]byte)
		if !ok || len(value) != size {
			t.Fatalf("%d bytes", len(value))
		}
		for n, b := range value {
			if b != byte(n%251) {
				t.Fatalf("byte %d is %d", n, b)
			}
		}
	})
}

// TestTell: messages come in order, and no more of them than there is credit for.
func TestTell(t *testing.T) {
	const script = `
import muster
for n in range(40):
    muster.tell("line", n)
    muster.progress(n)
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script)
		w.greet(t, transport.Welcome{Version: 1, Credit: 10*69 - 68}) // a message of 69 bytes may go while there is one
		seen, ended := 0, false
		for m := w.recv(t); m != nil; m = w.recv(t) {
			switch m := m.(type) {
			case *transport.Mail:
				if m.Topic != "line" || m.ID != 0 || string(m.Value) != string(packed(t, seen)) || m.Cost() != 69 {
					t.Fatalf("message %d is %+v", seen, m)
				}
				if seen++; seen%10 == 0 && seen < 40 {
					w.say(t, &transport.Dump{}, &transport.Credit{Bytes: 690})
				}
			case *transport.Progress:
				if n := int(m.Count); n/10 > (seen-1)/10 { // it was told after message n
					t.Fatalf("%d were told, and only %d came", n, seen)
				}
			case *transport.Result:
				ended = true
			}
		}
		if seen != 40 || !ended {
			t.Errorf("%d messages, end: %v", seen, ended)
		}
	})
}

// TestTellTimeout: without credit nothing is sent, and the program hears of it in time.
func TestTellTimeout(t *testing.T) {
	const script = `
import muster
for timeout in (0, -1, 0.001, 1e-9):
    try: muster.tell("line", 1, timeout=timeout)
    except TimeoutError as e: print(e)
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, script)
		if got := kinds(w.rest(t)); got != "Hello Ready Result" {
			t.Errorf("got %s", got)
		}
		want := strings.Repeat("muster: the supervisor has no room for a message within the time\n", 4)
		if got := w.wait(); got != (end{"exit status 0", want, ""}) {
			t.Errorf("got %+v", got)
		}
	})
}

// TestRequest: answers find those who asked, in whatever order they come, and be it never.
func TestRequest(t *testing.T) {
	const script = `
import muster, threading
def ask(n):
    got[n] = muster.request("ask", n)
got = {}
threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
for t in threads: t.start()
for t in threads: t.join()
assert got == {0: "0", 1: "1", 2: "2"}, got
try: muster.request("ask", 3)
except muster.Refused as e: assert str(e) == "no such shard", e
try: muster.request("ask", 4, timeout=0.01)
except TimeoutError as e: assert "'ask'" in str(e), e
assert muster.request("ask", 5) is None
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startRank(t, p, script)
		var asked []*transport.Mail
		for range 3 {
			asked = append(asked, expect[*transport.Mail](t, w))
		}
		for _, m := range slices.Backward(asked) {
			n := unpacked(t, m.Value)
			w.say(t, &transport.Mail{Reply: 99, Value: []byte{1}}, &transport.Mail{Reply: m.ID, Value: packed(t, fmt.Sprint(n))})
		}
		w.say(t, &transport.Mail{Reply: expect[*transport.Mail](t, w).ID, Error: "no such shard"})
		late := expect[*transport.Mail](t, w)
		cancel := expect[*transport.Mail](t, w)
		if cancel.Topic != "muster.cancel" || string(cancel.Value) != string(packed(t, late.ID)) || cancel.ID != 0 {
			t.Errorf("got %+v", cancel)
		}
		w.say(t, &transport.Mail{Reply: late.ID, Value: []byte{1}})
		w.say(t, &transport.Mail{Reply: expect[*transport.Mail](t, w).ID, Value: []byte{0xc0}})
		if got := kinds(w.rest(t)); got != "Result" {
			t.Errorf("then %s; %s", got, w.wait().stderr)
		}
	})
}

// TestMessages: messages come in order, are answered once, are paid back by the quarter of the window, and end when the rank is
// asked to stop. Nothing comes before the program wants it.
func TestMessages(t *testing.T) {
	const script = `
import muster, sys
muster.progress(1)
sys.stdin.readline()
for m in muster.messages():
    if m.topic == "refuse": m.fail(KeyError("shard"))
    elif m.topic == "large": continue
    elif m.wanted:
        try: m.reply({1})
        except TypeError: pass
        m.reply([m.topic, m.value])
        try: m.reply(0)
        except RuntimeError: pass
    else: muster.tell("noted", repr(m.value))
assert list(muster.messages()) == []
muster.report("stopped")
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startRank(t, p, script)
		expect[*transport.Progress](t, w)
		fmt.Fprintln(w.stdin)
		if c := expect[*transport.Credit](t, w); c.Bytes != transport.MailWindow {
			t.Fatalf("a credit of %d bytes", c.Bytes)
		}
		w.say(t, &transport.Mail{ID: 1, Topic: "ask", Value: packed(t, 1.5)}, &transport.Mail{Topic: "note"},
			&transport.Mail{ID: 2, Topic: "refuse"}, &transport.Mail{ID: 3, Value: packed(t, float32(0.25))})
		for _, want := range []transport.Mail{
			{Reply: 1, Value: packed(t, []any{"ask", 1.5})}, {Topic: "noted", Value: packed(t, "None")},
			{Reply: 2, Error: "'shard'"}, {Reply: 3, Value: packed(t, []any{"", 0.25})},
		} {
			m := expect[*transport.Mail](t, w)
			got := transport.Mail{ID: m.ID, Reply: m.Reply, Topic: m.Topic, Value: m.Value, Error: m.Error}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		large := &transport.Mail{Topic: "large", Value: packed(t, make([]byte, 100<<10))}
		for range 5 {
			w.say(t, large, large, large)
			if c := expect[*transport.Credit](t, w); c.Bytes < 3*large.Cost() || c.Bytes > 3*large.Cost()+1000 {
				t.Errorf("a credit of %d bytes for %d", c.Bytes, 3*large.Cost())
			}
		}
		w.say(t, &transport.Stop{Reason: "enough", Grace: 1e9})
		if r := expect[*transport.Result](t, w); string(r.Value) != string(packed(t, "stopped")) {
			t.Errorf("the result is %q", r.Value)
		}
	})
}

// TestStopBeforeMessages: a rank that was asked to stop before it wanted messages gets none, however it came to know.
func TestStopBeforeMessages(t *testing.T) {
	const script = "import muster\nmuster.progress(1)\ninput()\nfor m in muster.messages(): print(m)\n"
	eachPython(t, func(t *testing.T, p executable) {
		for _, dumps := range []bool{false, true} {
			w := startScript(t, p, script)
			expect[*transport.Hello](t, w)
			w.say(t, &transport.Stop{Reason: "early"}, &transport.Welcome{Version: 1, Dumps: dumps})
			expect[*transport.Ready](t, w)
			expect[*transport.Progress](t, w)
			fmt.Fprintln(w.stdin)
			if got := kinds(w.rest(t)); got != "Credit Result" {
				t.Errorf("dumps %v: then %s", dumps, got)
			}
		}
	})
}

// TestMessagesInTime: an iteration that has waited for long enough ends, and another goes on.
func TestMessagesInTime(t *testing.T) {
	const script = `
import muster
assert list(muster.messages(timeout=0)) == []
muster.progress(1)
seen = []
while len(seen) < 3:
    seen += [m.value for m in muster.messages(timeout=0.001)]
assert seen == [0, 1, 2], seen
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startRank(t, p, script)
		expect[*transport.Credit](t, w)
		expect[*transport.Progress](t, w) // there was time enough for none
		for n := range 3 {
			w.say(t, &transport.Mail{Value: packed(t, n)})
		}
		if got := kinds(w.rest(t)); got != "Result" {
			t.Errorf("then %s; %s", got, w.wait().stderr)
		}
	})
}

// TestBreach: a supervisor that sends without credit, or a frame that is too long, has broken the link, and nothing else.
func TestBreach(t *testing.T) {
	const script = `
import muster
try:
    for m in muster.messages(): muster.progress(1); break
    muster.request("ask")
except muster.NoSupervisor as e:
    print(e)
muster.report(1)
`
	large := &transport.Mail{Value: packed(t, make([]byte, 1<<20-20<<10))}
	eachPython(t, func(t *testing.T, p executable) {
		w := startRank(t, p, script)
		expect[*transport.Credit](t, w)
		for range 4 {
			_ = w.conn.Send(large) // the link breaks in between
		}
		for m, err := w.conn.Recv(); err == nil; m, err = w.conn.Recv() {
			if m.Kind() == transport.KindResult {
				t.Error("the link is not broken")
			}
		}
		if got := w.wait(); got != (end{"exit status 0", "the supervisor is gone\n", ""}) {
			t.Errorf("got %+v", got)
		}
	})
}

// calls are all that wait for others.
var calls = map[string]string{
	"muster.request('ask')":                 "ask",
	"muster.barrier()":                      "muster.barrier",
	"muster.broadcast(1)":                   "muster.broadcast",
	"muster.all_gather(1)":                  "muster.gather",
	"muster.get('key')":                     "muster.get",
	"muster.set('key', 1)":                  "muster.set",
	"muster.lookup('key')":                  "muster.get",
	"next(muster.messages())":               "",
	"[muster.tell('x') for _ in range(10)]": "x",
}

// TestInterruptedWait: Ctrl-C ends every wait, is told as an exception, and what was asked is withdrawn. A handler that returns
// does not end it.
func TestInterruptedWait(t *testing.T) {
	const script = `
import muster, signal
signal.signal(signal.SIGHUP, lambda *_: muster.progress(1, "handled"))
%s
`
	for call, topic := range calls {
		t.Run(call, func(t *testing.T) {
			eachPython(t, func(t *testing.T, p executable) {
				w := startScript(t, p, fmt.Sprintf(script, call))
				w.greet(t, transport.Welcome{Version: 1, Credit: 100})
				expect[*transport.Ready](t, w)
				if topic == "" {
					expect[*transport.Credit](t, w)
				} else if m := expect[*transport.Mail](t, w); m.Topic != topic {
					t.Fatalf("got %+v", m)
				}
				for _, signal := range []os.Signal{syscall.SIGHUP, os.Interrupt} {
					if err := w.Process.Signal(signal); err != nil {
						t.Fatal(err)
					}
					if signal == syscall.SIGHUP {
						for m := w.recv(t); m.Kind() != transport.KindProgress; m = w.recv(t) {
						}
					}
				}
				all := w.rest(t)
				withdrawn := slices.ContainsFunc(all, func(m transport.Message) bool {
					mail, ok := m.(*transport.Mail)
					return ok && mail.Topic == "muster.cancel"
				})
				asked := topic != "" && topic != "x"
				if !strings.HasSuffix(kinds(all), "Exception") || withdrawn != asked || w.wait().status != "signal: interrupt" {
					t.Errorf("got %s; %+v", kinds(all), w.wait())
				}
			})
		})
	}
}

// TestMessagesForked: a forked process has no supervisor, and what it does changes nothing for the rank.
func TestMessagesForked(t *testing.T) {
	const script = `
import muster, os
calls = [%s, "muster.tell('x')", "muster.report(2)"]
muster.report(1)
for listening in (False, True):
    for call in calls:
        pid = os.fork()
        if pid == 0:
            try: eval(call)
            except muster.NoSupervisor as e: os._exit("forked" not in str(e))
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0, call
    muster.messages()
`
	var quoted []string
	for call := range calls {
		quoted = append(quoted, fmt.Sprintf("%q", call))
	}
	eachPython(t, func(t *testing.T, p executable) {
		w := startRank(t, p, fmt.Sprintf(script, strings.Join(quoted, ", ")), "-W", "ignore")
		all := w.rest(t)
		r, ok := lastOf(all).(*transport.Result)
		if kinds(all) != "Credit Result" || !ok || string(r.Value) != "\x01" {
			t.Errorf("got %s; %s", kinds(all), w.wait().stderr)
		}
	})
}

// TestMessagesOfPools: what multiprocessing starts anew, and what that starts, finds the module, as it imports what the program has
// imported, and in it that it is not the rank.
func TestMessagesOfPools(t *testing.T) {
	const script = `
from concurrent.futures import ProcessPoolExecutor
import multiprocessing

def square(n):
    muster.progress(n)
    for call in muster.barrier, muster.messages, lambda: muster.report(n):
        try: call()
        except muster.NoSupervisor as e: assert "started by" in str(e), e
        else: raise AssertionError("not refused")
    return n * n, muster.info().rank

def pool(n, method="spawn", call=square):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as p:
        return p.submit(call, n).result()

if __name__ == "__main__":
    assert muster.info().rank == 3
    for method in "spawn", "forkserver", "fork":
        assert pool(5, method) == (25, 3), method
    assert pool(7, call=pool) == (49, 3)
    muster.report("done")
`
	for name, first := range map[string]string{
		"imported first": "import muster", "imported then": "import multiprocessing.spawn, muster",
		"looked for": "import importlib.util, muster; assert importlib.util.find_spec('multiprocessing.spawn').has_location",
	} {
		t.Run(name, func(t *testing.T) {
			eachPython(t, func(t *testing.T, p executable) {
				w := startRank(t, p, first+script, "-W", "ignore")
				all := w.rest(t)
				r, ok := lastOf(all).(*transport.Result)
				if !ok || kinds(all) != "Result" || unpacked(t, r.Value) != "done" {
					t.Errorf("got %s; %s", kinds(all), w.wait().stderr)
				}
			})
		})
	}
}

// TestAlone: where there is no supervisor a rank meets itself, and has nobody to talk to.
func TestAlone(t *testing.T) {
	const script = `
import muster
assert muster.info() == (3, 1, 0, 1, 2, ""), muster.info()
muster.progress(1)
muster.report(1)
assert muster.barrier() is None
assert muster.broadcast({"a": (1, 2.5)}) == {"a": [1, 2.5]}
assert muster.all_gather("x") == ["x"]
assert list(muster.messages()) == []
for call in ("tell('x')", "request('x')", "set('k', 1)", "get('k')", "lookup('k')"):
    try: eval("muster." + call)
    except muster.NoSupervisor as e: assert "no supervisor" in str(e)
    else: raise AssertionError(call)
`
	argv, _ := Inject([]string{"python3", "-c", script})
	eachPython(t, func(t *testing.T, p executable) {
		if got := plain(t, t.TempDir(), append([]string{p.path}, argv[1:]...)...); got != (end{"exit status 0", "", ""}) {
			t.Errorf("got %+v", got)
		}
	})
}

// TestMessageValues: what cannot be sent is refused where it is said, and says where in the value that is.
func TestMessageValues(t *testing.T) {
	const sendable = "None, bool, int, float, str, bytes, datetime, list, tuple, and dict with str keys, can be sent"
	for call, want := range map[string]string{
		"report({'a': [1, {2}]})":                               "TypeError: value['a'][1] is of type set: " + sendable,
		"report({'a': {1: 2}})":                                 "TypeError: value['a'] has the key 1, of type int: " + sendable,
		"report([1 << 64])":                                     "ValueError: value[0] has more than 64 bits",
		"report([__import__('datetime').datetime(2026, 1, 1)])": "ValueError: value[0] is a time without a zone: use its astimezone()",
		"report(['\\udcff'])": "ValueError: value[0] is no text in UTF-8: " +
			"'utf-8' codec can't encode character '\\udcff' in position 0: surrogates not allowed",
		"tell('x', bytes(1040384))":              "ValueError: the value has 1040389 bytes in msgpack, the most is 1040384",
		"tell('muster.barrier')":                 "ValueError: topics that begin with 'muster.' are the supervisor's: 'muster.barrier'",
		"tell('x' * 257)":                        "ValueError: a topic has at most 256 bytes: '" + strings.Repeat("x", 257) + "'",
		"tell(1)":                                "TypeError: a topic is a str, not int",
		"set(1, 2)":                              "TypeError: a key is a str, not int",
		"broadcast(1, source='0')":               "TypeError: a source is an int, not str",
		"broadcast(1, source=None)":              "TypeError: a source is an int, not NoneType",
		"all_gather(muster)":                     "TypeError: value is of type module: " + sendable,
		"no_such_thing":                          "AttributeError: module 'muster' has no attribute 'no_such_thing'",
		"report(__import__('array').array('d'))": "TypeError: value is of type array: use its tolist(): " + sendable,
	} {
		t.Run(call, func(t *testing.T) {
			eachPython(t, func(t *testing.T, p executable) {
				const rest = "\nexcept Exception as e: print('%s: %s' % (type(e).__name__, e))"
				w := startRank(t, p, "import muster\ntry: muster."+call+rest)
				if got := kinds(w.rest(t)); got != "Result" {
					t.Errorf("got %s", got)
				}
				if got := w.wait().stdout; got != want+"\n" {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		})
	}
}

// TestModule: the module shows all it has before any of it is used, and no more than it has.
func TestModule(t *testing.T) {
	const script = `
import muster
names = {*muster.__all__}
assert names <= {*dir(muster)} and {"progress", "barrier", "Refused"} <= names, names
from muster import *
assert tell == muster.tell and NoSupervisor.__module__ == "muster" and muster.info() is muster.info()
import importlib
importlib.reload(muster)
assert tell == muster.tell and progress is muster.progress
`
	eachPython(t, func(t *testing.T, p executable) {
		w := startRank(t, p, script)
		if got := kinds(w.rest(t)); got != "Result" {
			t.Errorf("got %s; %s", got, w.wait().stderr)
		}
	})
}

// TestMessagesBesideDumps: one thread hears everything, while the program waits for some of it; and SIGTERM, which the program
// did not take, ends it in the middle of that.
func TestMessagesBesideDumps(t *testing.T) {
	eachPython(t, func(t *testing.T, p executable) {
		w := startScript(t, p, "import muster\nmuster.request('ask')\nnext(muster.messages())")
		w.greet(t, transport.Welcome{Version: 1, Credit: 100, Dumps: true})
		expect[*transport.Ready](t, w)
		asked := expect[*transport.Mail](t, w)
		w.say(t, &transport.Dump{})
		if text := expect[*transport.Dump](t, w).Text; !strings.Contains(text, "script.py\", line 2 in <module>\n") || strings.Contains(text, "<muster>") {
			t.Errorf("the stacks are\n%s", text)
		}
		w.say(t, &transport.Mail{Reply: asked.ID})
		expect[*transport.Credit](t, w)
		if err := w.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if got := kinds(w.rest(t)); got != "" || w.wait() != (end{"signal: terminated", "", ""}) {
			t.Errorf("then %s; %+v", got, w.wait())
		}
	})
}
