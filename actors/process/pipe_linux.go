package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newPipe is os.Pipe for an end that is handed on: the writing end blocks, as a process expects, and is never registered with
// the poller, which os.Pipe does only for us to undo it.
func newPipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, os.NewSyscallError("setnonblock", err)
	}
	return os.NewFile(uintptr(fds[0]), "|0"), os.NewFile(uintptr(fds[1]), "|1"), nil
}

// fullPipe is what a pipe holds, in bytes, as long as its user has not used up fs.pipe-user-pages-soft.
const fullPipe = 64 << 10

// notePipe tells, once, that the system has begun to give small pipes. They lose nothing, but who writes waits more often.
func (g *guard) notePipe(f *os.File) {
	size := pipeSize(f)
	if size >= fullPipe || size <= 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.small {
		return
	}
	g.small = true
	g.tell(fmt.Sprintf("output pipes hold %d bytes from now on instead of %d, and what writes much will be slower: user %d has "+
		"more pipes than fs.pipe-user-pages-soft is for (16384 pages are 1024 pipes): raise it with sysctl",
		size, fullPipe, os.Geteuid()))
}

// pipeSize returns the capacity of a pipe, 0 where it is not known.
func pipeSize(f *os.File) (size int) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = conn.Control(func(fd uintptr) { size, err = unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0) })
	if err != nil {
		return 0
	}
	return size
}
