package main

import (
	"io"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// redraw is how long a status line may be shown before it is made anew: five in a second are enough.
const redraw = 200 * time.Millisecond

// A screen is a terminal with a line at its end that says how things are. Whatever else is written to the terminal goes through
// the screen, which erases the line before it and draws it again behind it: no line of output is torn. That is one write, so that
// the line does not flicker, and is there however much is written.
//
// The line is shorter than the terminal is wide, so that it is one row. A terminal that is made narrower may break it into two,
// of which the first then stays: to erase that as well would be to erase output in terminals that do not break lines.
type screen struct {
	term  io.Writer
	width func() int // 0 when nothing can be drawn now: too narrow, or in the background
	text  func() string

	mu    sync.Mutex
	drawn bool   // the line is there
	open  bool   // output has not ended its line: the status would stand in it
	on    bool   // between begin and end
	line  string // as it was last made, for a terminal of the width made
	made  int
	last  time.Time // of making it
	buf   []byte
}

const (
	eraseLine = "\r\x1b[K"
	noWrap    = "\x1b[?7l" // a wide character at the end of a row must not make a second one
	wrap      = "\x1b[?7h"
)

// through returns a writer to w, which is on the screen's terminal.
func (s *screen) through(w io.Writer) io.Writer { return &onScreen{s, w} }

type onScreen struct {
	*screen
	w io.Writer
}

// Write writes whole lines, mostly.
func (o *onScreen) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(b) == 0 {
		return 0, nil
	}
	before := ""
	if o.drawn {
		before = eraseLine
	}
	o.open = b[len(b)-1] != '\n'
	behind := o.drawing(now().Sub(o.last) >= redraw)
	o.drawn = behind != ""
	o.buf = append(append(append(o.buf[:0], before...), b...), behind...)
	n, err := o.w.Write(o.buf)
	return min(max(0, n-len(before)), len(b)), err
}

// refresh draws the line anew.
func (s *screen) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw()
}

// begin draws the line from now on.
func (s *screen) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = true
	s.draw()
}

// end erases the line for good.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.on = false
}

// aside calls do while nothing is drawn and nobody writes.
func (s *screen) aside(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	do()
	s.draw()
}

// An urgent writer writes what must not wait for anybody: a write of output may be held up for as long as nobody reads it.
type urgent struct{ s *screen }

// Write writes b.
func (u urgent) Write(b []byte) (int, error) {
	s := u.s
	for range 100 {
		if s.mu.TryLock() {
			defer s.mu.Unlock()
			s.erase()
			break
		}
		time.Sleep(time.Millisecond)
	}
	return s.term.Write(b)
}

func (s *screen) erase() {
	if s.drawn {
		_, _ = io.WriteString(s.term, eraseLine)
		s.drawn = false
	}
}

// draw writes the line, made anew, in one piece.
func (s *screen) draw() {
	text := s.drawing(true)
	if text == "" {
		s.erase()
		return
	}
	_, _ = io.WriteString(s.term, text)
	s.drawn = true
}

// drawing is what draws the line in the last row, "" when there is to be none: the line as it was made last, or anew.
func (s *screen) drawing(anew bool) string {
	width := s.width()
	if !s.on || s.open || width == 0 {
		return ""
	}
	if anew || width != s.made {
		s.line, s.made, s.last = ansi.Truncate(s.text(), width-1, "…"), width, now()
	}
	return eraseLine + noWrap + s.line + wrap
}
