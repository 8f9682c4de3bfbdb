//go:build !linux && !darwin

package runs

import (
	"net"
	"os"
)

type directory struct{ path string }

func owned(string) error { return nil }

func makeDirectory(Info) (*directory, *net.UnixListener, error) { return nil, nil, ErrUnsupported }

func (*directory) remove() {}

func list(root string) ([]Run, error) {
	if _, err := os.Stat(root); err != nil {
		return nil, err
	}
	return nil, ErrUnsupported
}

func dial(string) (*net.UnixConn, error) { return nil, ErrUnsupported }

func peer(*net.UnixConn) (uid, pid int, err error) { return 0, 0, ErrUnsupported }
