package process

import "bytes"

// MaxLine is where a line without end is cut.
const MaxLine = maxLine

// Launching returns what is closed when no launch goes on; nil when none does.
func Launching() <-chan struct{} {
	launches.mu.Lock()
	defer launches.mu.Unlock()
	return launches.quiet
}

// Pieces is what a pump makes of a stream that is read in these chunks.
func Pieces(chunks ...[]byte) (pieces [][]byte) {
	p := pump{emit: func(b []byte) { pieces = append(pieces, bytes.Clone(b)) }}
	for _, chunk := range chunks {
		p.lines(chunk)
	}
	if len(p.carry) > 0 {
		pieces = append(pieces, p.carry)
	}
	return pieces
}
