package transport

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A frequent message reads its own fields: the decoder would copy what is a megabyte at times, and cost more than all the rest of
// what is small. What it holds is part of the body, which nobody else has. The golden frames hold it to what the decoder does.
type frequent interface {
	Message
	// field takes the value of a key, and ignores what it does not know.
	field(key string, v raw) error
}

func (h *Heartbeat) field(key string, v raw) (err error) {
	switch key {
	case "seq":
		h.Seq, err = v.int()
	case "time":
		h.Time, err = v.int64()
	}
	return err
}

func (r *Result) field(key string, v raw) (err error) {
	if key == "value" {
		r.Value, err = v.bytes()
	}
	return err
}

func (a *Argument) field(key string, v raw) (err error) {
	if key == "value" {
		a.Value, err = v.bytes()
	}
	return err
}

func (p *Part) field(key string, v raw) (err error) {
	if key == "value" {
		p.Value, err = v.bytes()
	}
	return err
}

func (c *Credit) field(key string, v raw) (err error) {
	if key == "bytes" {
		c.Bytes, err = v.int()
	}
	return err
}

func (m *Mail) field(key string, v raw) (err error) {
	switch key {
	case "id":
		m.ID, err = v.int()
	case "reply":
		m.Reply, err = v.int()
	case "topic":
		m.Topic, err = v.text()
	case "value":
		m.Value, err = v.bytes()
	case "error":
		m.Error, err = v.text()
	}
	return err
}

// readFrequent reads a map that has passed the walk.
func readFrequent(body []byte, m frequent) error {
	head, _, kids := shape(body)
	rest := body[head:]
	for range kids / 2 {
		n := whole(rest)
		key, err := raw(rest[:n]).bytes()
		if err != nil {
			return fmt.Errorf("%w: a key: %w", ErrMalformed, err)
		}
		rest = rest[n:]
		n = whole(rest)
		if err := m.field(string(key), raw(rest[:n:n])); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrMalformed, key, err)
		}
		rest = rest[n:]
	}
	return nil
}

// whole returns the length of the value at the start of b, with all that is in it.
func whole(b []byte) (n int) {
	for missing := 1; missing > 0; missing-- {
		more, kids, _ := step(b[n:])
		n += more
		missing += kids
	}
	return n
}

// raw is one value that has passed the walk.
type raw []byte

// bytes returns a binary value or a text as it stands there, nil for nil.
func (v raw) bytes() ([]byte, error) {
	switch c := v[0]; {
	case c == 0xc0:
		return nil, nil
	case c >= 0xa0 && c <= 0xbf, c >= 0xc4 && c <= 0xc6, c >= 0xd9 && c <= 0xdb:
		head, _, _ := shape(v)
		return v[head:], nil
	}
	return nil, fmt.Errorf("code 0x%02x is no binary value", v[0])
}

func (v raw) text() (string, error) {
	b, err := v.bytes()
	return string(b), err
}

// int64 returns an integer of any form, 0 for nil.
func (v raw) int64() (int64, error) {
	switch c := v[0]; {
	case c == 0xc0:
		return 0, nil
	case c <= 0x7f, c >= 0xe0:
		return int64(int8(c)), nil
	case c >= 0xcc && c <= 0xcf:
		if u := unsigned(v[1:]); u <= math.MaxInt64 {
			return int64(u), nil
		}
	case c >= 0xd0 && c <= 0xd3:
		unused := 64 - 8*(len(v)-1)
		return int64(unsigned(v[1:])<<unused) >> unused, nil
	}
	return 0, fmt.Errorf("%x is no integer in range", v[:min(len(v), 9)])
}

func (v raw) int() (int, error) {
	n, err := v.int64()
	if err == nil && int64(int(n)) != n {
		err = fmt.Errorf("%d is out of range", n)
	}
	return int(n), err
}

// unsigned reads a big-endian number of up to 8 bytes.
func unsigned(b []byte) uint64 {
	var full [8]byte
	copy(full[8-len(b):], b)
	return binary.BigEndian.Uint64(full[:])
}

// appendMail appends what the encoder would write, which asks for the type of each field.
func appendMail(b []byte, m *Mail) []byte {
	b = append(appendMailHead(b, m), m.Value...)
	if m.Error != "" {
		b = append(appendSize(append(b, "\xa5error"...), 0xd9, len(m.Error)), m.Error...)
	}
	return b
}

// appendMailHead appends all that comes before the bytes of the value.
func appendMailHead(b []byte, m *Mail) []byte {
	at := len(b)
	b = append(b, 0x80)
	if m.ID != 0 {
		b = appendInt(append(b, "\xa2id"...), m.ID)
	}
	if m.Reply != 0 {
		b = appendInt(append(b, "\xa5reply"...), m.Reply)
	}
	if m.Topic != "" {
		b = append(appendSize(append(b, "\xa5topic"...), 0xd9, len(m.Topic)), m.Topic...)
	}
	if len(m.Value) > 0 {
		b = appendSize(append(b, "\xa5value"...), 0xc4, len(m.Value))
	}
	for _, there := range [...]bool{m.ID != 0, m.Reply != 0, m.Topic != "", len(m.Value) > 0, m.Error != ""} {
		if there {
			b[at]++
		}
	}
	return b
}

// appendSize appends the size of a text (0xd9) or of binary (0xc4) in the shortest form.
func appendSize(b []byte, code byte, n int) []byte {
	switch {
	case code == 0xd9 && n < 32:
		return append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		return append(b, code, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, code+1), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, code+2), uint32(n))
}

// appendInt appends an integer in the shortest form.
func appendInt(b []byte, n int) []byte {
	switch {
	case n >= -32 && n < 128:
		return append(b, byte(n))
	case n < math.MinInt32:
		return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(n))
	case n < math.MinInt16:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(n))
	case n < math.MinInt8:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(n))
	case n < 0:
		return append(b, 0xd0, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), uint64(n))
}
