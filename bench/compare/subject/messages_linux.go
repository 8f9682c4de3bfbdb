package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport/worker"
)

const size = 64 // bytes of a message

var payload = make([]byte, size)

// A way takes count messages to another process, or from it, and returns what that took.
type way func(count int) (time.Duration, error)

var (
	roundtrips = map[string]way{"muster": request, "socketpair": echoed, "rpc": called}
	oneways    = map[string]way{"muster": told, "socketpair": poured, "rpc": sent}
)

func messages(ways map[string]way, via string, count int) {
	carry, ok := ways[via]
	if !ok {
		fail(fmt.Errorf("unknown: %s", via))
	}
	took, err := carry(count)
	if err != nil {
		fail(err)
	}
	mark("took", int64(took))
}

// serve is the main of a process that another subject has started for messages: descriptor 3 is the socket between them.
func serve() {
	if len(os.Args) != 3 || os.Args[1] != "serve" && os.Args[1] != "serve-rpc" && os.Args[1] != "pour" {
		return
	}
	f := os.NewFile(3, "socket")
	conn, err := net.FileConn(f)
	if err != nil {
		fail(err)
	}
	f.Close()
	switch os.Args[1] {
	case "serve":
		_ = echo(conn) // until the other side closes
	case "pour":
		err = pour(conn, number(os.Args[2]))
	case "serve-rpc":
		if err = rpc.RegisterName("Mirror", mirror{}); err == nil {
			rpc.ServeConn(conn)
		}
	}
	if err != nil {
		fail(err)
	}
	os.Exit(0)
}

func echo(conn net.Conn) error {
	buf := make([]byte, size)
	for {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return err
		}
		if _, err := conn.Write(buf); err != nil {
			return err
		}
	}
}

func pour(conn net.Conn, count int) error {
	for range count {
		if _, err := conn.Write(payload); err != nil {
			return err
		}
	}
	return nil
}

type mirror struct{}

// Echo returns its argument.
func (mirror) Echo(in []byte, out *[]byte) error {
	*out = in
	return nil
}

// beside starts this program again, at the other end of a Unix socket.
func beside(role string, count int) (conn net.Conn, end func() error, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	if conn, err = net.FileConn(ours); err != nil {
		return nil, nil, err
	}
	cmd := exec.Command("/proc/self/exe", role, strconv.Itoa(count))
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, func() error {
		conn.Close()
		return cmd.Wait()
	}, nil
}

func echoed(count int) (time.Duration, error) {
	conn, end, err := beside("serve", 0)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, size)
	var start time.Time
	for i := range count + 1 {
		if i == 1 { // the first waits for the process
			start = time.Now()
		}
		if _, err := conn.Write(payload); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return 0, err
		}
	}
	return time.Since(start), end()
}

func poured(count int) (time.Duration, error) {
	conn, end, err := beside("pour", count+1)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, size)
	if _, err := io.ReadFull(conn, buf); err != nil {
		return 0, err
	}
	start := time.Now()
	for range count {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return 0, err
		}
	}
	return time.Since(start), end()
}

func called(count int) (time.Duration, error) {
	conn, end, err := beside("serve-rpc", 0)
	if err != nil {
		return 0, err
	}
	client := rpc.NewClient(conn)
	var start time.Time
	for i := range count + 1 {
		if i == 1 {
			start = time.Now()
		}
		var back []byte
		if err := client.Call("Mirror.Echo", payload, &back); err != nil {
			return 0, err
		}
	}
	return time.Since(start), end()
}

// sent has many calls on their way at a time: net/rpc has no message without an answer.
func sent(count int) (time.Duration, error) {
	conn, end, err := beside("serve-rpc", 0)
	if err != nil {
		return 0, err
	}
	client := rpc.NewClient(conn)
	if err := client.Call("Mirror.Echo", payload, new([]byte)); err != nil {
		return 0, err
	}
	start := time.Now()
	done := make(chan *rpc.Call, count)
	for range count {
		client.Go("Mirror.Echo", payload, new([]byte), done)
	}
	for range count {
		if call := <-done; call.Error != nil {
			return 0, call.Error
		}
	}
	return time.Since(start), end()
}

var answer = worker.Func("answer", func(ctx context.Context, _ worker.Info, _ struct{}) (struct{}, error) {
	for {
		select {
		case m := <-worker.Messages():
			var in []byte
			if err := m.Decode(&in); err != nil {
				return struct{}{}, err
			}
			if err := m.Reply(in); err != nil {
				return struct{}{}, err
			}
		case <-ctx.Done():
			return struct{}{}, context.Cause(ctx)
		}
	}
})

func request(count int) (time.Duration, error) {
	c := process.Reexec(answer.Name())
	c.Argument = []byte{0x80} // an empty map
	g, err := supervisor.Start(context.Background(), supervisor.Spec{Ranks: []process.Command{c}}, supervisor.WithOutput(nil))
	if err != nil {
		return 0, err
	}
	var start time.Time
	for i := range count + 1 {
		if i == 1 {
			start = time.Now()
		}
		var back []byte
		if err := g.Request(context.Background(), 0, "echo", payload, &back); err != nil || len(back) != size {
			return 0, fmt.Errorf("%d bytes came back: %w", len(back), err)
		}
	}
	took := time.Since(start)
	g.Kill("all messages were answered")
	if err := g.Wait(); !errors.Is(err, supervisor.ErrStopped) {
		return 0, err
	}
	return took, nil
}

var tell = worker.Func("tell", func(ctx context.Context, _ worker.Info, count int) (struct{}, error) {
	for range count {
		if err := worker.Tell(ctx, "line", payload); err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, nil
})

func told(count int) (took time.Duration, err error) {
	var start time.Time
	came := 0
	take := supervisor.WithMessages(func(m *supervisor.Message) {
		switch came++; came {
		case 1:
			start = time.Now()
		case count + 1:
			took = time.Since(start)
		}
	})
	_, err = supervisor.Call(context.Background(), supervisor.Spec{}, tell, count+1, supervisor.WithOutput(nil), take)
	if err == nil && came != count+1 {
		err = fmt.Errorf("%d of %d messages came", came, count+1)
	}
	return took, err
}
