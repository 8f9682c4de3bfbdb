package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/go-muster/muster/actors/process"
)

// A console shows the ranks' output: whole lines, never torn, one writer at a time.
type console struct {
	stdout, stderr io.Writer
	prefix, none   bool
	only           map[int]bool // nil for all

	mu       sync.Mutex
	buf      []byte
	reported bool
}

func newConsole(f *flags, size int, stdout, stderr io.Writer) (*console, error) {
	c := &console{stdout: stdout, stderr: stderr}
	switch f.output {
	case "prefix":
		c.prefix = true
	case "none":
		c.none = true
	case "raw":
	default:
		return nil, usage("--output %q: choose prefix, raw or none", f.output)
	}
	var err error
	c.only, err = parseRanks(f.ranksFilter, size)
	return c, err
}

// write shows lines of one rank. A last line without newline gets one: another rank's line may follow.
func (c *console) write(id process.ID, s process.Stream, lines []byte) {
	if c.none || (c.only != nil && !c.only[id.Rank]) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.stdout
	if s == process.Stderr {
		out = c.stderr
	}
	if c.prefix {
		lines = c.prefixed(id.Rank, lines)
	}
	_, _ = out.Write(lines) // a closed terminal is no reason to hold the ranks back
}

// prefixed puts "[rank] " in front of every line, in a buffer that is used again.
func (c *console) prefixed(rank int, lines []byte) []byte {
	c.buf = c.buf[:0]
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n') + 1
		if end == 0 {
			end = len(lines)
		}
		c.buf = append(c.buf, '[')
		c.buf = strconv.AppendInt(c.buf, int64(rank), 10)
		c.buf = append(c.buf, "] "...)
		c.buf = append(c.buf, lines[:end]...)
		lines = lines[end:]
	}
	if c.buf[len(c.buf)-1] != '\n' {
		c.buf = append(c.buf, '\n')
	}
	return c.buf
}

// say prints a line of the launcher's own.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.stderr, "launch: "+format+"\n", args...)
}

// once is say for something that would repeat itself with every line.
func (c *console) once(format string, args ...any) {
	if !c.reported {
		c.reported = true
		c.say(format, args...)
	}
}
