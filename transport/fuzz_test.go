package transport_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-muster/muster/transport"
)

// FuzzRecv reads any bytes as a stream. It ends with one of the errors that Recv documents, a message that came out goes
// in again and comes out the same, and cutting the stream off changes nothing of what came before.
func FuzzRecv(f *testing.F) {
	for _, c := range goldenCases() {
		if wire := c.frames; wire != nil {
			f.Add(wire)
		} else if wire = send(f, c.msg); len(wire) < 1<<12 {
			f.Add(wire)
		}
	}
	stream, _ := chunked(f, everything())
	f.Add(stream)
	f.Add(stream[:len(stream)/2])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 4, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, _, end := recvAll(reading(stream))
		cut := truncated(end)
		if end != io.EOF && cut == nil && !errors.Is(end, transport.ErrTooLarge) {
			t.Fatalf("the end is %v", end)
		}
		if cut != nil {
			checkSavedAtAll(t, cut)
		}
		for _, m := range got {
			wire := send(t, m)
			if again := send(t, receive(t, reading(wire))); !bytes.Equal(wire, again) {
				t.Fatalf("%+v became\n%x from\n%x", m, again, wire)
			}
		}
		if half, _, _ := recvAll(reading(stream[:len(stream)/2])); len(half) > len(got) {
			t.Fatalf("%d messages in half of the stream, %d in all of it", len(half), len(got))
		}
	})
}

// FuzzMessage takes any body for one of each kind: what FuzzRecv finds too rarely, as a frame has a length. It is refused, or
// the message keeps within the limits and survives the wire.
func FuzzMessage(f *testing.F) {
	for _, c := range goldenCases() {
		if c.frames != nil {
			f.Add(c.frames[4], c.frames[6:])
		} else if body := encode(f, c.msg); len(body) < 1<<12 {
			f.Add(uint8(c.msg.Kind()), body)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		k := transport.Kind(kind % 16) // the kinds that there are, and three that there are not
		m, err := reading(transport.AppendFrame(nil, k, 0, body[:min(len(body), transport.MaxFrame)])).Recv()
		if err != nil {
			var bad *transport.MessageError
			if known := k >= 1 && k <= 13; known != (errors.As(err, &bad) && bad.Kind == k && errors.Is(err, transport.ErrMalformed)) {
				t.Fatalf("kind %v: %v", k, err)
			}
			return
		}
		if m.Kind() != k {
			t.Fatalf("%v arrived as %v", k, m.Kind())
		}
		checkBounds(t, m)
		if again := receive(t, reading(send(t, m))); !bytes.Equal(send(t, m), send(t, again)) {
			t.Fatalf("%+v became %+v", m, again)
		}
	})
}

// checkBounds holds a message that was received to the limits of docs/protocol.md.
func checkBounds(t *testing.T, m transport.Message) {
	t.Helper()
	within := true
	switch m := m.(type) {
	case *transport.Hello:
		within = len(m.SDK) <= 64
	case *transport.Progress:
		within = m.Count <= 1<<63-1 && len(m.Text) <= 256
	case *transport.Dump:
		within = len(m.Text) <= 256<<10
	case *transport.Mail:
		within = m.ID >= 0 && m.Reply >= 0 && len(m.Topic) <= 256 && len(m.Error) <= 4<<10 && len(m.Value) <= transport.MaxMail && m.Cost() >= 0
	case *transport.Part:
		within = len(m.Value) <= transport.MaxPart && m.Cost() > 0
	case *transport.Credit:
		within = m.Bytes >= 0 && m.Bytes <= transport.MaxMessage
	case *transport.Exception:
		checkLimited(t, m)
	}
	if !within {
		t.Fatalf("%T is beyond its limits: %+v", m, m)
	}
}

func checkSavedAtAll(t *testing.T, cut *transport.TruncatedError) {
	x := cut.Exception()
	if x == nil {
		return
	}
	if cut.Kind != transport.KindException || !x.Truncated || x.Type+x.Message == "" {
		t.Fatalf("saved %+v of %+v", x, cut)
	}
	checkLimited(t, x)
}

// FuzzValidate decodes what passed the walk, with the bare decoder, into all that there is. The decoder may refuse or
// panic, which Unmarshal recovers from, but not allocate out of proportion; and what it refuses to skip must not pass.
func FuzzValidate(f *testing.F) {
	for c, rest := range values() {
		if c%0x20 == 0 || c >= 0xc0 && c < 0xe0 { // not every small integer
			f.Add(append([]byte{c}, rest...))
		}
	}
	f.Add(encode(f, everything()))
	f.Add(encode(f, sample{S: "s", L: []int64{1}, M: attributes(3), P: &sample2{M: map[string]int{"a": 1}}}))
	f.Add(encode(f, map[string]any{"At": time.Unix(1, 2), "Any": []any{1, "a", nil}}))
	f.Add([]byte("\x81\xa2At\xc0"))
	f.Add([]byte("\xdd\xff\xff\xff\xff"))
	f.Add([]byte(strings.Repeat("\x91", 65) + "\xc0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := transport.Validate(b); err != nil {
			if !errors.Is(err, transport.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		rest := bytes.NewReader(b)
		if err := msgpack.NewDecoder(rest).Skip(); err != nil || rest.Len() > 0 {
			t.Fatalf("valid, but skipping it gives %v and leaves %d bytes", err, rest.Len())
		}
		targets := []any{new(any), new(holder), new(sample), new([]transport.Frame), new(map[string]any), new(map[any]any)}
		for _, m := range messages() {
			targets = append(targets, m)
		}
		for _, v := range targets {
			if err := transport.Unmarshal(b, v); err != nil && !errors.Is(err, transport.ErrMalformed) {
				t.Fatalf("into %T: %v is not ErrMalformed", v, err)
			}
		}
	})
}

// FuzzErrorType takes any bytes for the value of each registered type. It is that type or none, and nothing panics.
func FuzzErrorType(f *testing.F) {
	names := []string{"quotaError", "codeError", "numberError", "oddError", "strangeError", "nobody's"}
	odd := &oddError{Text: "t", Next: &oddError{Any: []any{1, "a", nil, map[string]any{"k": 2}}}}
	for i, v := range []any{&quotaError{User: "ada", Since: time.Unix(1, 2), Err: io.EOF}, codeError{7}, numberError(-1), odd} {
		f.Add(uint8(i), encode(f, v))
		f.Add(uint8(i), []byte{0xc0})
	}
	f.Fuzz(func(t *testing.T, which uint8, value []byte) {
		name := names[int(which)%len(names)]
		x := &transport.Exception{Message: "m", Registered: "transport_test." + name, Value: value,
			Cause: &transport.Exception{Message: "EOF", Sentinel: "io.EOF"}}
		x.Limit()
		quota, code, number, other := new(quotaError), codeError{}, numberError(0), new(oddError)
		is := map[string]bool{"quotaError": errors.As(x, &quota), "codeError": errors.As(x, &code),
			"numberError": errors.As(x, &number), "oddError": errors.As(x, &other)}
		for of, yes := range is {
			if yes && of != name {
				t.Fatalf("a %s is a %s", name, of)
			}
		}
		if !errors.Is(x, io.EOF) || errors.Is(x, io.ErrUnexpectedEOF) || errors.Is(x, errSample) != (is["codeError"] && code.Code == 7) {
			t.Fatal("it is another error")
		}
		checkLimited(t, x)
	})
}

// FuzzCrash parses any text as a crash.
func FuzzCrash(f *testing.F) {
	f.Add("panic: boom\n\n" + goroutine1)
	f.Add("panic: one\n\ttwo\n[signal SIGSEGV: x]\n\n" + goroutine1)
	f.Add("runtime: x\nfatal error: stack overflow\n\nruntime stack:\nruntime.newstack()\n\t/x.s:1 +0x1\n\n" + goroutine1)
	f.Add("SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\ngoroutine 0 [idle]:\n\n" + goroutine1)
	f.Add("\ngoroutine 1 [select]:\nmain.f(\n\t:\n()\n\tx:99999999999999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		x := transport.ParseCrash([]byte(text))
		if x == nil {
			return
		}
		switch x.Type {
		case "panic", "fatal error", "signal":
		default:
			t.Fatalf("type %q", x.Type)
		}
		for _, fr := range x.Frames {
			if strings.HasPrefix(fr.Function, "runtime.") {
				t.Fatalf("frame %+v", fr)
			}
		}
		if valid := strings.ToValidUTF8(text, "\uFFFD"); len(valid) <= transport.MaxText &&
			strings.Trim(x.Traceback, "\n") != strings.Trim(valid, "\n") || !utf8.ValidString(x.Traceback) {
			t.Fatalf("traceback %q", x.Traceback)
		}
		checkLimited(t, x)
	})
}
