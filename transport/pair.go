package transport

import "os"

// Pair returns the two ends of a link: parent is registered with the runtime's poller, so that a goroutine that waits
// on it holds no thread; child blocks, as a process that inherits it expects. Both are close-on-exec.
// It returns the error of socketpair (such as EMFILE), and one that wraps [errors.ErrUnsupported] where the system has
// no socket pairs.
func Pair() (parent, child *os.File, err error) { return pair() }
