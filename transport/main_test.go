package transport_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/transport"
)

// TestMain fails a run that leaves goroutines or descriptors.
func TestMain(m *testing.M) {
	flag.Parse()
	before := descriptors()
	code := m.Run()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != ""
	if code == 0 && !fuzzing && leaks(before) {
		code = 1
	}
	os.Exit(code)
}

// leaks reports what is still there when all tests have ended; a goroutine that is about to end gets the time for it.
func leaks(before int) bool {
	patience := time.NewTimer(5 * time.Second)
	for runtime.NumGoroutine() > 1 {
		select {
		case <-patience.C:
			fmt.Fprintln(os.Stderr, "goroutines left behind:")
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			return true
		default:
			runtime.Gosched()
		}
	}
	if after := descriptors(); after > before {
		fmt.Fprintf(os.Stderr, "%d descriptors before the tests, %d after\n", before, after)
		return true
	}
	return false
}

// descriptors counts the open sockets and pipes, where the system shows them.
func descriptors() (n int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		what, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if strings.HasPrefix(what, "socket:") || strings.HasPrefix(what, "pipe:") {
			n++
		}
	}
	return n
}

// A memory is a stream whose reading side is given and whose writing side is kept.
type memory struct {
	in  io.Reader
	out bytes.Buffer
}

func (m *memory) Read(b []byte) (int, error)  { return m.in.Read(b) }
func (m *memory) Write(b []byte) (int, error) { return m.out.Write(b) }
func (m *memory) Close() error                { return nil }

// reading returns a Conn that reads the given bytes and then sees the end.
func reading(parts ...[]byte) *transport.Conn {
	return transport.NewConn(&memory{in: bytes.NewReader(bytes.Join(parts, nil))})
}

// send returns the frames that Send writes for messages.
func send(t testing.TB, messages ...transport.Message) []byte {
	t.Helper()
	m := &memory{}
	c := transport.NewConn(m)
	for _, msg := range messages {
		if err := c.Send(msg); err != nil {
			t.Fatalf("Send(%T): %v", msg, err)
		}
	}
	return m.out.Bytes()
}

// recvAll returns all messages up to the first error that ends the stream, that error, and the messages dropped.
func recvAll(c *transport.Conn) (got []transport.Message, dropped int, end error) {
	for {
		m, err := c.Recv()
		var bad *transport.MessageError
		switch {
		case err == nil:
			got = append(got, m)
		case errors.As(err, &bad):
			dropped++
		default:
			return got, dropped, err
		}
	}
}

// receive returns the next message and fails the test when there is none.
func receive(t testing.TB, c *transport.Conn) transport.Message {
	t.Helper()
	m, err := c.Recv()
	if err != nil {
		t.Fatalf("Recv: %v", err)
	}
	return m
}

func truncated(err error) *transport.TruncatedError {
	var cut *transport.TruncatedError
	errors.As(err, &cut)
	return cut
}

// encode returns the msgpack encoding of a value.
func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := transport.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
