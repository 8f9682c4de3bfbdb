package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// raised is an exception as scripts raise them: 30 frames, 2 KB.
var raised = func() *transport.Exception {
	x := &transport.Exception{Type: "ValueError", Module: "builtins", Message: "no learning rate", Bases: []string{"builtins.Exception"}}
	for i := range 30 {
		x.Frames = append(x.Frames, transport.Frame{File: "/srv/train/model.py", Line: 100 + i, Function: "forward", Code: "return self.layer(x)"})
	}
	return x
}()

// BenchmarkException is what it takes to write an exception as a frame, and to read it: walk, decoder and limits.
func BenchmarkException(b *testing.B) {
	b.Run("encode", func(b *testing.B) {
		conn := transport.NewConn(stream{w: io.Discard})
		b.ReportAllocs()
		for b.Loop() {
			if err := conn.Send(raised); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		var frame bytes.Buffer
		if err := transport.NewConn(stream{w: &frame}).Send(raised); err != nil {
			b.Fatal(err)
		}
		endless := &repeated{text: frame.Bytes()}
		conn := transport.NewConn(stream{r: endless})
		b.SetBytes(int64(frame.Len()))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := conn.Recv(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A stream is the two directions of a connection.
type stream struct {
	r io.Reader
	w io.Writer
}

func (s stream) Read(b []byte) (int, error)  { return s.r.Read(b) }
func (s stream) Write(b []byte) (int, error) { return s.w.Write(b) }
func (s stream) Close() error                { return nil }

// repeated is a text without end.
type repeated struct {
	text []byte
	at   int
}

func (r *repeated) Read(b []byte) (int, error) {
	n := copy(b, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

// peer is the process at the other end of a socket pair, for the bare ones: it answers so many bytes with the same, or frames with
// frames, or writes as many messages of 64 bytes as it is asked for.
var peer = processtest.Helper("peer", func() {
	socket := os.NewFile(3, "socket")
	size, _ := strconv.Atoi(os.Args[2])
	switch os.Args[1] {
	case "bytes":
		for buf := make([]byte, size); ; {
			if _, err := io.ReadFull(socket, buf); err != nil {
				os.Exit(0)
			}
			_, _ = socket.Write(buf)
		}
	case "frames":
		for conn := transport.NewConn(socket); ; {
			m, err := conn.Recv()
			if err != nil {
				os.Exit(0)
			}
			_ = conn.Send(m)
			transport.Release(m)
		}
	case "write":
		for message := make([]byte, 64); size > 0; size-- {
			_, _ = socket.Write(message)
		}
	}
	os.Exit(0)
})

// startPeer starts it and returns our end, which waits as the supervisor's does.
func startPeer(b testing.TB, how string, n int) *os.File {
	b.Helper()
	ours, theirs, err := transport.Pair()
	if err != nil {
		b.Fatal(err)
	}
	defer theirs.Close()
	c := processtest.Command(b, peer, how, strconv.Itoa(n))
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env, cmd.ExtraFiles, cmd.Stderr = append(os.Environ(), c.Env...), []*os.File{theirs}, os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ours.Close()
		_ = cmd.Wait()
	})
	return ours
}

// TestPeer: the peer does what the comparison with it supposes: it answers bytes with the same.
func TestPeer(t *testing.T) {
	socket := startPeer(t, "bytes", 5)
	answer := make([]byte, 5)
	if _, err := socket.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(socket, answer); err != nil || string(answer) != "hello" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

var sizes = []int{64, 64 << 10}

func sized(size int) string { return strings.Replace(fmt.Sprintf("%dB", size), "65536B", "64KiB", 1) }

// BenchmarkRoundTrip is a question and its answer, both of one size, between two processes: over the bare socket pair, as frames,
// and as what users have: from a caller through the actors to the rank's function and back.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range sizes {
		b.Run(sized(size)+"/bare", func(b *testing.B) { roundTripBare(b, size) })
		b.Run(sized(size)+"/frames", func(b *testing.B) { roundTripFrames(b, size) })
		b.Run(sized(size)+"/request", func(b *testing.B) { roundTripRequest(b, size) })
	}
}

func roundTripBare(b *testing.B, size int) {
	socket := startPeer(b, "bytes", size)
	b.ReportAllocs()
	for buf := make([]byte, size); b.Loop(); {
		if _, err := socket.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(socket, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func roundTripFrames(b *testing.B, size int) {
	conn := transport.NewConn(startPeer(b, "frames", 0))
	mail := &transport.Mail{ID: 1, Value: make([]byte, size)}
	b.ReportAllocs()
	for b.Loop() {
		if err := conn.Send(mail); err != nil {
			b.Fatal(err)
		}
		m, err := conn.Recv()
		if err != nil || len(m.(*transport.Mail).Value) != size {
			b.Fatal(m, err)
		}
		transport.Release(m)
	}
}

// echo answers what it is asked with the same.
var echo = worker.Func("echo", func(ctx context.Context, _ worker.Info, _ int) (int, error) {
	for value := []byte(nil); ; {
		select {
		case m := <-worker.Messages():
			if err := errors.Join(m.Decode(&value), m.Reply(value)); err != nil {
				return 0, err
			}
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
})

func roundTripRequest(b *testing.B, size int) {
	c := process.Reexec(echo.Name())
	c.Argument = []byte{0}
	g, err := supervisor.Start(b.Context(), supervisor.Spec{Ranks: []process.Command{c}}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	question, answer := make([]byte, size), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Request(b.Context(), 0, "ask", question, &answer); err != nil || len(answer) != size {
			b.Fatal(err, len(answer))
		}
	}
	b.StopTimer()
	g.Kill("the benchmark is over")
	_ = g.Wait()
}

// told tells as many numbers as it is asked for.
var told = worker.Func("told", func(ctx context.Context, _ worker.Info, n int) (int, error) {
	for i := range n {
		if err := worker.Tell(ctx, "line", i); err != nil {
			return 0, err
		}
	}
	return 0, nil
})

var toldAll = worker.Func("told all", func(ctx context.Context, _ worker.Info, n int) (int, error) {
	const round = 1000
	numbers := make([]int, round)
	for i := 0; i < n; i += round {
		if err := worker.TellAll(ctx, "line", numbers[:min(round, n-i)]); err != nil {
			return 0, err
		}
	}
	return 0, nil
})

// BenchmarkOneWay is a small message on its way from a process to its supervisor, one after the other: 64 bytes over the bare
// socket pair, each with a write of its own; and what a rank tells the function of WithMessages, one by one or a thousand at once.
func BenchmarkOneWay(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		socket := startPeer(b, "write", b.N)
		if _, err := io.CopyN(io.Discard, socket, int64(64*b.N)); err != nil {
			b.Fatal(err)
		}
		perSecond(b)
	})
	b.Run("tell", func(b *testing.B) { oneWay(b, told) })
	b.Run("tell-all", func(b *testing.B) { oneWay(b, toldAll) })
}

func oneWay(b *testing.B, fn worker.Function[int, int]) {
	b.ReportAllocs()
	got := 0
	_, err := supervisor.Call(b.Context(), supervisor.Spec{}, fn, b.N, quiet, supervisor.WithMessages(func(*supervisor.Message) { got++ }))
	if err != nil || got != b.N {
		b.Fatal(err, got)
	}
	perSecond(b)
}

func perSecond(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

var spout = worker.Stream("spout", func(_ context.Context, _ worker.Info, megabytes int, out io.Writer) error {
	block := make([]byte, 1<<20)
	for range megabytes {
		if _, err := out.Write(block); err != nil {
			return err
		}
	}
	return nil
})

type sink struct{}

func (sink) Write(b []byte) (int, error) { return len(b), nil }
func (sink) CloseWithError(error) error  { return nil }

// BenchmarkStream is a megabyte of a result that is written as it comes.
func BenchmarkStream(b *testing.B) {
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	err := supervisor.MapTo(b.Context(), supervisor.Spec{}, spout, []int{b.N},
		func(process.ID) (supervisor.ResultWriter, error) { return sink{}, nil }, quiet)
	if err != nil {
		b.Fatal(err)
	}
}
