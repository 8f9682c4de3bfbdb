package process

import "bytes"

// tailSize bounds what a failure shows of standard error.
const tailSize = 8 << 10

// A tail keeps the last bytes that were written to it. It costs nothing until the first write.
type tail struct {
	size int // bytes that it keeps
	buf  []byte
	full bool // something was dropped
}

func (t *tail) Write(b []byte) {
	if len(b) >= t.size {
		t.full = t.full || len(t.buf) > 0 || len(b) > t.size
		t.buf = append(t.buf[:0], b[len(b)-t.size:]...)
		return
	}
	if over := len(t.buf) + len(b) - t.size; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
		t.full = true
	}
	t.buf = append(t.buf, b...)
}

// Lines returns what was kept, without the torn first line.
func (t *tail) Lines() []byte {
	if !t.full {
		return t.buf
	}
	if i := bytes.IndexByte(t.buf, '\n'); i >= 0 && i+1 < len(t.buf) {
		return t.buf[i+1:]
	}
	return t.buf
}

// fatalError is the type of an exception that the Go runtime ends a program for.
const fatalError = "fatal error"

// A fatalLine keeps what the last line "fatal error: …" said that was written to it. The runtime of Go 1.26 writes that
// line to standard error only, the rest of its last words to the crash file as well.
type fatalLine string

// Write takes whole lines.
func (f *fatalLine) Write(b []byte) {
	const head = fatalError + ": "
	if at := lastLine(b, head); at >= 0 {
		line, _, _ := bytes.Cut(b[at+len(head):], []byte("\n"))
		*f = fatalLine(bytes.ToValidUTF8(line[:min(len(line), tailSize)], []byte("\uFFFD")))
	}
}

// lastLine returns where the last line begins that begins so, -1 for none.
func lastLine(b []byte, head string) int {
	if at := bytes.LastIndex(b, []byte("\n"+head)); at >= 0 {
		return at + 1
	}
	if bytes.HasPrefix(b, []byte(head)) {
		return 0
	}
	return -1
}
