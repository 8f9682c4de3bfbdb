package process

import (
	"errors"
	"io"
	"os"
)

// A lateReader reads on after the read deadline of its file as long as something is there, and then reports the end.
// The deadline is for a stream that somebody still holds open; what was sent before it must not be lost because this
// process was too busy to read it in time (G-5). Somebody who goes on writing is cut off after maxDrain.
type lateReader struct {
	*os.File
	late int // bytes read after the deadline
}

// Read reads, and after the deadline no longer waits.
func (r *lateReader) Read(b []byte) (int, error) {
	b, err := faultRead(seamLinkRead, b)
	if err != nil {
		return 0, err
	}
	n, err := r.File.Read(b)
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if r.late < maxDrain {
		n, err = readBuffered(r.File, b)
	}
	if n > 0 && err == nil {
		r.late += n
		return n, nil
	}
	return 0, io.EOF
}
