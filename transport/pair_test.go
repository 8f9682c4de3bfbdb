//go:build unix

package transport_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/transport"
)

// pair returns the two ends of a link; the test closes what it has not closed.
func pair(t testing.TB) (parent, child *os.File) {
	t.Helper()
	parent, child, err := transport.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		parent.Close()
		child.Close()
	})
	return parent, child
}

func TestPair(t *testing.T) {
	parent, child := pair(t)
	for _, tt := range []struct {
		name string
		file *os.File
		wait bool
	}{{"parent", parent, false}, {"child", child, true}} {
		t.Run(tt.name, func(t *testing.T) {
			if flags := fcntl(t, tt.file, unix.F_GETFD); flags&unix.FD_CLOEXEC == 0 {
				t.Error("it is inherited by every process")
			}
			if blocks := fcntl(t, tt.file, unix.F_GETFL)&unix.O_NONBLOCK == 0; blocks != tt.wait {
				t.Errorf("it blocks: %v, want %v", blocks, tt.wait)
			}
			if pollable := tt.file.SetDeadline(time.Time{}) == nil; pollable == tt.wait {
				t.Errorf("it takes deadlines: %v, want %v", pollable, !tt.wait)
			}
		})
	}
}

func fcntl(t *testing.T, f *os.File, cmd int) (flags int) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if outer := raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, cmd, 0) }); outer != nil || err != nil {
		t.Fatal(outer, err)
	}
	return flags
}

// An errorKeeper keeps the last error that reading gave.
type errorKeeper struct {
	*os.File
	err error
}

func (k *errorKeeper) Read(b []byte) (int, error) {
	n, err := k.File.Read(b)
	if err != nil {
		k.err = err
	}
	return n, err
}

// TestReset is T20: a worker that dies without having read what we sent makes the kernel say ECONNRESET, after all that
// it sent itself.
func TestReset(t *testing.T) {
	raised := &transport.Exception{Type: "ValueError", Message: "the last word"}
	tests := []struct {
		name  string
		bytes []byte
		want  transport.Message
		cut   bool
	}{
		{"behind nothing", nil, nil, false},
		{"behind a message", send(t, raised), raised, false},
		{"inside a message", send(t, raised)[:20], nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parent, child := pair(t)
			tap := &errorKeeper{File: parent}
			c := transport.NewConn(tap)
			if err := c.Send(&transport.Stop{Reason: "nobody reads this"}); err != nil {
				t.Fatal(err)
			}
			if _, err := child.Write(tt.bytes); err != nil {
				t.Fatal(err)
			}
			child.Close()
			got, _, end := recvAll(c)
			if len(got) > 0 != (tt.want != nil) || tt.want != nil && !reflect.DeepEqual(got[0], tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if tt.cut != (truncated(end) != nil) || !tt.cut && end != io.EOF {
				t.Errorf("the end is %v", end)
			}
			if !errors.Is(tap.err, syscall.ECONNRESET) {
				t.Logf("this system says %v, not ECONNRESET: the test shows less here", tap.err)
			}
		})
	}
}

// TestBothWrite is T21: both sides write more than the socket holds before either reads the other's.
func TestBothWrite(t *testing.T) {
	parent, child := pair(t)
	value := bytes.Repeat([]byte("muster"), transport.MaxFrame/6)
	var sides sync.WaitGroup
	for _, end := range []*os.File{parent, child} {
		c := transport.NewConn(end)
		sides.Go(func() {
			got, err := c.Recv()
			if err != nil || !bytes.Equal(got.(*transport.Result).Value, value) {
				t.Errorf("got %T, %v, want the other side's value", got, err)
			}
		})
		sides.Go(func() {
			if err := c.Send(&transport.Result{Value: value}); err != nil {
				t.Error(err)
			}
		})
	}
	sides.Wait()
}

// TestNobodyReads fills a link: Send waits, and gives up at the stream's deadline; what it said was sent arrives.
func TestNobodyReads(t *testing.T) {
	parent, child := pair(t)
	if err := parent.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	c, sent := transport.NewConn(parent), 0
	var err error
	for ; err == nil; sent++ {
		err = c.Send(&transport.Result{Value: make([]byte, 1<<14)})
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Send = %v, want the deadline", err)
	}
	parent.Close()
	got, _, end := recvAll(transport.NewConn(child))
	if len(got) != sent-1 || end != io.EOF && truncated(end) == nil {
		t.Errorf("%d messages came, then %v; %d were sent", len(got), end, sent-1)
	}
}

// TestClose unblocks a reader: that is how a parent ends the conversation.
func TestClose(t *testing.T) {
	parent, _ := pair(t)
	c := transport.NewConn(parent)
	ended := make(chan error)
	go func() {
		_, err := c.Recv()
		ended <- err
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Recv = %v, want os.ErrClosed", err)
	}
}
