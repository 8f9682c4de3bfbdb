package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/charmbracelet/x/term"

	"github.com/go-muster/muster/supervisor"
)

// A status tells how the group stands while it runs: in a line at the end of a terminal, or in plain lines.
type status struct {
	*tally
	screen  *screen // nil for plain lines
	plain   io.Writer
	changed chan struct{}
	done    chan struct{}
	stop    sync.Once
	wait    sync.WaitGroup
}

// plainEvery is the least time between two plain lines.
const plainEvery = 5 * time.Second

// newStatus returns what --status asks for, nil for none.
func newStatus(f *flags, size int, stderr io.Writer) (*status, error) {
	terminal := terminalOf(stderr)
	switch f.status {
	case "auto":
		if terminal == nil {
			return nil, nil
		}
	case "never":
		return nil, nil
	case "always":
	default:
		return nil, usage("--status %q: choose auto, always or never", f.status)
	}
	if f.tui {
		return nil, nil // it has the line in its first row
	}
	s := &status{
		tally: newTally(f, size, now()), plain: stderr, changed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if terminal != nil {
		paint := painter(stderr)
		s.screen = &screen{term: stderr, width: func() int { return roomOn(terminal) }, text: func() string {
			return paint(label, "launch: ") + s.line(now())
		}}
	}
	return s, nil
}

// terminalOf returns the terminal that w is, nil when it is none, or one that cannot erase a line.
func terminalOf(w io.Writer) *os.File {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(f.Fd()) || runtime.GOOS == "windows" || os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == "" {
		return nil
	}
	return f
}

// roomOn is how wide the terminal is now, 0 where a line should not be drawn.
func roomOn(terminal *os.File) int {
	const least = 20
	width, _, err := term.GetSize(terminal.Fd())
	if err != nil || width < least || !inForeground(terminal) {
		return 0
	}
	return width
}

// through returns what is to be written to in w's place.
func (s *status) through(w io.Writer) io.Writer {
	if s == nil || s.screen == nil || terminalOf(w) == nil {
		return w
	}
	return s.screen.through(w)
}

// begin tells until end.
func (s *status) begin() {
	if s == nil {
		return
	}
	s.wait.Go(func() {
		if s.screen == nil {
			s.tell()
			return
		}
		defer s.screen.end()
		s.screen.begin()
		s.draw()
	})
}

// draw draws the line each second, and soon after a change.
func (s *status) draw() {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select { // so that five in a second are the most
		case <-time.After(redraw):
		case <-s.done:
			return
		}
		select {
		case <-s.changed:
		case <-second.C:
		case <-s.done:
			return
		}
		s.screen.refresh()
	}
}

// tell writes a plain line after a change, and each minute.
func (s *status) tell() {
	for {
		select {
		case <-s.changed:
		case <-time.After(time.Minute):
		case <-s.done:
			return
		}
		fmt.Fprintf(s.plain, "launch: %s\n", s.line(now()))
		select {
		case <-time.After(plainEvery):
		case <-s.done:
			return
		}
	}
}

func (s *status) observe(e supervisor.Event) {
	if s == nil || !s.tally.observe(e) {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default: // it will be seen with the one before
	}
}

// end takes the line away.
func (s *status) end() {
	if s == nil {
		return
	}
	s.stop.Do(func() { close(s.done) })
	s.wait.Wait()
}

// leave takes the line away before launch leaves at once, unless somebody holds the terminal up.
func (s *status) leave() {
	if s == nil || s.screen == nil {
		return
	}
	erased := make(chan struct{})
	go func() { // ends with us, if not before
		s.screen.end()
		close(erased)
	}()
	select {
	case <-erased:
	case <-time.After(redraw):
	}
}

// urgent returns a writer to standard error for what must not wait for the ranks' output to be read.
func (s *status) urgent(stderr io.Writer) io.Writer {
	if s == nil || s.screen == nil {
		return stderr
	}
	return urgent{s.screen}
}
