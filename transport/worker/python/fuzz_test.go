package python

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-muster/muster/transport"
)

// subject reads inputs, each with its length, and answers each with three texts of the same form: the value that the shim
// makes of it, encoded again; the kinds of the messages that it finds, and how they end; and a traceback, if the shim raised
// what it does not document.
const subject = `
import os, sys, traceback, types
shim = types.ModuleType("shim")
exec(compile(open("shim.py", encoding="ascii").read(), "shim.py", "exec"), vars(shim))
for page in 2, 3, 4:
    shim.SOURCE = open("shim.py", encoding="ascii").read()
    shim.page(page, {2: "stacks", 3: "furnish", 4: "Office"}[page])

def value(data):
    try:
        return shim.encode(shim.decode(data))
    except (TypeError, ValueError):
        return b""

def stream(data):
    kinds, link = bytearray(), shim.Link({})
    office = link.office = shim.Office(link)
    office.granted = 1 << 30
    office.answers = {1: None}
    def read(size):
        nonlocal data
        if size > len(data):
            raise EOFError
        piece, data = data[:size], data[size:]
        return piece
    try:
        for kind, body in shim.messages(read):
            if 1 <= kind <= 13:
                kinds.append(kind)
            office.receive(kind, body)
    except EOFError:
        return bytes(kinds) + b"end"
    except OSError:
        return bytes(kinds) + b"too large"

def answer(data):
    try:
        return value(data), stream(data), b""
    except BaseException:
        return b"", b"", traceback.format_exc().encode()

while True:
    head = sys.stdin.buffer.read(4)
    if not head:
        break
    for part in answer(sys.stdin.buffer.read(int.from_bytes(head, "big"))):
        sys.stdout.buffer.write(len(part).to_bytes(4, "big") + part)
    sys.stdout.buffer.flush()
`

// A shimProcess is a Python that runs the subject.
type shimProcess struct {
	in  io.Writer
	out io.Reader
}

func startSubject(tb testing.TB, python string) shimProcess {
	tb.Helper()
	c := exec.Command(python, "-c", subject)
	c.Env = environment()
	in, err := c.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		if err := c.Wait(); err != nil {
			tb.Errorf("%v\n%s", err, &stderr)
		}
	})
	return shimProcess{in, out}
}

// try returns what the shim makes of an input.
func (p shimProcess) try(t *testing.T, data []byte) (value, kinds []byte) {
	t.Helper()
	if _, err := p.in.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)); err != nil {
		t.Fatal(err)
	}
	var parts [3][]byte
	for i := range parts {
		var head [4]byte
		_, err := io.ReadFull(p.out, head[:])
		parts[i] = make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, later := io.ReadFull(p.out, parts[i]); err != nil || later != nil {
			t.Fatal(err, later)
		}
	}
	if len(parts[2]) > 0 {
		t.Fatalf("the shim raises\n%s", parts[2])
	}
	return parts[0], parts[1]
}

// FuzzShim feeds any bytes to the shim's reader, as a value and as a stream of frames, and holds what it makes of them to what
// Go does: the shim takes nothing that our validator refuses, its values are ours, and it finds the same messages.
func FuzzShim(f *testing.F) {
	python, err := ask("/usr/bin/python3")
	if err != nil || python.minor < 9 {
		f.Skip("/usr/bin/python3 is no Python 3.9 or later:", err)
	}
	for _, v := range []any{
		nil, true, -1, 1 << 40, 0.5, float32(0.25), "text", []byte{0, 255}, []any{1, []any{"a"}}, map[string]any{"k": map[string]any{"n": nil}},
	} {
		f.Add(packed(f, v))
	}
	mail := packed(f, &transport.Mail{Reply: 1, Topic: "topic", Value: packed(f, "value")})
	frame := func(kind transport.Kind, flags byte, body []byte) []byte {
		return transport.AppendFrame(nil, kind, flags, body)
	}
	f.Add(frame(transport.KindMail, 0, mail))
	f.Add(slices.Concat(frame(transport.KindMail, 1, mail[:5]), frame(transport.KindStop, 0, []byte{0x80}), frame(transport.KindMail, 0, mail[5:])))
	f.Add(frame(transport.KindWelcome, 0, packed(f, &transport.Welcome{Version: 1, Credit: 1 << 20})))
	f.Add(frame(transport.KindCredit, 0, packed(f, &transport.Credit{Bytes: 7})))
	f.Add([]byte("\x00\x10\x00\x01\x08\x00"))
	f.Add([]byte(strings.Repeat("\x91", 65) + "\xc0"))
	f.Add([]byte("\x81\x91\x01\x01"))
	f.Add([]byte("\xdf\xff\xff\xff\xff\x01"))
	p := startSubject(f, python.path)
	f.Fuzz(func(t *testing.T, data []byte) {
		value, kinds := p.try(t, data)
		if want := goKinds(data); string(kinds) != want {
			t.Errorf("the shim finds %q, Go %q", kinds, want)
		}
		if len(value) == 0 || len(data) == 0 {
			return
		}
		if err := transport.Unmarshal(data, new(msgpack.RawMessage)); err != nil {
			t.Fatalf("the shim takes %v", err)
		}
		var ours, theirs any
		if err := transport.Unmarshal(value, &theirs); err != nil {
			t.Fatal(err)
		}
		if transport.Unmarshal(data, &ours) == nil && !reflect.DeepEqual(canonical(ours), canonical(theirs)) {
			t.Errorf("the value is %#v, the shim makes %#v of it", ours, theirs)
		}
	})
}

// goKinds returns the kinds of the messages in a stream, and how it ends, in the words of the subject.
func goKinds(stream []byte) string {
	var kinds []byte
	known := transport.NewConn(struct {
		io.Reader
		io.Writer
		io.Closer
	}{Reader: bytes.NewReader(stream)})
	for {
		m, err := known.Recv()
		var bad *transport.MessageError
		switch {
		case err == nil:
			kinds = append(kinds, byte(m.Kind()))
		case errors.As(err, &bad):
			kinds = append(kinds, byte(bad.Kind))
		case errors.Is(err, transport.ErrTooLarge):
			return string(kinds) + "too large"
		default:
			return string(kinds) + "end"
		}
	}
}

// canonical makes values comparable that msgpack has several forms of, and NaN equal to itself.
func canonical(v any) any {
	switch v := v.(type) {
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = canonical(v[i])
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for k, item := range v {
			all[k] = canonical(item)
		}
		return all
	case nil, bool:
		return v
	case float32:
		return fmt.Sprint(float64(v))
	case time.Time:
		return v.UTC().Truncate(time.Microsecond).String() // Python knows no more
	}
	return fmt.Sprintf("%v", v)
}
