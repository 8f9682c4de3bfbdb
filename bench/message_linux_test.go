package bench_test

import (
	"context"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport/worker"
)

var mirror = worker.Func("mirror", func(ctx context.Context, _ worker.Info, tell int) (int, error) {
	for i := range tell {
		if err := worker.Tell(ctx, "line", i); err != nil {
			return 0, err
		}
	}
	if tell > 0 {
		return 0, nil
	}
	for {
		select {
		case m := <-worker.Messages():
			if err := m.Reply(nil); err != nil {
				return 0, err
			}
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
})

// BenchmarkTell is what one message of a rank to the function of WithMessages costs, one after the other.
func BenchmarkTell(b *testing.B) {
	b.ReportAllocs()
	_, err := supervisor.Call(b.Context(), supervisor.Spec{}, mirror, b.N, quiet, supervisor.WithMessages(func(*supervisor.Message) {}))
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRequest is a question to a rank and its answer.
func BenchmarkRequest(b *testing.B) {
	c := process.Reexec(mirror.Name())
	c.Argument = []byte{0}
	g, err := supervisor.Start(b.Context(), supervisor.Spec{Ranks: []process.Command{c}}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Request(b.Context(), 0, "ask", nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	g.Kill("the benchmark is over")
	_ = g.Wait()
}

// BenchmarkSocketPair is what BenchmarkRequest would be with nothing but the socket: 64 bytes there and back, within one process.
func BenchmarkSocketPair(b *testing.B) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		b.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	go func() { // ends when the sockets are closed
		buf := make([]byte, 64)
		for {
			if _, err := io.ReadFull(theirs, buf); err != nil {
				return
			}
			if _, err := theirs.Write(buf); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64)
	for b.Loop() {
		if _, err := ours.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(ours, buf); err != nil {
			b.Fatal(err)
		}
	}
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
