//go:build unix

package process

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// opensItself says that there is a stage on which a process can open its own standard input.
const opensItself = runtime.GOOS == "linux"

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, &os.PathError{Op: "duplicate", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
