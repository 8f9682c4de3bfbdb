package process

import "bytes"

// MaxLine is where a line without end is cut.
const MaxLine = maxLine

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
