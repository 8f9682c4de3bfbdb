package process

import (
	"io"
	"os"
	"sync/atomic"

	"github.com/go-muster/muster/transport"
)

// A seam is a place where this package asks something of the system that the system may refuse, or take its time over.
type seam string

const (
	seamOpen       seam = "open"        // standard input
	seamPipe       seam = "pipe"        // the streams and the crash pipe
	seamLink       seam = "socketpair"  // the link
	seamFork       seam = "fork"        // fork and exec
	seamPidfd      seam = "pidfd"       // a failure means that there is none
	seamWait       seam = "waitid"      // on the pidfd
	seamTree       seam = "tree"        // mkdir of the cgroup tree
	seamTreeRemove seam = "tree rmdir"  // of the tree, by us
	seamLeaf       seam = "leaf"        // mkdir of a process's cgroup
	seamLeafOpen   seam = "leaf open"   // of the directory and of cgroup.events
	seamLeafKill   seam = "leaf kill"   // cgroup.kill
	seamLeafRemove seam = "leaf rmdir"  // of a process's cgroup
	seamWatchdog   seam = "watchdog"    // its start
	seamTell       seam = "tell"        // orders to it
	seamRead       seam = "read"        // of a stream
	seamLinkRead   seam = "read (link)" // of the link and the crash pipe
)

// faults, set by tests alone, delays what is asked at a seam, or refuses it with the error that it returns.
var faults atomic.Pointer[func(seam) error]

// fault is called where the system is asked. It returns nil, and costs the load of a pointer, unless a test wills otherwise.
func fault(s seam) error {
	if f := faults.Load(); f != nil {
		return (*f)(s)
	}
	return nil
}

// faultRead is fault for a read into b; io.ErrShortBuffer stands for a system that gives a single byte.
func faultRead(s seam, b []byte) ([]byte, error) {
	err := fault(s)
	if err == io.ErrShortBuffer && len(b) > 0 {
		return b[:1], nil
	}
	return b, err
}

// pipe returns a pipe whose reading end waits without a thread, and whose writing end is for a process: see newPipe.
func pipe() (r, w *os.File, err error) {
	if err := fault(seamPipe); err != nil {
		return nil, nil, err
	}
	return newPipe()
}

func pair() (ours, theirs *os.File, err error) {
	if err := fault(seamLink); err != nil {
		return nil, nil, err
	}
	return transport.Pair()
}
