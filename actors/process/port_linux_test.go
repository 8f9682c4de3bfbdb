package process_test

import (
	"fmt"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// TestHoldPort: ports that are held at once are distinct, can be listened on in any way, and come back.
func TestHoldPort(t *testing.T) {
	processtest.Check(t)
	held := map[int]*process.Port{}
	for range 200 {
		port, err := process.HoldPort()
		if err != nil {
			t.Fatal(err)
		}
		defer port.Release()
		if held[port.Number()] != nil {
			t.Fatalf("port %d is held twice", port.Number())
		}
		held[port.Number()] = port
	}
	for n := range held {
		for _, reuse := range []int{0, 1} {
			if err := listen(n, reuse); err != nil {
				t.Errorf("port %d with SO_REUSEADDR=%d: %v", n, reuse, err)
			}
		}
	}
	for n, port := range held {
		if l, err := net.Listen("unix", claim(n)); err == nil {
			l.Close()
			t.Fatalf("port %d is not claimed", n)
		}
		port.Release()
		port.Release()
		l, err := net.Listen("unix", claim(n))
		if err != nil {
			t.Fatalf("port %d is claimed after its release: %v", n, err)
		}
		l.Close()
	}
	var none *process.Port
	none.Release()
}

// claim is the address by which other supervisors of this host, of any version, know that a port is taken.
func claim(port int) string { return fmt.Sprintf("@muster/port/%d", port) }

// listen listens on a port of all addresses as a C program would.
func listen(port, reuse int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, reuse); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		return err
	}
	return unix.Listen(fd, 1)
}

// TestUsedPort: a port with a connection in TIME_WAIT is free with SO_REUSEADDR only, and is not promised to anybody.
func TestUsedPort(t *testing.T) {
	processtest.Check(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	client, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server.Close() // the side that closes first keeps the address
	one := make([]byte, 1)
	client.Read(one)
	client.Close()
	l.Close()
	if err := listen(port, 0); err == nil {
		t.Skip("this system has no TIME_WAIT")
	}
	if err := listen(port, 1); err != nil {
		t.Skip("somebody else took the port:", err)
	}
	if process.Bindable(port) == nil {
		t.Error("a port that cannot be bound without SO_REUSEADDR would be promised")
	}
}
