package process

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
)

const (
	chunkSize = 64 << 10 // one read: the capacity of a pipe
	maxLine   = 1 << 20  // a longer line comes in pieces
	keptCarry = 1 << 10  // the space for the beginning of a line that a stream keeps
	maxDrain  = 1 << 20  // what is taken from a stream after its deadline
)

// chunks lends the read buffers: an idle stream holds none, so that a thousand quiet ranks cost no buffer at all.
var chunks = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}

// A pump reads one stream to its end and hands on whole lines, and of a line that is written over what stands in it.
type pump struct {
	file  *os.File
	emit  func([]byte)
	carry []byte // the beginning of a line whose end has not come yet
}

// run reads until the end of the stream, or until the deadline that is set on it once the process is gone; then it takes
// what is still in the pipe, so that an unread line is not lost to a deadline that came first.
func (p *pump) run() {
	for {
		err := readReady(p.file, p.lines)
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.drain()
		}
		break
	}
	if len(p.carry) > 0 {
		p.emit(p.carry)
	}
	p.file.Close()
}

// drain takes what is in the pipe, and no more than the largest pipe holds: a process that escaped and goes on writing
// cannot keep us here.
func (p *pump) drain() {
	for taken := 0; taken < maxDrain; {
		n, err := readNow(p.file, p.lines)
		if n <= 0 || err != nil {
			return
		}
		taken += n
	}
}

// lines hands on what is complete and keeps the rest.
func (p *pump) lines(b []byte) {
	if n := len(p.carry); n > 0 && p.carry[n-1] == '\r' && len(b) > 0 && b[0] != '\n' {
		p.emit(p.carry)
		p.carry = nil
	}
	end := complete(b)
	switch {
	case end == 0 && len(p.carry)+len(b) < maxLine:
		p.carry = append(p.carry, b...)
		return
	case end == 0: // a line without end: hand it on in pieces
		p.emit(append(p.carry, b...))
		p.carry = nil
		return
	case len(p.carry) > 0: // the line that had begun is put together, and no copy made of those after it
		first := bytes.IndexByte(b[:end], '\n') + 1
		if first == 0 {
			first = end // it is written over
		}
		p.emit(append(p.carry, b[:first]...))
		if p.carry = p.carry[:0]; cap(p.carry) > keptCarry {
			p.carry = nil
		}
		if first < end {
			p.emit(b[first:end])
		}
	default:
		p.emit(b[:end])
	}
	if end < len(b) {
		p.carry = append(p.carry, b[end:]...)
	}
}

// complete returns how much is complete: up to the last newline, or to a later carriage return. Who shows progress by writing
// over a line ends it in minutes, or never. A carriage return at the very end may be half of a newline yet.
func complete(b []byte) int {
	end := bytes.LastIndexByte(b, '\n') + 1
	if rest := b[end:]; len(rest) > 1 {
		end += bytes.LastIndexByte(rest[:len(rest)-1], '\r') + 1
	}
	return end
}

// leftOut stands for what lies between the two ends of a text that is kept.
const leftOut = "\n\n… left out …\n"

// collect reads a stream to its end and keeps its first and last 32 KiB, for a dump that may be of any size. Between
// them it says when something was left out.
func collect(f io.ReadCloser) []byte {
	defer f.Close()
	const half = 32 << 10
	head, _ := io.ReadAll(io.LimitReader(f, half))
	last, dropped := tailOf(f, half)
	if dropped {
		head = append(head, leftOut...)
	}
	return append(head, last...)
}

// tailOf reads to the end and returns the last n bytes, and whether there were more.
func tailOf(r io.Reader, n int) (last []byte, more bool) {
	total := 0
	kept := make([]byte, 0, 2*n)
	buf := make([]byte, 4096)
	for {
		got, err := r.Read(buf)
		total += got
		if kept = append(kept, buf[:got]...); len(kept) >= 2*n-len(buf) {
			kept = kept[:copy(kept, kept[len(kept)-n:])]
		}
		if err != nil {
			return kept[max(0, len(kept)-n):], total > n
		}
	}
}
