package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// A console shows the ranks' output: whole lines, never torn, one writer at a time.
type console struct {
	stdout, stderr io.Writer
	own            io.Writer // for lines of the launcher's own
	prefix         []string  // pieces of text, and verbs such as %r
	places         *whereabouts
	none           bool
	only           map[int]bool // nil for all
	roles          []supervisor.RoleRank

	mu   sync.Mutex
	buf  []byte
	bars bars
	lost map[process.Stream]error // why a stream could not be written, the first of each
}

func newConsole(f *flags, size int, stdout, stderr io.Writer) (*console, error) {
	c := &console{stdout: stdout, stderr: stderr, own: stderr, places: newWhereabouts(size)}
	pieces, err := parsePrefix(f.prefix)
	if err != nil {
		return nil, err
	}
	switch f.output {
	case "prefix":
		c.prefix = pieces
	case "none":
		c.none = true
	case "raw":
	default:
		return nil, usage("--output %q: choose prefix, raw or none", f.output)
	}
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
	if len(c.prefix) > 0 {
		if c.bars == nil {
			c.bars = bars{}
		}
		if lines = c.bars.settle(id, s, lines, now()); len(lines) == 0 {
			return
		}
		lines = c.prefixed(c.prefixOf(c.prefix, id, s), lines)
	}
	if _, err := out.Write(lines); err != nil {
		c.lose(s, err)
	}
}

// lose says once that nobody sees a stream any more, which is no reason to hold the ranks back: who read it has gone, or the
// disk on which it is kept is full.
func (c *console) lose(s process.Stream, err error) {
	if c.lost[s] != nil {
		return
	}
	if c.lost == nil {
		c.lost = map[process.Stream]error{}
	}
	c.lost[s] = reason(err)
	fmt.Fprintf(c.own, "launch: %s: not all that the ranks write is shown\n", c.problem(s))
}

// problem is what is wrong with a stream.
func (c *console) problem(s process.Stream) string { return fmt.Sprintf("%v: %v", s, c.lost[s]) }

// problems are what is wrong with streams.
func (c *console) problems() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range []process.Stream{process.Stdout, process.Stderr} {
		if c.lost[s] != nil {
			all = append(all, c.problem(s))
		}
	}
	return all
}

// parsePrefix takes a prefix apart, into verbs and the text between them.
func parsePrefix(text string) (pieces []string, err error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, usage("--prefix %q: it stands before each line, and is none itself", text)
	}
	for rest := text; rest != ""; {
		at := strings.IndexByte(rest, '%')
		switch {
		case at < 0:
			return append(pieces, rest), nil
		case at > 0:
			pieces = append(pieces, rest[:at])
		}
		if at+1 == len(rest) || !strings.Contains("rRghsn%", rest[at+1:at+2]) {
			return nil, usage("--prefix %q: write %%r for the rank, %%R its role, %%g generation, %%h host, %%s stream, %%n world size, %%%% a percent sign",
				text)
		}
		pieces = append(pieces, rest[at:at+2])
		rest = rest[at+2:]
	}
	return pieces, nil
}

// prefixOf is what stands before each line of a rank.
func (c *console) prefixOf(pieces []string, id process.ID, s process.Stream) string {
	var b strings.Builder
	for _, piece := range pieces {
		switch piece {
		case "%r":
			piece = strconv.Itoa(id.Rank)
		case "%R":
			piece = c.roleOf(id.Rank)
		case "%g":
			piece = strconv.Itoa(id.Generation)
		case "%h":
			piece = c.places.host(id.Rank)
		case "%s":
			piece = s.String()
		case "%n":
			piece = strconv.Itoa(c.places.worldSize())
		case "%%":
			piece = "%"
		}
		b.WriteString(piece)
	}
	return b.String()
}

// prefixed puts a prefix in front of every line, in a buffer that is used again.
func (c *console) prefixed(prefix string, lines []byte) []byte {
	c.buf = c.buf[:0]
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n') + 1
		if end == 0 {
			end = len(lines)
		}
		c.buf = append(append(c.buf, prefix...), lines[:end]...)
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
	fmt.Fprintf(c.own, "launch: "+format+"\n", args...)
}
