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
		if m.memory != nil || m.frame != nil {
			giveBack(m.memory)
			(&batch{m.frame}).free()
			*m = Mail{}
		}
	case *Part:
		if m.memory != nil {
			giveBack(m.memory)
			*m = Part{}
		}
	}
}

// mailHead is the most that the frame of a Mail has before its value, in bytes.
const mailHead = 320

// NewMail returns a Mail with a value, encoded, for one Send, after which its sender calls [Release]. Errors are those of [Marshal],
// and [ErrTooLarge] wrapped for a value of twice what a Mail may have: one that goes round in a circle has no end.
//
// A value of some size is copied no more until it is sent: it lies where its frame will be.
func NewMail(topic string, value any) (*Mail, error) {
	var out batch
	out.open()
	out.buf.Write(make([]byte, mailHead))
	if err := encode(&within{out.buf, 2 * MaxMail}, value); err != nil {
		out.free()
		return nil, err
	}
	encoded := out.bytes()[mailHead:]
	if len(encoded) >= smallestRecycled && out.buf.Cap() <= largestBuffer {
		return &Mail{Topic: topic, Value: encoded, frame: out.buf}, nil
	}
	defer out.free()
	m := &Mail{Topic: topic, Value: borrow(len(encoded))}
	m.memory = m.Value
	copy(m.Value, encoded)
	return m, nil
}

// inPlace returns the frame of a message whose value lies in it already, nil for any other.
func inPlace(m Message) []byte {
	mail, ok := m.(*Mail)
	if !ok || mail.frame == nil || mail.Error != "" {
		return nil
	}
	frame := mail.frame.Bytes()
	var room [mailHead]byte
	head := appendMailHead(room[:headerLen], mail)
	if len(head) > mailHead || len(mail.Value) != len(frame)-mailHead || &mail.Value[0] != &frame[mailHead] {
		return nil
	}
	frame = frame[mailHead-len(head):]
	putHeader(head, len(frame)-headerLen, KindMail, 0)
	copy(frame, head)
	return frame
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
