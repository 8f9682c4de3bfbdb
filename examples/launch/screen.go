package main

import (
	"io"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// redraw is the least time between two drawings of the status line: five in a second.
const redraw = 200 * time.Millisecond

// A screen is a terminal with a line at its end that says how things are. Whatever else is written to the terminal goes through
// the screen, which erases the line before it and draws it again behind it: no line of output is torn.
//
// The line is shorter than the terminal is wide, so that it is one row. A terminal that is made narrower may break it into two,
// of which the first then stays: to erase that as well would be to erase output in terminals that do not break lines.
type screen struct {
	term  io.Writer
	width func() int // 0 when nothing can be drawn now: too narrow, or in the background
	text  func() string

	mu    sync.Mutex
	drawn bool      // the line is there
	open  bool      // output has not ended its line: the status would stand in it
	last  time.Time // of drawing
	on    bool      // between begin and end
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
	o.erase()
	n, err := o.w.Write(b)
	if n > 0 {
		o.open = b[n-1] != '\n'
	}
	if now().Sub(o.last) >= redraw {
		o.draw()
	}
	return n, err
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

// draw writes the line in one piece.
func (s *screen) draw() {
	width := s.width()
	if !s.on || s.open || width == 0 {
		s.erase()
		return
	}
	line := ansi.Truncate(s.text(), width-1, "…")
	_, _ = io.WriteString(s.term, eraseLine+noWrap+line+wrap)
	s.drawn, s.last = true, now()
}
