package transport_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/transport"
)

// The decoder takes what is in an extension for the map that it expects (protoactor.md §7.4, found by FuzzValidate): ten bytes
// would ask for 4 G entries, or have it read on in the middle of a text.
func TestExtensionForMap(t *testing.T) {
	const entries = "\xdf\xea\x13\x00\x00\xff\x00\x00"
	for name, in := range map[string]string{
		"as a timestamp":        "\xd7\xff" + entries,
		"as one of nobody":      "\xd7\x05" + entries,
		"of any length":         "\xc7\x08\xff" + entries,
		"a timestamp of 96 bit": "\xc7\x0c\xff" + entries + "\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			for _, into := range []any{new(map[string]any), new(map[any]any), new(map[string]string), new(map[int]sample), new(holder)} {
				var err error
				cost := allocated(func() { err = transport.Unmarshal([]byte(in), into) })
				if !errors.Is(err, transport.ErrMalformed) || cost > 1<<20 {
					t.Errorf("into %T: %v, %d bytes allocated", into, err, cost)
				}
			}
			body := "\x82\xaaattributes" + in + "\xa6frames\xdb\x00\x00\x00\x06\xdd\xff\xff\xff\xff\xc0"
			stream := reading(transport.AppendFrame(nil, transport.KindException, 0, []byte(body)))
			var err error
			cost := allocated(func() { _, err = stream.Recv() })
			if bad := new(transport.MessageError); !errors.As(err, &bad) || cost > 1<<20 {
				t.Errorf("in a message: %v, %d bytes allocated", err, cost)
			}
		})
	}
}

// A key that nobody knows may hold any extension: the message is read without it.
func TestExtensionUnderUnknownKey(t *testing.T) {
	extensions := map[string]string{}
	for i, n := range []int{1, 2, 4, 8, 16} {
		extensions[fmt.Sprintf("fixext %d", n)] = string([]byte{0xd4 + byte(i), 0xff}) + strings.Repeat("\x81", n)
	}
	for _, n := range []int{0, 1, 254, 255} {
		extensions[fmt.Sprintf("ext 8 of %d", n)] = string([]byte{0xc7, byte(n), 5}) + strings.Repeat("\xdf", n)
	}
	for _, n := range []int{0, 255, 256, 65534, 65535} {
		extensions[fmt.Sprintf("ext 16 of %d", n)] = "\xc8" + string(size(2, uint64(n))) + "\x05" + strings.Repeat("\xdf", n)
		extensions[fmt.Sprintf("ext 32 of %d", n)] = "\xc9" + string(size(4, uint64(n))) + "\x05" + strings.Repeat("\xdf", n)
	}
	for name, x := range extensions {
		body := "\x83\xa6future" + x + "\xa3seq\x07\xa6nested\x92" + x + "\x01"
		m, err := reading(transport.AppendFrame(nil, transport.KindHeartbeat, 0, []byte(body))).Recv()
		if h, _ := m.(*transport.Heartbeat); err != nil || h.Seq != 7 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func TestTimestamps(t *testing.T) {
	type at struct {
		At  time.Time
		Any any
		Map map[string]time.Time
	}
	for _, seconds := range []int64{0, 1, 0x80000000, 0x8f000000, 0xdeadbeef, 0xdf000000, 1<<34 - 1, 1 << 34, -1, -62135596800} {
		for nanoseconds := int64(0); nanoseconds < 1e9; nanoseconds += 3999999 {
			when := time.Unix(seconds, nanoseconds)
			b := encode(t, at{when, when, map[string]time.Time{"k": when}})
			before := string(b)
			var got at
			if err := transport.Unmarshal(b, &got); err != nil || string(b) != before {
				t.Fatalf("%v: %v", when, err)
			}
			if again, _ := got.Any.(time.Time); !got.At.Equal(when) || !again.Equal(when) || !got.Map["k"].Equal(when) {
				t.Fatalf("%v became %+v", when, got)
			}
		}
	}
	var got any
	err := transport.Unmarshal([]byte("\xd4\x05\x00"), &got)
	if want := "an extension of type 5 with 1 bytes: of extensions only timestamps are read"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}
