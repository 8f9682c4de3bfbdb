package transport_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/quick"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/go-muster/muster/transport"
)

// values holds a well-formed value for every first byte of msgpack but the reserved one.
func values() map[byte][]byte {
	all := map[byte][]byte{0xc0: {}, 0xc2: {}, 0xc3: {}, 0xca: make([]byte, 4), 0xcb: make([]byte, 8)}
	for c := range 0x80 {
		all[byte(c)] = nil // small integers
	}
	for c := 0xe0; c <= 0xff; c++ {
		all[byte(c)] = nil // small negative integers
	}
	for n := range 16 {
		all[0x80|byte(n)] = bytes.Repeat([]byte{0xa1, 'k', 0x01}, n) // maps
		all[0x90|byte(n)] = make([]byte, n)                          // arrays
	}
	for n := range 32 {
		all[0xa0|byte(n)] = bytes.Repeat([]byte("s"), n)
	}
	for i, n := range []int{1, 2, 4, 8} {
		all[0xcc+byte(i)] = make([]byte, n) // unsigned
		all[0xd0+byte(i)] = make([]byte, n) // signed
	}
	for i, n := range []int{1, 2, 4, 8, 16} {
		all[0xd4+byte(i)] = make([]byte, 1+n) // fixext
	}
	for i, w := range []int{1, 2, 4} {
		all[0xc4+byte(i)] = append(size(w, 5), "bytes"...)
		all[0xc7+byte(i)] = append(size(w, 5), "Tbytes"...) // ext
		all[0xd9+byte(i)] = append(size(w, 5), "texts"...)
	}
	for i, w := range []int{2, 4} {
		all[0xdc+byte(i)] = append(size(w, 3), 1, 2, 3)
		all[0xde+byte(i)] = append(size(w, 2), 0xa1, 'a', 1, 0xa1, 'b', 2)
	}
	return all
}

// size returns n as a big-endian number of w bytes.
func size(w int, n uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, n)[8-w:]
}

func TestValidateCodes(t *testing.T) {
	all := values()
	for c := range 256 {
		rest, known := all[byte(c)]
		if !known {
			if err := transport.Validate([]byte{byte(c)}); c != 0xc1 || !errors.Is(err, transport.ErrMalformed) {
				t.Errorf("0x%02x: %v, want an error of the reserved code 0xc1 only", c, err)
			}
			continue
		}
		whole := append([]byte{byte(c)}, rest...)
		if err := transport.Validate(whole); err != nil {
			t.Errorf("%x: %v", whole, err)
		}
		if err := msgpack.NewDecoder(bytes.NewReader(whole)).Skip(); err != nil {
			t.Errorf("%x: the decoder says %v", whole, err)
		}
		for n := range whole {
			if err := transport.Validate(whole[:n]); !errors.Is(err, transport.ErrMalformed) {
				t.Errorf("%x, cut off after %d bytes: %v, want ErrMalformed", whole, n, err)
			}
		}
		if err := transport.Validate(append(whole, 0)); !errors.Is(err, transport.ErrMalformed) {
			t.Errorf("%x and a byte: %v, want ErrMalformed", whole, err)
		}
	}
}

func TestValidate(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("\x91", n) + "\xc0" }
	tests := []struct {
		name string
		in   string
		err  string
	}{
		{"a map in an array in a map", "\x81\xa1k\x92\x80\x81\xa1x\x90", ""},
		{"empty containers at the end", "\x93\x90\x80\x90", ""},
		{"64 levels", deep(transport.MaxDepth), ""},
		{"65 levels", deep(transport.MaxDepth + 1), "nested deeper"},
		{"64 levels and empty containers below", strings.Repeat("\x91", transport.MaxDepth) + "\x90", ""},
		{"siblings do not add up to depth", "\xdc\x00\x64" + strings.Repeat("\x91\x91\xc0", 100), ""},
		{"more elements than bytes", "\xdd\x00\x00\x00\x04\x01\x02\x03", "4 elements"},
		{"more elements in all than bytes", "\x93\x93\x01\x02\x03\x01", "3 elements"},
		{"each container fits, both together do not", "\x94\x94\x94\x01\x01\x01\x01\x01", "4 elements"},
		{"a map with half a pair", "\x81\xa1k", "ends too early"},
		{"a map of 4 G pairs", "\xdf\xff\xff\xff\xff\x01\x01", "elements"},
		{"nothing", "", "ends too early"},
		{"a reserved code inside", "\x92\x01\xc1", "reserved code 0xc1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := transport.Validate([]byte(tt.in))
			fine := tt.err == "" && err == nil
			if !fine && (!errors.Is(err, transport.ErrMalformed) || tt.err == "" || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
	t.Run("it allocates nothing", func(t *testing.T) {
		b := encode(t, everything())
		if n := testing.AllocsPerRun(100, func() { _ = transport.Validate(b) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// A sample has a field of everything that msgpack writes in its own way.
type sample struct {
	I   int
	I8  int8
	I16 int16
	I32 int32
	I64 int64
	U   uint
	U8  uint8
	U16 uint16
	U32 uint32
	U64 uint64
	F32 float32
	F64 float64
	B   bool
	S   string
	D   time.Duration
	Bin []byte
	L   []int64
	SS  []string
	A   [3]int16
	M   map[string]string
	MI  map[int32]uint16
	P   *sample2
	LP  []sample2
}

type sample2 struct {
	S string         `msgpack:"s,omitempty"`
	M map[string]int `msgpack:"m,omitempty"`
}

// TestAgreement: what Marshal writes passes the walk and comes back as it was.
func TestAgreement(t *testing.T) {
	agrees := func(v sample) bool {
		b, err := transport.Marshal(v)
		var back sample
		if err != nil || transport.Validate(b) != nil || transport.Unmarshal(b, &back) != nil {
			return false
		}
		again, err := transport.Marshal(back)
		return err == nil && bytes.Equal(b, again)
	}
	if err := quick.Check(agrees, &quick.Config{MaxCount: 300}); err != nil {
		t.Error(err)
	}
	for _, v := range []any{
		nil, true, 1, -1, int64(math.MaxInt64), uint64(math.MaxUint64), math.NaN(), "", "é", []byte{}, []int{}, map[string]int{},
		time.Unix(1, 2), time.Time{}, []any{1, "a", nil, map[string]any{"k": []any{}}}, map[any]any{1: "a", "b": 2},
		struct{}{}, new(int), make([]int, transport.MaxElements+1), strings.Repeat("x", 1<<17), [2]bool{}, everything(),
	} {
		if b, err := transport.Marshal(v); err != nil || transport.Validate(b) != nil {
			t.Errorf("%T: %v, %v", v, err, transport.Validate(b))
		}
	}
}

func TestMarshal(t *testing.T) {
	t.Run("equal maps are equal bytes", func(t *testing.T) {
		first := encode(t, attributes(40))
		for range 20 {
			if !bytes.Equal(first, encode(t, attributes(40))) {
				t.Fatal("they are not")
			}
		}
	})
	t.Run("integers are as short as they can be", func(t *testing.T) {
		for n, want := range map[any]int{int64(5): 1, uint32(200): 2, int32(-32): 1, int16(-33): 2, uint64(1 << 20): 5} {
			if got := len(encode(t, n)); got != want {
				t.Errorf("%T %v takes %d bytes, want %d", n, n, got, want)
			}
		}
	})
	t.Run("a value that cannot be encoded", func(t *testing.T) {
		if _, err := transport.Marshal(make(chan int)); err == nil || !strings.HasPrefix(err.Error(), "transport: encode chan int:") {
			t.Errorf("got %v", err)
		}
	})
}

// A holder has a field of every kind that a hostile message may aim at.
type holder struct {
	Frames []transport.Frame
	Cause  *holder
	Bin    []byte
	Any    any
	At     time.Time
}

// TestHostile feeds what kills or bloats the bare decoder. Nothing may come of it but an error, or a value at a cost in
// proportion to the bytes.
// TestMarshalByValue: a struct that is no pointer travels like one that is, whatever the methods of its fields are of.
func TestMarshalByValue(t *testing.T) {
	type place struct {
		Where url.URL
		When  time.Time
		How   [1]url.URL
	}
	want := place{Where: url.URL{Scheme: "http", Host: "a"}, When: time.Unix(5, 6).UTC(), How: [1]url.URL{{Path: "/b"}}}
	byValue, err := transport.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	byPointer, err := transport.Marshal(&want)
	if err != nil || !bytes.Equal(byValue, byPointer) {
		t.Errorf("%x by value, %x by pointer, %v", byValue, byPointer, err)
	}
	var got place
	if err := transport.Unmarshal(byValue, &got); err != nil || !got.When.Equal(want.When) || got.Where != want.Where || got.How != want.How {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestMarshalRefuses: what cannot be encoded is an error, whatever the encoder or the value's own methods make of it.
func TestMarshalRefuses(t *testing.T) {
	circle := &link{}
	circle.Next = circle
	for name, v := range map[string]any{
		"a channel": make(chan int), "an uintptr": uintptr(1), "a number of the system": syscall.ENOENT, "a struct of them": struct{ U uintptr }{},
		"a function": func() {}, "methods that panic": loudCoder{}, "in a list": []any{1, loudCoder{}},
	} {
		if b, err := transport.Marshal(v); err == nil {
			t.Errorf("%s is %x", name, b)
		}
		if m, err := transport.NewMail("x", v); err == nil {
			t.Errorf("%s is a Mail of %x", name, m.Value)
		}
	}
	if _, err := transport.NewMail("x", circle); !errors.Is(err, transport.ErrTooLarge) {
		t.Errorf("a circle: %v", err)
	}
	if b, err := transport.Marshal([]any{1, "one"}); err != nil || string(b) != "\x92\x01\xa3one" {
		t.Errorf("afterwards: %x, %v", b, err)
	}
}

type link struct{ Next *link }

type loudCoder struct{}

func (loudCoder) EncodeMsgpack(*msgpack.Encoder) error { panic("loud") }

func TestHostile(t *testing.T) {
	huge := "\xff\xff\xff\xff"
	field := func(name, value string) string { return "\x81" + string([]byte{0xa0 | byte(len(name))}) + name + value }
	tests := []struct {
		name string
		in   string
		into any
		fine bool // it is well-formed
	}{
		{"array32 of 4 G into any", "\xdd" + huge, new(any), false},
		{"array32 of 4 G into frames", "\xdd" + huge, new([]transport.Frame), false},
		{"array32 of 4 G into an exception's frames", field("frames", "\xdd"+huge), new(transport.Exception), false},
		{"array32 of 4 G into an exception's members", field("members", "\xdd"+huge), new(transport.Exception), false},
		{"array32 of 4 G into integers", "\xdd" + huge, new([]int64), false},
		{"array32 of 4 G into strings", "\xdd" + huge, new([]string), false},
		{"map32 of 4 G into any", "\xdf" + huge, new(any), false},
		{"map32 of 4 G into a map of strings", "\xdf" + huge, new(map[string]string), false},
		{"map32 of 4 G into an exception's attributes", field("attributes", "\xdf"+huge), new(transport.Exception), false},
		{"map32 of 4 G into a struct", "\xdf" + huge, new(transport.Exception), false},
		{"bin32 of 4 G into bytes", "\xc6" + huge, new([]byte), false},
		{"bin32 of 4 G into any", "\xc6" + huge, new(any), false},
		{"bin32 of 4 G into a field", field("Bin", "\xc6"+huge), new(holder), false},
		{"bin32 of 4 G into an unknown field", field("unknown", "\xc6"+huge), new(holder), false},
		{"str32 of 4 G", "\xdb" + huge, new(string), false},
		{"ext32 of 4 G", "\xc9" + huge + "\x01", new(any), false},
		{"10 000 arrays in each other", strings.Repeat("\x91", 1e4) + "\xc0", new(any), false},
		{"10 M arrays in each other", strings.Repeat("\x91", 1e7) + "\xc0", new(any), false},
		{"10 M arrays in each other in an unknown field", field("unknown", strings.Repeat("\x91", 1e7)+"\xc0"), new(holder), false},
		{"a chain of 1 M causes", strings.Repeat(field("cause", ""), 1e6) + "\x80", new(transport.Exception), false},
		{"1000 arrays that announce 65535 elements", strings.Repeat("\xdc\xff\xff", 1000), new(any), false},
		{"the same, with the bytes for the innermost", strings.Repeat("\xdc\xff\xff", 60) + strings.Repeat("\xc0", 65535), new(any), false},
		{"a map key of a type that cannot be one", "\x81\x91\x01\x01", new(map[any]any), false},
		{"nil for a time", field("At", "\xc0"), new(holder), false},
		{"an extension of nobody", field("Any", "\xd4\x55\x00"), new(holder), false},
		{"an interned string", field("Any", "\xd4\x80\x05"), new(holder), false},
		{"an array for a struct", "\x92\x01\x02", new(transport.Heartbeat), true},
		{"1 MiB of empty maps into frames", "\xdd\x00\x10\x00\x00" + strings.Repeat("\x80", 1<<20), new([]transport.Frame), true},
		{"a 64-bit unsigned integer into an int", field("seq", "\xcf"+strings.Repeat("\xff", 8)), new(transport.Heartbeat), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := []byte(tt.in)
			var err error
			cost := allocated(func() { err = transport.Unmarshal(in, tt.into) })
			if tt.fine != (err == nil) || !tt.fine && !errors.Is(err, transport.ErrMalformed) {
				t.Errorf("got %v, well-formed: %v", err, tt.fine)
			}
			if most := uint64(1<<20 + 160*len(in)); cost > most || !tt.fine && cost > 1<<20 {
				t.Errorf("%d bytes allocated for %d", cost, len(in))
			}
		})
	}
}

// TestHostileMessage: in a message the elements are counted, because an element of one byte becomes an exception of 250.
func TestHostileMessage(t *testing.T) {
	for _, key := range []string{"frames", "members", "notes", "unknown"} {
		body := cat([]byte{0x81, 0xa0 | byte(len(key))}, []byte(key), []byte("\xdd\x00\x0f\x00\x00"), bytes.Repeat([]byte{0x80}, 0xf0000))
		stream := reading(transport.AppendFrame(nil, transport.KindException, 0, body))
		var err error
		if cost := allocated(func() { _, err = stream.Recv() }); cost > 4<<20 || !errors.Is(err, transport.ErrMalformed) {
			t.Errorf("%s: %d bytes allocated, %v, want ErrMalformed", key, cost, err)
		}
	}
}

// allocated returns the bytes that fn allocates, freed or not.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestUnmarshal(t *testing.T) {
	t.Run("a result of many elements is no message", func(t *testing.T) {
		want := slices.Repeat([]float64{1.5}, transport.MaxElements+1)
		var got []float64
		if err := transport.Unmarshal(encode(t, want), &got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d elements, %v, want %d", len(got), err, len(want))
		}
	})
	t.Run("the error names the type", func(t *testing.T) {
		err := transport.Unmarshal([]byte("\xa1x"), new(int))
		if !errors.Is(err, transport.ErrMalformed) || !strings.Contains(err.Error(), "decode *int") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a destination that is no pointer", func(t *testing.T) {
		if err := transport.Unmarshal([]byte{1}, 5); !errors.Is(err, transport.ErrMalformed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nil is the zero value", func(t *testing.T) {
		got := sample2{S: "before"}
		if err := transport.Unmarshal([]byte{0xc0}, &got); err != nil || !reflect.DeepEqual(got, sample2{}) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
