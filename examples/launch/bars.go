package main

import (
	"bytes"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// bars are the lines that ranks write over with carriage returns, as tqdm shows progress. Behind a prefix, and beside other
// ranks, they cannot be written over: each is shown as a line now and then, and as what it is in the end.
type bars map[barKey]time.Time // when it was shown last

type barKey struct {
	rank   int
	stream process.Stream
}

// barEvery is the least time between two lines of a bar.
const barEvery = 5 * time.Second

// settle returns the lines of a piece of output as they look once they are written: of what was written over, what is left.
func (b bars) settle(id process.ID, s process.Stream, piece []byte, at time.Time) []byte {
	if bytes.IndexByte(piece, '\r') < 0 {
		return piece
	}
	var lines []byte
	for line := range bytes.Lines(piece) {
		key := barKey{id.Rank, s}
		unfinished := line[len(line)-1] == '\r'
		switch text := lastState(line); {
		case unfinished && (len(text) == 0 || at.Sub(b[key]) < barEvery):
		case unfinished:
			b[key] = at
			lines = append(append(lines, text...), '\n')
		default:
			lines = append(lines, text...)
			if line[len(line)-1] == '\n' {
				lines = append(lines, '\n')
			}
		}
	}
	return lines
}

// lastState is what one sees of a line, without its end.
func lastState(line []byte) []byte {
	line = bytes.TrimRight(line, "\r\n")
	return line[bytes.LastIndexByte(line, '\r')+1:]
}
