package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Ports are taken from below the range out of which the kernel serves connections, so that no connection of a stranger
// takes one by accident.
const (
	lowestPort  = 10000
	highestPort = 32767
	portTries   = 200
)

// holdPort claims a number among all groups of this host by an abstract socket address: it has no file, lives in the same
// network namespace as the port itself, and ends with us however we end.
func holdPort() (*Port, error) {
	low, high := lowestPort, min(highestPort, ephemeralStart()-1)
	if high-low < 1000 {
		low, high = 1024, 65535
	}
	var last error
	for range portTries {
		n := low + rand.IntN(high-low+1)
		claim, err := net.Listen("unix", fmt.Sprintf("@muster/port/%d", n))
		if err != nil {
			last = err
			continue
		}
		if err := bindable(n); err != nil {
			claim.Close()
			last = err
			continue
		}
		return &Port{n, func() { claim.Close() }}, nil
	}
	return nil, fmt.Errorf("process: no free TCP port between %d and %d: %w", low, high, last)
}

// bindable tries the port without SO_REUSEADDR, as the rank may: a connection of the past in TIME_WAIT is in the way then.
func bindable(port int) error {
	strict := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 0) })
		return errors.Join(cerr, err)
	}}
	l, err := strict.Listen(context.Background(), "tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return err
	}
	return l.Close()
}

func ephemeralStart() int {
	var low, high int
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return highestPort + 1
	}
	if _, err := fmt.Sscan(string(b), &low, &high); err != nil {
		return highestPort + 1
	}
	return low
}
