package transport

import (
	"math/bits"
	"sync"
)

// What large messages lie in is used again. Otherwise the collector runs for every few dozen of them, and takes several times as
// long as it takes to send them.

// Smaller messages are not worth it; no frame is larger.
const (
	smallestRecycled = 4 << 10
	largestRecycled  = MaxFrame + 1<<10
)

// recycled holds *[]byte, each where the number of bits of its capacity says.
var recycled [32]sync.Pool

// borrow returns n bytes with anything in them.
func borrow(n int) []byte {
	if n >= smallestRecycled && n <= largestRecycled {
		if b, ok := recycled[bits.Len(uint(n))].Get().(*[]byte); ok && cap(*b) >= n {
			return (*b)[:n]
		}
	}
	return make([]byte, n)
}

// giveBack takes what nobody uses any more.
func giveBack(b []byte) {
	if n := cap(b); n >= smallestRecycled && n <= largestRecycled {
		recycled[bits.Len(uint(n))].Put(&b)
	}
}

// Release gives back what a Mail that came from Recv or [NewMail], or a Part that came from Recv, lies in: for messages to
// come. Neither the message nor its value may be used any more. What nobody releases, and any other message, the collector takes.
func Release(m Message) {
	switch m := m.(type) {
	case *Mail:
		if m.memory != nil {
			giveBack(m.memory)
			*m = Mail{}
		}
	case *Part:
		if m.memory != nil {
			giveBack(m.memory)
			*m = Part{}
		}
	}
}

// NewMail returns a Mail with a value, encoded, for who calls [Release] when it was sent. It returns the encoder's error for a
// value that msgpack cannot hold.
func NewMail(topic string, value any) (*Mail, error) {
	var out batch
	defer out.free()
	out.open()
	if err := encode(out.buf, value); err != nil {
		return nil, err
	}
	m := &Mail{Topic: topic, Value: borrow(out.buf.Len())}
	m.memory = m.Value
	copy(m.Value, out.bytes())
	return m, nil
}

// keep notes what a message lies in that has just been read.
func keep(m Message, body []byte) {
	switch m := m.(type) {
	case *Mail:
		m.memory = body
	case *Part:
		m.memory = body
	}
}
