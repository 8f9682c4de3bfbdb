package engine

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxRetransmit bounds the time between two retransmissions of a connection, in milliseconds: the kernel doubles it from 200 on,
// so that after a partition of 2 s it would wait for another 1.4, and give the connection up meanwhile. It takes no less.
const maxRetransmit = 1000

// eager sets a socket up before it connects. Before Linux 6.15 there is no such option: then messages flow again a little later.
func eager(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, maxRetransmit)
	})
}
