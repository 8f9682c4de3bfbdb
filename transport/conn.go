package transport

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"syscall"
)

const (
	headerLen = 6
	flagMore  = 1
)

// A Conn is an ordered stream of messages over a byte stream. Send may be called from any goroutine; Recv from one at
// a time. Close ends both.
type Conn struct {
	rwc io.ReadWriteCloser
	r   *bufio.Reader

	parts   map[Kind][]byte // unfinished messages, by kind
	pending int             // their bytes together, at most MaxMessage
	trusted bool            // see Trust

	write sync.Mutex     // held for one frame
	kinds [16]sync.Mutex // held for one message of a kind: messages of one kind never interleave
}

// NewConn returns a Conn over rwc, which it owns from then on.
func NewConn(rwc io.ReadWriteCloser) *Conn {
	return &Conn{rwc: rwc, r: bufio.NewReader(rwc)}
}

// Trust says, before the first Recv, that the other side is no worker but who has started this process: what it announces is believed, and
// a large message has its memory at once. Otherwise memory grows with what has come.
func (c *Conn) Trust() { c.trusted = true }

// Close closes the stream. It returns the stream's error.
func (c *Conn) Close() error { return c.rwc.Close() }

// Send writes one message; it blocks while the other side does not read. A message larger than a frame travels in
// chunks, between which messages of other kinds may be sent. Errors: the encoder's, [ErrTooLarge], the stream's.
func (c *Conn) Send(m Message) error {
	if value := large(m); value != nil {
		return c.sendLarge(m.Kind(), value)
	}
	k := m.Kind()
	turn := c.turn(k)
	if frame := inPlace(m); frame != nil {
		turn.Lock()
		defer turn.Unlock()
		return c.put(frame)
	}
	var out batch
	defer out.free()
	if err := out.add(m); err != nil {
		return err
	}
	frame := out.bytes()
	turn.Lock()
	defer turn.Unlock()
	for len(frame) > headerLen+MaxFrame {
		putHeader(frame, MaxFrame, k, flagMore)
		if err := c.put(frame[:headerLen+MaxFrame]); err != nil {
			return err
		}
		frame = frame[MaxFrame:] // the next header takes the place of what was sent
	}
	putHeader(frame, len(frame)-headerLen, k, 0)
	return c.put(frame)
}

func (c *Conn) turn(k Kind) *sync.Mutex { return &c.kinds[int(k)%len(c.kinds)] }

// large returns the value of a message that has no other key, and takes several frames; nil for any other message.
func large(m Message) []byte {
	var value []byte
	switch m := m.(type) {
	case *Argument:
		value = m.Value
	case *Result:
		value = m.Value
	}
	if len(value) < MaxFrame {
		return nil
	}
	return value
}

// onlyValue is how a message begins that has one key. The size of a large value comes next, as bin 32.
const onlyValue = "\x81\xa5value"

// announced returns how many bytes a message is to have that begins like this, 0 where it does not say.
func announced(begin []byte) int {
	size, ok := bytes.CutPrefix(begin, []byte(onlyValue+"\xc6"))
	if !ok || len(size) < 4 {
		return 0
	}
	return len(begin) - len(size) + 4 + int(binary.BigEndian.Uint32(size))
}

// sendLarge is Send for what is all value: it takes no memory, however large the value and slow the reader, so that the arguments of
// many workers can be on their way at once.
func (c *Conn) sendLarge(k Kind, value []byte) error {
	head := appendSize(append(make([]byte, headerLen, mailHead), onlyValue...), 0xc4, len(value))
	if n := len(head) - headerLen + len(value); n > MaxMessage {
		return fmt.Errorf("%w: %v of %d bytes", ErrTooLarge, k, n)
	}
	turn := c.turn(k)
	turn.Lock()
	defer turn.Unlock()
	for {
		n := min(headerLen+MaxFrame-len(head), len(value))
		var flags byte
		if n < len(value) {
			flags = flagMore
		}
		putHeader(head, len(head)-headerLen+n, k, flags)
		if err := c.put(head, value[:n]); err != nil || flags == 0 {
			return err
		}
		head, value = head[:headerLen], value[n:]
	}
}

// SendAll writes messages, none of which is larger than a frame, in one call. Errors are those of Send; none of them is sent when
// one cannot be.
func (c *Conn) SendAll(messages ...Message) error {
	if len(messages) == 1 {
		return c.Send(messages[0])
	}
	var out batch
	defer out.free()
	var kinds [len(c.kinds)]bool
	for _, m := range messages {
		at := len(out.bytes())
		if err := out.add(m); err != nil {
			return err
		}
		frame := out.bytes()[at:]
		if len(frame) > headerLen+MaxFrame {
			return fmt.Errorf("%w: %v of %d bytes beside others", ErrTooLarge, m.Kind(), len(frame)-headerLen)
		}
		putHeader(frame, len(frame)-headerLen, m.Kind(), 0)
		kinds[int(m.Kind())%len(kinds)] = true
	}
	for k := range kinds { // always in this order: who waits for one holds none that comes later
		if kinds[k] {
			c.kinds[k].Lock()
			defer c.kinds[k].Unlock()
		}
	}
	return c.put(out.bytes())
}

// put writes whole frames, in one call but where a value is too large to be copied for that: a reader then seldom waits for a body.
func (c *Conn) put(pieces ...[]byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	for _, piece := range pieces {
		if _, err := c.rwc.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// A batch holds messages on their way out, each with room for its header before it.
type batch struct{ buf *bytes.Buffer }

// buffers are used again: a message that goes out leaves nothing for the collector.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const largestBuffer = 256 << 10 // bytes; what a larger message needed is given back

func (b *batch) add(m Message) error {
	b.open()
	b.buf.Write(make([]byte, headerLen))
	before := b.buf.Len()
	if mail, ok := m.(*Mail); ok {
		b.buf.Write(appendMail(b.buf.AvailableBuffer(), mail))
	} else if err := encode(b.buf, m); err != nil {
		return err
	}
	if n := b.buf.Len() - before; n > MaxMessage {
		return fmt.Errorf("%w: %v of %d bytes", ErrTooLarge, m.Kind(), n)
	}
	return nil
}

func (b *batch) open() {
	if b.buf == nil {
		b.buf = buffers.Get().(*bytes.Buffer)
	}
}

func (b *batch) bytes() []byte {
	if b.buf == nil {
		return nil
	}
	return b.buf.Bytes()
}

func (b *batch) free() {
	if b.buf != nil && b.buf.Cap() <= largestBuffer {
		b.buf.Reset()
		buffers.Put(b.buf)
	}
}

func putHeader(frame []byte, size int, k Kind, flags byte) {
	binary.BigEndian.PutUint32(frame, uint32(size))
	frame[4], frame[5] = byte(k), flags
}

// AppendFrame appends one frame to b: for tests, and for workers that frame their own messages.
func AppendFrame(b []byte, k Kind, flags byte, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, byte(k), flags)
	return append(b, body...)
}

// Recv returns the next message of a kind it knows. Errors:
//
//   - io.EOF: the stream has ended between two messages, by end of file or by a reset;
//   - *[TruncatedError]: it ended inside a message;
//   - *[MessageError]: one message was dropped; Recv may be called again;
//   - [ErrTooLarge]: the peer broke the protocol; nothing after it can be trusted;
//   - the stream's own error.
func (c *Conn) Recv() (Message, error) {
	for {
		k, body, err := c.next()
		if err != nil {
			return nil, err
		}
		m, err := decodeMessage(k, body)
		if m != nil || err != nil {
			keep(m, body)
			return m, err
		}
	}
}

// next returns the next whole message, its chunks put together.
func (c *Conn) next() (Kind, []byte, error) {
	for {
		k, flags, body, err := c.readFrame()
		if err != nil {
			return 0, nil, err
		}
		part, begun := c.parts[k]
		if flags&flagMore == 0 && !begun {
			return k, body, nil
		}
		if c.pending += len(body); c.pending > MaxMessage {
			return 0, nil, fmt.Errorf("%w: more than %d bytes in chunks, the last of %v", ErrTooLarge, MaxMessage, k)
		}
		if total := announced(body); c.trusted && !begun && total <= MaxMessage {
			part = make([]byte, 0, total)
		}
		if cap(part)-len(part) < len(body) {
			part = slices.Grow(part, max(len(part), len(body))) // append alone would copy a large message five times over
		}
		part = append(part, body...)
		giveBack(body)
		if flags&flagMore == 0 {
			delete(c.parts, k)
			c.pending -= len(part)
			return k, part, nil
		}
		if c.parts == nil {
			c.parts = make(map[Kind][]byte)
		}
		c.parts[k] = part
	}
}

func (c *Conn) readFrame() (k Kind, flags byte, body []byte, err error) {
	var head [headerLen]byte
	n, err := io.ReadFull(c.r, head[:])
	if err != nil {
		return 0, 0, nil, c.ended(0, head[:0], n, err)
	}
	size := binary.BigEndian.Uint32(head[:])
	k, flags = Kind(head[4]), head[5]
	if size > MaxFrame {
		return 0, 0, nil, fmt.Errorf("%w: a frame of %d bytes", ErrTooLarge, size)
	}
	body = borrow(int(size))
	if n, err = io.ReadFull(c.r, body); err != nil {
		return 0, 0, nil, c.ended(k, body[:n], headerLen+n, err)
	}
	return k, flags, body, nil
}

// ended tells a clean end from one inside a message. A peer that dies with data of ours unread makes the kernel answer
// ECONNRESET in place of an end of file: both mean the end. Of several messages that were cut off an exception counts
// most.
func (c *Conn) ended(k Kind, body []byte, n int, err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	if n == 0 && len(c.parts) == 0 {
		return io.EOF
	}
	cut := map[Kind][]byte{k: body}
	for open, part := range c.parts {
		cut[open] = slices.Concat(part, cut[open])
	}
	if x, raised := cut[KindException]; raised {
		return &TruncatedError{KindException, x}
	}
	if k == 0 && len(c.parts) > 0 {
		k = slices.Min(slices.Collect(maps.Keys(c.parts)))
	}
	return &TruncatedError{k, cut[k]}
}
