package transport_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-muster/muster/transport"
)

func TestConn(t *testing.T) {
	a, b := net.Pipe()
	ours, theirs := transport.NewConn(a), transport.NewConn(b)
	defer ours.Close()
	for _, m := range []transport.Message{
		&transport.Hello{Min: 1, Max: 2, PID: 7, SDK: "go"},
		&transport.Welcome{Version: 1, Heartbeat: time.Second},
		&transport.Ready{},
		everything(),
		&transport.Result{Value: bytes.Repeat([]byte{1}, 3*transport.MaxFrame)},
		&transport.Heartbeat{Seq: 1, Time: 2},
		&transport.Progress{Count: 7, Text: "epoch 1"},
		&transport.Stop{Reason: "enough", Grace: time.Minute},
		&transport.Dump{Text: "goroutine 1 [running]:"},
		&transport.Argument{Value: []byte{0xc0}},
	} {
		t.Run(m.Kind().String(), func(t *testing.T) {
			sent := make(chan error, 1)
			go func() { sent <- theirs.Send(m) }() // ends when the message is read
			if got := receive(t, ours); !reflect.DeepEqual(got, m) {
				t.Errorf("got %+v, want %+v", got, m)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
	theirs.Close()
	if m, err := ours.Recv(); err != io.EOF {
		t.Errorf("after the other side's Close: %v, %v, want io.EOF", m, err)
	}
}

func TestKind(t *testing.T) {
	for k, want := range map[transport.Kind]string{
		transport.KindHello: "Hello", transport.KindWelcome: "Welcome", transport.KindReady: "Ready",
		transport.KindException: "Exception", transport.KindResult: "Result", transport.KindHeartbeat: "Heartbeat",
		transport.KindStop: "Stop", transport.KindArgument: "Argument", transport.KindProgress: "Progress",
		transport.KindDump: "Dump", transport.KindMail: "Mail", transport.KindCredit: "Credit", transport.KindPart: "Part", 14: "kind 14", 0: "kind 0", 255: "kind 255",
	} {
		if got := k.String(); got != want {
			t.Errorf("Kind(%d) = %q, want %q", uint8(k), got, want)
		}
	}
	for _, m := range messages() {
		if want := fmt.Sprintf("*transport.%v", m.Kind()); fmt.Sprintf("%T", m) != want {
			t.Errorf("%T calls itself %v", m, m.Kind())
		}
	}
}

func TestSend(t *testing.T) {
	t.Run("writes a small message in one call", func(t *testing.T) {
		var calls [][]byte
		c := transport.NewConn(writer(func(b []byte) (int, error) {
			calls = append(calls, bytes.Clone(b))
			return len(b), nil
		}))
		if err := c.Send(&transport.Ready{}); err != nil {
			t.Fatal(err)
		}
		if want := []byte{0, 0, 0, 1, 3, 0, 0x80}; len(calls) != 1 || !bytes.Equal(calls[0], want) {
			t.Errorf("wrote %x, want %x at once", calls, want)
		}
	})
	t.Run("returns the stream's error", func(t *testing.T) {
		broken := errors.New("broken")
		c := transport.NewConn(writer(func([]byte) (int, error) { return 0, broken }))
		big := &transport.Result{Value: make([]byte, 2*transport.MaxFrame)}
		for _, m := range []transport.Message{&transport.Ready{}, big, &transport.Ready{}} {
			if err := c.Send(m); !errors.Is(err, broken) {
				t.Errorf("Send(%v) = %v, want %v", m.Kind(), err, broken)
			}
		}
	})
	t.Run("refuses a message that no reader would take", func(t *testing.T) {
		m := &memory{}
		err := transport.NewConn(m).Send(&transport.Result{Value: make([]byte, transport.MaxMessage)})
		if !errors.Is(err, transport.ErrTooLarge) || m.out.Len() > 0 {
			t.Errorf("Send = %v after %d bytes, want ErrTooLarge and nothing sent", err, m.out.Len())
		}
	})
}

func TestSendAll(t *testing.T) {
	all := []transport.Message{&transport.Mail{ID: 1, Topic: "t", Value: []byte("v")}, &transport.Credit{Bytes: 7}, &transport.Mail{Reply: 300}}
	var calls [][]byte
	c := transport.NewConn(writer(func(b []byte) (int, error) {
		calls = append(calls, bytes.Clone(b))
		return len(b), nil
	}))
	if err := c.SendAll(all...); err != nil || len(calls) != 1 || !bytes.Equal(calls[0], send(t, all...)) {
		t.Errorf("wrote %x, want %x at once: %v", calls, send(t, all...), err)
	}
	err := c.SendAll(append(all, &transport.Result{Value: make([]byte, transport.MaxFrame)})...)
	if !errors.Is(err, transport.ErrTooLarge) || len(calls) != 1 {
		t.Errorf("%v, and %d more writes", err, len(calls)-1)
	}
	if err := c.SendAll(); err != nil {
		t.Error(err)
	}
}

// TestMailAsEncoded holds what writes a Mail, and what reads it, to what the encoder and the decoder of all others do.
func TestMailAsEncoded(t *testing.T) {
	sizes := []int{0, 1, 31, 32, 255, 256, 65535, 65536}
	numbers := []int{0, 1, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<63 - 1, -1, -32, -33, -128, -129, -32769, -1 << 31, -1<<31 - 1}
	for _, size := range sizes {
		for _, n := range numbers {
			m := &transport.Mail{ID: n, Reply: -n - 1, Topic: strings.Repeat("t", size), Value: make([]byte, size), Error: strings.Repeat("e", size)}
			if got, want := send(t, m)[6:], encode(t, m); !bytes.Equal(got, want) {
				t.Fatalf("%d of %d bytes: %.40x, want %.40x", n, size, got, want)
			}
			h := &transport.Heartbeat{Seq: n, Time: int64(n)}
			if got := receive(t, reading(send(t, h))); *got.(*transport.Heartbeat) != *h {
				t.Fatalf("%+v became %+v", h, got)
			}
		}
	}
}

// A writer is a stream that is only written.
type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
func (w writer) Read([]byte) (int, error)    { return 0, io.EOF }
func (w writer) Close() error                { return nil }

func TestSendInterleaves(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	c := transport.NewConn(b)
	var senders sync.WaitGroup
	beating, enough := make(chan bool), make(chan bool)
	senders.Go(func() {
		for seq := 1; c.Send(&transport.Heartbeat{Seq: seq}) == nil; seq++ {
			if seq == 1 {
				close(beating)
			}
			select {
			case <-enough:
				return
			default:
			}
		}
	})
	var results sync.WaitGroup
	for fill := range byte(2) {
		results.Go(func() {
			<-beating
			if err := c.Send(&transport.Result{Value: bytes.Repeat([]byte{fill}, 4*transport.MaxFrame)}); err != nil {
				t.Error(err)
			}
		})
	}
	senders.Go(func() {
		results.Wait()
		close(enough)
	})
	go func() { // ends when the senders do
		senders.Wait()
		b.Close()
	}()

	tap := &tap{Conn: a}
	got, _, end := recvAll(transport.NewConn(tap))
	if end != io.EOF {
		t.Errorf("the end is %v, want io.EOF", end)
	}
	checkOrder(t, got)
	const result, beat = byte(transport.KindResult), byte(transport.KindHeartbeat)
	chunks := tap.kinds[bytes.IndexByte(tap.kinds, result):bytes.LastIndexByte(tap.kinds, result)]
	if bytes.IndexByte(chunks, beat) < 0 {
		t.Errorf("no heartbeat between the chunks of the results: %v", tap.kinds)
	}
}

// checkOrder wants two results, each of one byte only, and heartbeats without a gap.
func checkOrder(t *testing.T, got []transport.Message) {
	t.Helper()
	beats, results := 0, 0
	for _, m := range got {
		switch m := m.(type) {
		case *transport.Heartbeat:
			if beats++; m.Seq != beats {
				t.Fatalf("heartbeat %d came as number %d", m.Seq, beats)
			}
		case *transport.Result:
			results++
			if n := len(m.Value); n != 4*transport.MaxFrame || bytes.Count(m.Value, m.Value[:1]) != n {
				t.Errorf("a result of %d bytes holds bytes of the other", n)
			}
		}
	}
	if beats == 0 || results != 2 {
		t.Errorf("%d heartbeats and %d results arrived, want some and 2", beats, results)
	}
}

// A tap notes the kinds of the frames that are read through it. Each frame is written in one call, and net.Pipe ends
// a Read where a Write ends.
type tap struct {
	net.Conn
	kinds []byte
	left  int
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if t.left == 0 && n >= 6 {
		t.left = 6 + int(binary.BigEndian.Uint32(b))
		t.kinds = append(t.kinds, b[4])
	}
	t.left -= n
	return n, err
}

func TestSendBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		sent := 0
		go func() { // ends with the pipe
			for transport.NewConn(b).Send(&transport.Heartbeat{}) == nil {
				sent++
			}
		}()
		synctest.Wait()
		if sent != 0 {
			t.Fatalf("%d messages were sent to nobody", sent)
		}
		c := transport.NewConn(a)
		for want := 1; want < 4; want++ {
			receive(t, c)
			synctest.Wait()
			if sent != want {
				t.Fatalf("%d messages were sent when %d were read", sent, want)
			}
		}
		a.Close()
		synctest.Wait()
	})
}

func TestRecv(t *testing.T) {
	frame := func(k transport.Kind, flags byte, body string) []byte {
		return transport.AppendFrame(nil, k, flags, []byte(body))
	}
	ready := frame(transport.KindReady, 0, "\x80")
	beat := func(body string) []byte { return frame(transport.KindHeartbeat, 0, body) }
	tests := []struct {
		name    string
		stream  []byte
		kinds   []transport.Kind
		dropped int
	}{
		{"nothing", nil, nil, 0},
		{"an unknown kind is skipped", cat(frame(99, 0, "\xc1\xc1"), ready), []transport.Kind{3}, 0},
		{"an unknown kind is skipped, whatever it holds", cat(frame(99, 0, "\x80"), frame(99, 0, ""), ready), []transport.Kind{3}, 0},
		{"an unknown kind in chunks is skipped", cat(frame(99, 1, "ab"), ready, frame(99, 0, "c"), ready), []transport.Kind{3, 3}, 0},
		{"an empty body is dropped", cat(beat(""), ready), []transport.Kind{3}, 1},
		{"a body that is nil is dropped", cat(beat("\xc0"), ready), []transport.Kind{3}, 1},
		{"a body that is an array is dropped", cat(beat("\x92\x01\x02"), ready), []transport.Kind{3}, 1},
		{"a body with a reserved code is dropped", cat(beat("\x81\xa3seq\xc1"), ready), []transport.Kind{3}, 1},
		{"a body that ends too early is dropped", cat(beat("\x82\xa3seq\x01"), ready), []transport.Kind{3}, 1},
		{"a body with trailing bytes is dropped", cat(beat("\x81\xa3seq\x01\x00"), ready), []transport.Kind{3}, 1},
		{"a value of another type is dropped", cat(beat("\x81\xa3seq\xa1x"), ready), []transport.Kind{3}, 1},
		{"a key that is no string is dropped", cat(beat("\x81\x01\x01"), ready), []transport.Kind{3}, 1},
		{"a member that is no map is dropped", cat(frame(4, 0, "\x81\xa5cause\xa1x"), ready), []transport.Kind{3}, 1},
		{"a negative count is dropped", cat(frame(7, 0, "\x81\xa5count\xff"), ready), []transport.Kind{3}, 1},
		{"a count beyond 63 bits is dropped", cat(frame(7, 0, "\x81\xa5count\xcf\x80\x00\x00\x00\x00\x00\x00\x00"), ready), []transport.Kind{3}, 1},
		{"a count that is a text is dropped", cat(frame(7, 0, "\x81\xa5count\xa17"), ready), []transport.Kind{3}, 1},
		{"one after the other", cat(beat("\xc0"), ready, beat("\xc1"), beat("\x80")), []transport.Kind{3, 6}, 2},
		{"chunks of a dropped message", cat(frame(6, 1, "\x81\xa3s"), frame(6, 0, "eq"), ready), []transport.Kind{3}, 1},
		{"an empty chunk", cat(frame(transport.KindReady, 1, ""), frame(transport.KindReady, 0, "\x80")), []transport.Kind{3}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, dropped, end := recvAll(reading(tt.stream))
			var kinds []transport.Kind
			for _, m := range got {
				kinds = append(kinds, m.Kind())
			}
			if !reflect.DeepEqual(kinds, tt.kinds) || dropped != tt.dropped || end != io.EOF {
				t.Errorf("got %v, %d dropped, end %v; want %v, %d dropped, io.EOF", kinds, dropped, end, tt.kinds, tt.dropped)
			}
		})
	}
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestMessageError(t *testing.T) {
	_, err := reading(transport.AppendFrame(nil, transport.KindHeartbeat, 0, []byte("\x91\x00"))).Recv()
	var bad *transport.MessageError
	if !errors.As(err, &bad) || bad.Kind != transport.KindHeartbeat || !errors.Is(err, transport.ErrMalformed) {
		t.Fatalf("got %v, want a *MessageError of Heartbeat that wraps ErrMalformed", err)
	}
	if want := "transport: malformed message: the body is not a map (Heartbeat dropped)"; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
}

func TestRecvTooLarge(t *testing.T) {
	mega := make([]byte, transport.MaxFrame)
	chunk := func(k transport.Kind) []byte { return transport.AppendFrame(nil, k, 1, mega) }
	last := func(k transport.Kind) []byte { return transport.AppendFrame(nil, k, 0, []byte{0}) }
	most := transport.MaxMessage / transport.MaxFrame
	tests := []struct {
		name   string
		stream io.Reader
	}{
		{"a frame of one byte more", bytes.NewReader([]byte{0x00, 0x10, 0x00, 0x01, 5, 0})},
		{"a frame of 4 GiB", bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 5, 0})},
		{"a frame of an unknown kind", bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 99, 0})},
		{"chunks of two kinds, the last of them too much",
			io.MultiReader(times(most/2, chunk(5)), times(most/2, chunk(99)), bytes.NewReader(last(5)))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := transport.NewConn(&memory{in: tt.stream}).Recv()
			if !errors.Is(err, transport.ErrTooLarge) {
				t.Errorf("got %v, %v, want ErrTooLarge", m, err)
			}
		})
	}
	t.Run("the most there may be passes, and gives its room back", func(t *testing.T) {
		ready := bytes.NewReader(send(t, &transport.Ready{}))
		c := transport.NewConn(&memory{in: io.MultiReader(times(most, chunk(98)), ready,
			bytes.NewReader(cat(transport.AppendFrame(nil, 98, 0, nil), chunk(99), send(t, &transport.Ready{}))))})
		receive(t, c)
		receive(t, c)
	})
}

func times(n int, b []byte) io.Reader {
	all := make([]io.Reader, n)
	for i := range all {
		all[i] = bytes.NewReader(b)
	}
	return io.MultiReader(all...)
}

// TestAnnounced: a large message has its memory at once where the other side is trusted; of a stranger's word nothing is made.
func TestAnnounced(t *testing.T) {
	const size = 16 << 20
	taken := func(stream []byte, trust bool) (bytes uint64, m transport.Message) {
		c := reading(stream)
		if trust {
			c.Trust()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, _ = c.Recv()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc, m
	}
	value := bytes.Repeat([]byte{7}, size)
	large := send(t, &transport.Argument{Value: value})
	for _, trust := range []bool{true, false} {
		n, m := taken(large, trust)
		if a, is := m.(*transport.Argument); !is || !bytes.Equal(a.Value, value) {
			t.Fatalf("trust %v: the argument is not what was sent", trust)
		}
		if most := uint64(size * 7 / 4); trust == (n > most) { // what the chunks lie in is used again, but not always
			t.Errorf("trust %v: it took %d bytes, of %d", trust, n, most)
		}
	}
	for name, begin := range map[string]string{
		"all there may be": "\x81\xa5value\xc6\x03\xff\xff\x00",
		"too much":         "\x81\xa5value\xc6\xff\xff\xff\xff",
		"cut off":          "\x81\xa5value\xc6\x03",
	} {
		word := transport.AppendFrame(nil, transport.KindArgument, 1, []byte(begin))
		n, _ := taken(word, false)
		if n > 1<<20 {
			t.Errorf("%s, by a stranger: %d bytes", name, n)
		}
		if n, m := taken(word, true); m != nil || name == "too much" && n > 1<<20 {
			t.Errorf("%s: %d bytes, %v", name, n, m)
		}
	}
}

// TestRecvTruncated cuts a stream at every byte: what comes out is always a prefix of what went in, and the end is clean
// only between messages.
func TestRecvTruncated(t *testing.T) {
	raised := everything()
	stream, ends := chunked(t, raised)
	whole, _, _ := recvAll(reading(stream))
	longest := 0
	for n := range len(stream) + 1 {
		got, dropped, end := recvAll(reading(stream[:n]))
		if dropped > 0 || len(got) > len(whole) || len(got) > 0 && !reflect.DeepEqual(got, whole[:len(got)]) {
			t.Fatalf("the first %d bytes: %d dropped, messages %v", n, dropped, got)
		}
		cut := truncated(end)
		if clean := ends[n]; clean != (end == io.EOF) || !clean && cut == nil {
			t.Fatalf("the first %d bytes: the end is %v, between messages: %v", n, end, clean)
		}
		if cut == nil || cut.Kind != transport.KindException {
			continue
		}
		x := cut.Exception()
		if x == nil {
			if len(cut.Body) > 3+len("\xa4type\xaeE") {
				t.Fatalf("nothing is saved of %d bytes", len(cut.Body))
			}
			continue
		}
		longest = checkSaved(t, x, raised, longest)
	}
	if longest != len(raised.Type+raised.Module+raised.Message+raised.Traceback) {
		t.Errorf("at most %d bytes of text were saved", longest)
	}
}

// chunked returns a stream with an exception in chunks of 37 bytes, other messages before, between and behind them, and
// the offsets at which no message is open.
func chunked(t testing.TB, x *transport.Exception) (stream []byte, ends map[int]bool) {
	ends = map[int]bool{0: true}
	stream = send(t, &transport.Hello{SDK: "go"})
	ends[len(stream)] = true
	body := encode(t, x)
	for i := 0; len(body) > 37; i++ {
		stream = transport.AppendFrame(stream, transport.KindException, 1, body[:37])
		body = body[37:]
		switch i {
		case 2:
			stream = append(stream, send(t, &transport.Heartbeat{Seq: 1, Time: 1 << 40})...)
		case 4:
			stream = transport.AppendFrame(stream, 99, 1, []byte("abc"))
		case 6:
			stream = transport.AppendFrame(stream, 99, 0, []byte("def"))
		}
	}
	stream = transport.AppendFrame(stream, transport.KindException, 0, body)
	ends[len(stream)] = true
	stream = append(stream, send(t, &transport.Heartbeat{Seq: 2})...)
	ends[len(stream)] = true
	return stream, ends
}

// checkSaved wants texts that are prefixes of the original's, and at least as long as those that fewer bytes gave.
func checkSaved(t *testing.T, x, from *transport.Exception, least int) int {
	t.Helper()
	n := 0
	for _, p := range [][2]string{
		{x.Type, from.Type}, {x.Module, from.Module}, {x.Message, from.Message}, {x.Traceback, from.Traceback},
	} {
		text := strings.TrimSuffix(p[0], "\uFFFD") // a character that was torn
		if n += len(text); !strings.HasPrefix(p[1], text) {
			t.Fatalf("saved %q, which does not begin %q", p[0], p[1])
		}
	}
	if !x.Truncated {
		t.Fatalf("a saved exception is not marked: %+v", x)
	}
	if n < least {
		t.Fatalf("%d bytes of text saved, fewer bytes of the stream gave %d", n, least)
	}
	return n
}

func TestTruncatedError(t *testing.T) {
	frame := transport.AppendFrame
	raising := func(body string) []byte { return frame(nil, transport.KindException, 1, []byte(body)) }
	arrived := func(what string) string {
		return "transport: the stream ended inside a message (" + what + " bytes arrived)"
	}
	open := raising("\x81\xa4type\xa1E")
	tests := []struct {
		name   string
		stream []byte
		kind   transport.Kind
		saved  string
		text   string
	}{
		{"inside a header", []byte{0, 0}, 0, "", "transport: the stream ended inside a frame header"},
		{"before a body", []byte{0, 0, 0, 9, 5, 0}, transport.KindResult, "", arrived("Result, 0")},
		{"inside a body", []byte{0, 0, 0, 9, 5, 0, 0x81}, transport.KindResult, "", arrived("Result, 1")},
		{"between chunks", open, transport.KindException, "E", arrived("Exception, 8")},
		{"inside a header between chunks", cat(open, []byte{0}), transport.KindException, "E", ""},
		{"inside the next chunk", cat(open, []byte{0, 0, 0, 9, 4, 0, 'x'}), transport.KindException, "E", arrived("Exception, 9")},
		{"inside another message: the exception counts most", cat(open, []byte{0, 0, 0, 9, 6, 0, 'x'}), transport.KindException, "E", ""},
		{"two messages open: the exception counts most", cat(frame(nil, 2, 1, []byte("w")), open), transport.KindException, "E", ""},
		{"two messages open", cat(frame(nil, 5, 1, []byte("r")), frame(nil, 2, 1, []byte("w"))), transport.KindWelcome, "", ""},
		{"an exception that is no map", raising("\x92\xa4type"), transport.KindException, "", ""},
		{"an exception without texts", raising("\x81\xa6frames\x90"), transport.KindException, "", ""},
		{"an exception that begins with a number", raising("\x81\xa4type\x07"), transport.KindException, "", ""},
		{"an exception with a long map", raising("\xdf\xff\xff\xff\xff\xa4type\xa1E"), transport.KindException, "E", ""},
		{"an exception with half a map header", raising("\xdf\xff"), transport.KindException, "", ""},
		{"an exception with half a text header", raising("\x82\xa4type\xa1E\xa7message\xdb\x00"), transport.KindException, "E", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := reading(tt.stream).Recv()
			cut := truncated(err)
			if cut == nil || cut.Kind != tt.kind {
				t.Fatalf("got %v, want a *TruncatedError of %v", err, tt.kind)
			}
			if tt.text != "" && err.Error() != tt.text {
				t.Errorf("text %q, want %q", err, tt.text)
			}
			if x := cut.Exception(); (x == nil) != (tt.saved == "") || x != nil && x.Type != tt.saved {
				t.Errorf("saved %+v, want type %q", x, tt.saved)
			}
		})
	}
}

func TestRecvStreamError(t *testing.T) {
	broken := errors.New("broken")
	for _, stream := range [][]byte{nil, {0, 0}, {0, 0, 0, 9, 5, 0, 1}} {
		c := transport.NewConn(&memory{in: io.MultiReader(bytes.NewReader(stream), failing{broken})})
		if _, err := c.Recv(); !errors.Is(err, broken) {
			t.Errorf("after %x: %v, want %v", stream, err, broken)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
