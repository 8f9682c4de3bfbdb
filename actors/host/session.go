package host

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The engine carries messages at most once and loses them silently: when a connection breaks, what waited for it is gone,
// with no word to anybody. So what root and agent tell each other is numbered, acknowledged and sent again. A session has two
// lanes, each with an order of its own: what is large, or of the users, cannot hold up an order.
const (
	control = 0 // orders, and their answers
	bulk    = 1 // what ranks say, and what they are sent
	lanes   = 2
)

const (
	wireVersion = 1
	chunkSize   = 64 << 10 // of one frame's body, in bytes: a batch of them stays below what one gRPC message may have
	maxPayload  = 80 << 20 // of one message, in bytes: a worker's largest and what comes around it
	maxFlight   = 64       // frames of a lane that are sent and not yet acknowledged
	ackEvery    = 32       // frames after which a receiver acknowledges by itself
)

// A header precedes each frame: 35 bytes.
//
//	version u8 | flags u8 | lane u8 | session u64 | seq u64 | ack of lane 0 u64 | ack of lane 1 u64      (big endian)
//
// seq is 0 for a frame outside of the order: a lease, an acknowledgement.
type header struct {
	flags   byte
	lane    int
	session uint64
	seq     uint64
	acks    [lanes]uint64
}

const (
	headerSize = 3 + 4*8

	flagMore  = 1 << 0 // the message goes on in the next frame
	flagAgain = 1 << 1 // the sender of this frame misses something after its acks
)

var errFrame = errors.New("host: malformed frame")

func (h header) append(b, body []byte) []byte {
	b = append(b, wireVersion, h.flags, byte(h.lane))
	b = binary.BigEndian.AppendUint64(b, h.session)
	b = binary.BigEndian.AppendUint64(b, h.seq)
	for _, ack := range h.acks {
		b = binary.BigEndian.AppendUint64(b, ack)
	}
	return append(b, body...)
}

func parseFrame(b []byte) (h header, body []byte, err error) {
	switch {
	case len(b) < headerSize:
		return h, nil, fmt.Errorf("%w: %d bytes", errFrame, len(b))
	case b[0] != wireVersion:
		return h, nil, fmt.Errorf("%w: version %d", errFrame, b[0])
	case b[2] >= lanes:
		return h, nil, fmt.Errorf("%w: lane %d", errFrame, b[2])
	case len(b) > headerSize+chunkSize:
		return h, nil, fmt.Errorf("%w: %d bytes", errFrame, len(b))
	}
	h = header{flags: b[1], lane: int(b[2]), session: binary.BigEndian.Uint64(b[3:]), seq: binary.BigEndian.Uint64(b[11:])}
	for i := range h.acks {
		h.acks[i] = binary.BigEndian.Uint64(b[19+8*i:])
	}
	return h, b[headerSize:], nil
}

// A session is one side's half of a conversation. It is pure: it returns the frames to be sent and is called by one
// goroutine.
type session struct {
	id    uint64
	chunk int // bytes of a frame's body
	lanes [lanes]lane
	ticks uint64   // of the other side that have come
	out   [][]byte // frames to be sent now
}

func newSession(id uint64) *session { return &session{id: id, chunk: chunkSize} }

// A lane keeps what was not acknowledged, and what has not come whole.
type lane struct {
	next    uint64  // number of the last frame that was made, from 1
	sent    []chunk // that were sent and not acknowledged, oldest first
	backlog []chunk // that wait for room in flight
	moved   uint64  // the tick after which something was acknowledged last

	got     uint64 // number of the last frame that came in order
	acked   uint64 // the last that we acknowledged
	partial []byte // of a message that is not whole yet
	asked   uint64 // the frame that we have asked for again since our last tick
	missing bool   // and that is still to be said
}

type chunk struct {
	seq  uint64
	more bool
	tick uint64 // when it was last sent
	body []byte
}

// send takes a message. What there is room for is in frames at once.
func (s *session) send(to int, payload []byte) {
	l := &s.lanes[to]
	for first := true; first || len(payload) > 0; first = false {
		n := min(len(payload), s.chunk)
		l.next++
		l.backlog = append(l.backlog, chunk{seq: l.next, more: n < len(payload), body: payload[:n]})
		payload = payload[n:]
	}
	s.advance(to)
}

// advance sends what there is room for.
func (s *session) advance(of int) {
	l := &s.lanes[of]
	for len(l.backlog) > 0 && len(l.sent) < maxFlight {
		c := l.backlog[0]
		l.backlog = l.backlog[1:]
		l.sent = append(l.sent, c)
		s.emit(of, &l.sent[len(l.sent)-1])
	}
	if len(l.backlog) == 0 {
		l.backlog = nil
	}
}

func (s *session) emit(of int, c *chunk) {
	c.tick = s.ticks
	h := header{lane: of, session: s.id, seq: c.seq}
	if c.more {
		h.flags |= flagMore
	}
	s.out = append(s.out, s.stamp(h).append(make([]byte, 0, headerSize+len(c.body)), c.body))
}

// stamp adds our acknowledgements to a header.
func (s *session) stamp(h header) header {
	for i := range s.lanes {
		l := &s.lanes[i]
		h.acks[i], l.acked = l.got, l.got
		if l.missing {
			h.flags |= flagAgain
			l.missing = false
		}
	}
	return h
}

// aside sends a frame outside of the order: a tick, or nothing but acknowledgements.
func (s *session) aside(body []byte) {
	s.out = append(s.out, s.stamp(header{session: s.id}).append(nil, body))
}

// frames takes the frames to be sent now.
func (s *session) frames() [][]byte {
	out := s.out
	s.out = nil
	return out
}

// receive takes a frame of the other side and returns the message that it completes. A frame that came before, or that is
// not its turn, completes none.
func (s *session) receive(h header, body []byte) (payload []byte, whole bool, err error) {
	for i := range s.lanes {
		if err := s.acknowledged(i, h.acks[i]); err != nil {
			return nil, false, err
		}
	}
	if h.flags&flagAgain != 0 {
		s.again()
	}
	if h.seq == 0 {
		return nil, false, nil
	}
	l := &s.lanes[h.lane]
	switch {
	case h.seq == l.got+1:
		l.got = h.seq
		if payload, whole, err = l.assemble(h, body); l.got-l.acked >= ackEvery {
			s.aside(nil)
		}
	case h.seq == l.got: // the last one again: our acknowledgement was lost
		s.aside(nil)
	case h.seq > l.got && l.asked != l.got+1:
		l.asked, l.missing = l.got+1, true
		s.aside(nil)
	}
	return payload, whole, err
}

func (l *lane) assemble(h header, body []byte) (payload []byte, whole bool, err error) {
	if h.flags&flagMore == 0 && l.partial == nil {
		return body, true, nil
	}
	if len(l.partial)+len(body) > maxPayload {
		return nil, false, fmt.Errorf("%w: a message of more than %d bytes", errFrame, maxPayload)
	}
	l.partial = append(l.partial, body...)
	if h.flags&flagMore != 0 {
		return nil, false, nil
	}
	payload, l.partial = l.partial, nil
	return payload, true, nil
}

// acknowledged forgets what has arrived.
func (s *session) acknowledged(of int, ack uint64) error {
	l := &s.lanes[of]
	if last := l.next - uint64(len(l.backlog)); ack > last {
		return fmt.Errorf("%w: it acknowledges frame %d of %d", errFrame, ack, last)
	}
	for len(l.sent) > 0 && l.sent[0].seq <= ack {
		l.sent[0].body = nil
		l.sent, l.moved = l.sent[1:], s.ticks
	}
	s.advance(of)
	return nil
}

// tick is called for each tick of the other side: it lives, and what it has not acknowledged for two of them was lost, unless it has
// acknowledged something before that meanwhile. A network that is slow gets nothing to carry twice.
func (s *session) tick() {
	s.ticks++
	for i := range s.lanes {
		l := &s.lanes[i]
		l.asked = 0
		if len(l.sent) > 0 && s.ticks-max(l.sent[0].tick, l.moved) >= 2 {
			s.resend(i)
		}
	}
}

// again is for a peer that misses something.
func (s *session) again() {
	for i := range s.lanes {
		s.resend(i)
	}
}

func (s *session) resend(of int) {
	l := &s.lanes[of]
	for i := range l.sent {
		s.emit(of, &l.sent[i])
	}
}

// idle reports whether all was acknowledged.
func (s *session) idle() bool {
	for i := range s.lanes {
		if len(s.lanes[i].sent) > 0 {
			return false
		}
	}
	return true
}
