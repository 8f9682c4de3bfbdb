package process

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// openErrorFile creates the pipe to which a process reports as to a file, and returns the path that opens it for writing. The
// process inherits nothing: the path is by our number of the descriptor, so that it opens for a child that was started
// without descriptors, too, as Python starts its own, and never means another file of that child's. As nobody inherits it and
// we hold both its ends, a child that goes on holding it holds up nothing.
//
// It is no file in memory, which would need no reader: torchelastic removes a regular file before it writes an error on.
// Where our descriptors have no such path there is none.
func openErrorFile() (f *os.File, path string, err error) {
	if !reachable() {
		return nil, "", nil
	}
	if err := fault(seamPipe); err != nil {
		return nil, "", err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, "", os.NewSyscallError("pipe2", err)
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	_, _ = unix.FcntlInt(uintptr(ends[0]), unix.F_SETPIPE_SZ, os.Getpagesize()) // of the user's quota it takes one page, not sixteen
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(ends[0]), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case err == unix.EMFILE || err == unix.ENFILE:
		return nil, "", os.NewSyscallError("open", err)
	case err != nil:
		return nil, "", nil
	}
	path = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	return os.NewFile(uintptr(fd), "error file"), path, nil
}

// reachable reports whether /proc/PID/fd is ours, and open to other processes of our user: there may be no /proc, or that of
// another pid namespace, where the number is a stranger's; and a program with capabilities of its own is closed.
var reachable = sync.OnceValue(func() bool {
	self, err := os.Readlink("/proc/self")
	dumpable, derr := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	return err == nil && self == strconv.Itoa(os.Getpid()) && derr == nil && dumpable == 1
})
