package transport_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/go-muster/muster/transport"
)

var update = flag.Bool("update", false, "write testdata/frames.json anew")

const goldenFile = "testdata/frames.json"

// A golden is one entry of testdata/frames.json: a message as the wire holds it, and the frames that carry it.
// A binary value stands as {"$bin": hex}, a long run of one byte or of one character as {"$repeat": hex, "$count": n} or
// {"$text": character, "$count": n}; frames too long to print are known by their digest and their first bytes.
type golden struct {
	Name       string          `json:"name"`
	Kind       transport.Kind  `json:"kind"`
	DecodeOnly bool            `json:"decode_only,omitempty"` // a reader takes it, no writer of ours makes it
	Body       json.RawMessage `json:"body"`
	Hex        string          `json:"hex,omitempty"`
	SHA256     string          `json:"sha256,omitempty"`
	Prefix     string          `json:"prefix,omitempty"`
}

// A goldenCase is what the entry of that name must decode to; frames is nil where our writer makes them.
type goldenCase struct {
	name   string
	msg    transport.Message
	frames []byte
}

func TestGolden(t *testing.T) {
	cases := goldenCases()
	entries := make([]golden, len(cases))
	for i, c := range cases {
		entries[i] = describe(t, c)
	}
	if *update {
		writeGolden(t, entries)
	}
	committed := readGolden(t)
	if len(committed) != len(cases) {
		t.Fatalf("%s has %d entries, the table %d: run with -update and review the diff", goldenFile, len(committed), len(cases))
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !reflect.DeepEqual(entries[i], committed[i]) {
				t.Errorf("wire:\n%+v\ncommitted:\n%+v", entries[i], committed[i])
			}
			wire := reading(framesOf(t, c))
			got := receive(t, wire)
			transport.Forget(got)
			if !reflect.DeepEqual(got, c.msg) {
				t.Errorf("decoded %+v, want %+v", got, c.msg)
			}
			if c.frames == nil && !bytes.Equal(send(t, got), framesOf(t, c)) {
				t.Error("the decoded message is not encoded to the same bytes")
			}
		})
	}
}

// TestGoldenKinds holds the table to its purpose: every kind that has a body, with every key that it may have.
func TestGoldenKinds(t *testing.T) {
	keys := map[transport.Kind]map[string]bool{}
	for _, e := range readGolden(t) {
		var body map[string]any
		if err := json.Unmarshal(e.Body, &body); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if keys[e.Kind] == nil {
			keys[e.Kind] = map[string]bool{}
		}
		for k := range body {
			keys[e.Kind][k] = true
		}
	}
	for _, m := range messages() {
		for i := range reflect.TypeOf(m).Elem().NumField() {
			f := reflect.TypeOf(m).Elem().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("msgpack"), ",")
			if f.IsExported() && !keys[m.Kind()][name] {
				t.Errorf("no golden frame has %v.%s", m.Kind(), name)
			}
		}
		if keys[m.Kind()] == nil {
			t.Errorf("no golden frame of kind %v", m.Kind())
		}
	}
}

// messages returns an empty message of every kind that has one.
func messages() []transport.Message {
	return []transport.Message{
		&transport.Hello{}, &transport.Welcome{}, &transport.Ready{}, &transport.Exception{}, &transport.Result{},
		&transport.Heartbeat{}, &transport.Progress{}, &transport.Stop{}, &transport.Dump{}, &transport.Argument{},
		&transport.Mail{}, &transport.Credit{}, &transport.Part{},
	}
}

func goldenCases() []goldenCase {
	cases := []goldenCase{
		{"hello", &transport.Hello{Min: 1, Max: 1, PID: 4242, SDK: "go"}, nil},
		{"hello, all zero", &transport.Hello{}, nil},
		{"welcome", &transport.Welcome{Version: 1, Heartbeat: 5 * time.Second}, nil},
		{"welcome, no version in common, no heartbeat", &transport.Welcome{}, nil},
		{"welcome, dumps", &transport.Welcome{Version: 1, Dumps: true}, nil},
		{"welcome, credit", &transport.Welcome{Version: 1, Credit: transport.MailWindow}, nil},
		{"ready", &transport.Ready{}, nil},
		{"result, no value", &transport.Result{}, nil},
		{"result, value nil", &transport.Result{Value: []byte{0xc0}}, nil},
		{"result, value of 255 bytes, bin8", &transport.Result{Value: bytes.Repeat([]byte{0x2a}, 255)}, nil},
		{"result, value of 256 bytes, bin16", &transport.Result{Value: bytes.Repeat([]byte{0x2a}, 256)}, nil},
		{"result, value of 65536 bytes, bin32", &transport.Result{Value: bytes.Repeat([]byte{0x2a}, 65536)}, nil},
		{"result, the longest body of one frame", &transport.Result{Value: bytes.Repeat([]byte{0x2a}, transport.MaxFrame-12)}, nil},
		{"result, one byte more: two frames", &transport.Result{Value: bytes.Repeat([]byte{0x2a}, transport.MaxFrame-11)}, nil},
		{"result, two frames", &transport.Result{Value: bytes.Repeat([]byte{0x2a}, transport.MaxFrame+1000)}, nil},
		{"argument, value", &transport.Argument{Value: []byte{0x92, 0x01, 0xa2, 0x68, 0x69}}, nil},
		{"argument, no value", &transport.Argument{}, nil},
		{"stop", &transport.Stop{Reason: "rank 2 failed: ValueError: keine Lernrate — 学習率", Grace: 30 * time.Second}, nil},
		{"stop, all zero", &transport.Stop{}, nil},
		{"progress", &transport.Progress{Count: 1200, Text: "epoch 3 — 学習"}, nil},
		{"progress, the largest count, no text", &transport.Progress{Count: 1<<63 - 1}, nil},
		{"progress, all zero", &transport.Progress{}, nil},
		{"dump, asked for", &transport.Dump{}, nil},
		{"dump, answered", &transport.Dump{Text: "goroutine 1 [running]:\nmain.main()\n\t/proj/main.go:7 +0x1d\n"}, nil},
		{"mail, an answer is awaited", &transport.Mail{ID: 7, Topic: "score — 点", Value: []byte{0x2a}}, nil},
		{"mail, no answer is awaited", &transport.Mail{Topic: "lr", Value: []byte{0xcb, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a}}, nil},
		{"mail, an answer", &transport.Mail{Reply: 7, Value: []byte{0xc0}}, nil},
		{"mail, an error in place of an answer", &transport.Mail{Reply: 7, Error: "no such shard"}, nil},
		{"mail, all zero", &transport.Mail{}, nil},
		{"mail, the longest value", &transport.Mail{Value: bytes.Repeat([]byte{0x2a}, transport.MaxMail)}, nil},
		{"credit", &transport.Credit{Bytes: 1 << 20}, nil},
		{"credit, none", &transport.Credit{}, nil},
		{"part", &transport.Part{Value: bytes.Repeat([]byte{0x2a}, transport.MaxPart)}, nil},
		{"part, empty", &transport.Part{}, nil},
		{"dump, the longest", &transport.Dump{Text: strings.Repeat("d", 256<<10)}, nil},
	}
	for _, n := range integers {
		cases = append(cases, goldenCase{fmt.Sprintf("heartbeat, time %d", n), &transport.Heartbeat{Seq: 1, Time: n}, nil})
	}
	cases = append(cases, exceptionCases()...)
	return append(cases, readerCases()...)
}

// integers stand on both sides of every change of width.
var integers = []int64{
	0, 1, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32,
	1767225600123456789, 1<<63 - 1,
	-1, -32, -33, -128, -129, -32768, -32769, -1 << 31, -1<<31 - 1, -1 << 63,
}

func exceptionCases() []goldenCase {
	cases := []goldenCase{
		{"exception, empty", &transport.Exception{}, nil},
		{"exception, type and message", &transport.Exception{Type: "ValueError", Module: "builtins", Message: "no learning rate"}, nil},
		{"exception, frames", &transport.Exception{Type: "ValueError", Message: "x", Frames: frames(2),
			Traceback: "Traceback (most recent call last):\n  File \"train.py\", line 1, in step\nValueError: x\n"}, nil},
		{"exception, 15 frames, fixarray", &transport.Exception{Type: "E", Frames: frames(15)}, nil},
		{"exception, 16 frames, array16", &transport.Exception{Type: "E", Frames: frames(16)}, nil},
		{"exception, a frame without a line of code", &transport.Exception{Type: "E",
			Frames: []transport.Frame{{File: "<string>", Function: "<module>"}, {}}}, nil},
		{"exception, cause", &transport.Exception{Type: "TrainError", Module: "mypkg.errors", Message: "step 7",
			Cause: &transport.Exception{Type: "OSError", Module: "builtins", Message: "[Errno 5] EIO",
				Cause: &transport.Exception{Type: "KeyError", Message: "'lr'", Frames: frames(1)}}}, nil},
		{"exception, context suppressed", &transport.Exception{Type: "ValueError", Message: "b", Suppressed: true,
			Context: &transport.Exception{Type: "KeyError", Message: "a"}}, nil},
		{"exception, notes", &transport.Exception{Type: "ValueError", Notes: []string{"while loading shard 3", "", "zwölf"}}, nil},
		{"exception, members", &transport.Exception{Type: "ExceptionGroup", Message: "2 workers failed (2 sub-exceptions)",
			Members: []*transport.Exception{
				{Type: "ValueError", Message: "a", Notes: []string{"n"}},
				{Type: "OSError", Cause: &transport.Exception{Type: "TimeoutError"}},
			}}, nil},
		{"exception, attributes in the order of their keys", &transport.Exception{Type: "HTTPError",
			Attributes: map[string]string{"url": "'https://example.org'", "code": "404", "Code": "1", "é": "2", "": ""}}, nil},
		{"exception, 15 attributes, fixmap", &transport.Exception{Type: "E", Attributes: attributes(15)}, nil},
		{"exception, 16 attributes, map16", &transport.Exception{Type: "E", Attributes: attributes(16)}, nil},
		{"exception, base classes", &transport.Exception{Type: "FileNotFoundError", Module: "builtins",
			Bases: []string{"builtins.OSError", "builtins.Exception", "builtins.BaseException"}}, nil},
		{"exception, a Go sentinel", &transport.Exception{Type: "*fs.PathError", Module: "io/fs",
			Message: "open /data: file does not exist", Cause: &transport.Exception{Type: "syscall.Errno", Module: "syscall",
				Message: "no such file or directory", Sentinel: "fs.ErrNotExist"}}, nil},
		{"exception, a registered Go type", &transport.Exception{Type: "*train.QuotaError", Module: "mypkg/train", Message: "used up",
			Attributes: map[string]string{"User": "ada"}, Registered: "mypkg.QuotaError", Value: encodeSample(map[string]string{"User": "ada"})}, nil},
		{"exception, local variables", &transport.Exception{Type: "KeyError", Message: "'lr'", Frames: []transport.Frame{
			{File: "train.py", Line: 7, Function: "<module>", Code: "step(3)", Locals: attributes(16)},
			{File: "train.py", Line: 3, Function: "step", Code: "return rates['lr']", Locals: map[string]string{"rates": "{}", "n": "3", "ñ": "'é'"}}}}, nil},
		{"exception, non-ASCII text", &transport.Exception{Type: "Größenfehler", Module: "パッケージ", Message: "𝛼 ≠ 🚀\u0000\n\u2028"}, nil},
		{"exception, everything", everything(), nil},
	}
	for _, n := range []int{31, 32, 255, 256, 65535, 65536} {
		name := fmt.Sprintf("exception, message of %d bytes", n)
		cases = append(cases, goldenCase{name, &transport.Exception{Type: "E", Message: strings.Repeat("m", n)}, nil})
	}
	return cases
}

// readerCases are what a reader must take although no writer of ours makes it.
func readerCases() []goldenCase {
	frame := func(k transport.Kind, flags byte, body string) []byte {
		return transport.AppendFrame(nil, k, flags, []byte(body))
	}
	return []goldenCase{
		{"reader: an empty value", &transport.Result{Value: []byte{}}, frame(transport.KindResult, 0, "\x81\xa5value\xc4\x00")},
		{"reader: keys that it does not know", &transport.Heartbeat{Seq: 2, Time: 3},
			frame(transport.KindHeartbeat, 0, "\x84\xa3new\x93\x01\x81\xa1x\xc3\xc0\xa3seq\x02\xa4time\x03\xa5later\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00")},
		{"reader: another order of keys, absent keys", &transport.Hello{Max: 1, SDK: "x"},
			frame(transport.KindHello, 0, "\x82\xa3sdk\xa1x\xa3max\x01")},
		{"reader: long forms", &transport.Heartbeat{Seq: 1, Time: -1},
			frame(transport.KindHeartbeat, 0, "\xdf\x00\x00\x00\x02\xdb\x00\x00\x00\x03seq\xd3\x00\x00\x00\x00\x00\x00\x00\x01\xd9\x04time\xd1\xff\xff")},
		{"reader: a count in a long form, a text that is empty", &transport.Progress{Count: 7},
			frame(transport.KindProgress, 0, "\x82\xa5count\xd3\x00\x00\x00\x00\x00\x00\x00\x07\xa4text\xa0")},
		{"reader: reserved flags", &transport.Ready{}, frame(transport.KindReady, 0xfe, "\x80")},
		{"reader: a frame of an unknown kind before it", &transport.Ready{},
			append(frame(200, 0, "\xc1"), frame(transport.KindReady, 0, "\x80")...)},
		{"reader: chunks of two kinds, an empty one at the end", &transport.Result{Value: []byte{1, 2}},
			bytes.Join([][]byte{
				frame(transport.KindResult, 1, "\x81\xa5val"), frame(200, 1, "\xff\xff"), frame(transport.KindResult, 1, "ue\xc4\x02\x01\x02"),
				frame(transport.KindResult, 0, ""),
			}, nil)},
	}
}

func frames(n int) []transport.Frame {
	all := make([]transport.Frame, n)
	for i := range all {
		all[i] = transport.Frame{File: "/proj/train.py", Line: 100 * (i + 1), Function: "step", Code: "loss = f(x)"}
	}
	return all
}

func attributes(n int) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[fmt.Sprintf("key%02d", i)] = fmt.Sprint(i)
	}
	return all
}

// everything returns an exception with every key.
func everything() *transport.Exception {
	return &transport.Exception{
		Type: "ExceptionGroup", Module: "builtins", Message: "two", Traceback: "Traceback …\n", Frames: frames(2),
		Cause:      &transport.Exception{Type: "A", Message: "a", Frames: frames(1)},
		Context:    &transport.Exception{Type: "B", Message: "b", Truncated: true},
		Suppressed: true, Notes: []string{"note"},
		Members:    []*transport.Exception{{Type: "C", Sentinel: "io.EOF"}, {Type: "D", Attributes: attributes(1)}},
		Attributes: attributes(2), Bases: []string{"builtins.Exception"}, Sentinel: "io.ErrUnexpectedEOF",
		Registered: "transport_test.numberError", Value: []byte{7}, Truncated: true,
		Rank: 3, Generation: 300, PID: 70000, Host: "node-17", Time: 1767225600123456789,
	}
}

func encodeSample(v any) []byte {
	b, err := transport.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// describe makes the entry of one case from the bytes that are on the wire.
func describe(t *testing.T, c goldenCase) golden {
	t.Helper()
	wire := framesOf(t, c)
	e := golden{Name: c.name, Kind: c.msg.Kind(), DecodeOnly: c.frames != nil, Body: ordered(t, bodyOf(c.msg.Kind(), wire))}
	if len(wire) <= 4096 {
		e.Hex = hex.EncodeToString(wire)
		return e
	}
	e.SHA256, e.Prefix = fmt.Sprintf("%x", sha256.Sum256(wire)), hex.EncodeToString(wire[:32])
	return e
}

func framesOf(t *testing.T, c goldenCase) []byte {
	t.Helper()
	if c.frames != nil {
		return c.frames
	}
	return send(t, c.msg)
}

// bodyOf puts the frames of one kind together, with nothing from the package under test.
func bodyOf(k transport.Kind, wire []byte) (body []byte) {
	for len(wire) > 0 {
		n := int(wire[0])<<24 | int(wire[1])<<16 | int(wire[2])<<8 | int(wire[3])
		if wire[4] == byte(k) {
			body = append(body, wire[6:6+n]...)
		}
		wire = wire[6+n:]
	}
	return body
}

// ordered returns a msgpack value as JSON, with the keys in the order of the wire.
func ordered(t *testing.T, b []byte) json.RawMessage {
	t.Helper()
	var out bytes.Buffer
	if err := render(&out, msgpack.NewDecoder(bytes.NewReader(b))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func render(out *bytes.Buffer, dec *msgpack.Decoder) error {
	code, err := dec.PeekCode()
	if err != nil {
		return err
	}
	switch {
	case msgpcode.IsFixedMap(code), code == msgpcode.Map16, code == msgpcode.Map32:
		n, err := dec.DecodeMapLen()
		return renderAll(out, dec, "{}", n, err)
	case msgpcode.IsFixedArray(code), code == msgpcode.Array16, code == msgpcode.Array32:
		n, err := dec.DecodeArrayLen()
		return renderAll(out, dec, "[]", n, err)
	}
	v, err := dec.DecodeInterface()
	if err != nil {
		return err
	}
	return renderScalar(out, v)
}

func renderAll(out *bytes.Buffer, dec *msgpack.Decoder, brackets string, n int, err error) error {
	out.WriteByte(brackets[0])
	for i := 0; i < n && err == nil; i++ {
		if i > 0 {
			out.WriteByte(',')
		}
		if brackets == "{}" {
			err = render(out, dec)
			out.WriteByte(':')
		}
		if err == nil {
			err = render(out, dec)
		}
	}
	out.WriteByte(brackets[1])
	return err
}

func renderScalar(out *bytes.Buffer, v any) error {
	switch s := v.(type) {
	case []byte:
		if n := len(s); n > 64 && bytes.Count(s, s[:1]) == n {
			v = repeated{"$repeat", hex.EncodeToString(s[:1]), n}
		} else {
			v = map[string]string{"$bin": hex.EncodeToString(s)}
		}
	case string:
		if n := len(s); n > 300 && strings.Count(s, s[:1]) == n {
			v = repeated{"$text", s[:1], n}
		}
	}
	if r, ok := v.(repeated); ok {
		_, err := fmt.Fprintf(out, `{%q:%q,"$count":%d}`, r.key, r.what, r.count)
		return err
	}
	text, err := plainJSON(v)
	out.Write(text)
	return err
}

type repeated struct {
	key, what string
	count     int
}

func plainJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

func writeGolden(t *testing.T, entries []golden) {
	t.Helper()
	var out bytes.Buffer
	for i, e := range entries {
		text, err := plainJSON(e)
		if err != nil {
			t.Fatal(err)
		}
		s := string(text)
		for _, key := range []string{`,"body":`, `,"hex":`, `,"sha256":`} {
			if at := strings.LastIndex(s, key); at >= 0 {
				s = s[:at] + ",\n  " + s[at+1:]
			}
		}
		out.WriteString([]string{"[\n", ",\n"}[min(i, 1)] + s)
	}
	out.WriteString("\n]\n")
	if err := os.WriteFile(goldenFile, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T) (entries []golden) {
	t.Helper()
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	return entries
}
