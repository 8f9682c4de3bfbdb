//go:build unix

package process

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// readReady waits until a stream can be read, and only then borrows a buffer, reads once and hands on what came. It
// returns io.EOF at the end, and os.ErrDeadlineExceeded after a read deadline.
func readReady(f *os.File, take func([]byte)) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var buf *[]byte
	var n int
	var result error
	err = conn.Read(func(fd uintptr) bool {
		buf, n, result = readOnce(int(fd))
		return result != syscall.EAGAIN
	})
	if err != nil {
		return err
	}
	hand(buf, n, take)
	return result
}

// readNow is readReady without the wait and without regard to a deadline.
func readNow(f *os.File, take func([]byte)) (int, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var buf *[]byte
	var n int
	var result error
	if err := conn.Control(func(fd uintptr) { buf, n, result = readOnce(int(fd)) }); err != nil {
		return 0, err
	}
	hand(buf, n, take)
	return n, result
}

// readOnce returns a borrowed buffer with n bytes in it, or no buffer and why.
func readOnce(fd int) (buf *[]byte, n int, err error) {
	buf = chunks.Get().(*[]byte)
	for {
		var b []byte
		if b, err = faultRead(seamRead, *buf); err == nil {
			n, err = syscall.Read(fd, b)
		}
		if err != syscall.EINTR {
			break
		}
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		chunks.Put(buf)
		return nil, 0, err
	}
	return buf, n, nil
}

func hand(buf *[]byte, n int, take func([]byte)) {
	if buf != nil {
		take((*buf)[:n])
		chunks.Put(buf)
	}
}

// readBuffered reads what is there already, into b.
func readBuffered(f *os.File, b []byte) (n int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := conn.Control(func(fd uintptr) { n, err = syscall.Read(int(fd), b) })
	return n, errors.Join(cerr, err)
}
