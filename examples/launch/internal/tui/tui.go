// Package tui shows a group on a whole terminal while it runs: its ranks, their output, and what has happened.
//
// A Board takes events and output from the supervisor's goroutines and never holds them up; a Screen draws it five times a
// second, and does what keys ask for.
package tui

import (
	"context"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
)

// A Group is what keys act upon.
type Group interface {
	// Dump returns the stacks of a rank.
	Dump(ctx context.Context, rank int) (string, error)
	// Restart starts ranks again, all if none is named.
	Restart(reason string, ranks ...int) error
}

// A Screen is a terminal that shows a board.
type Screen struct {
	board     *Board
	header    func() string
	interrupt func()
	group     Group
	now       func() time.Time

	program *tea.Program
	ended   chan struct{}
	err     error
}

// Options are what a screen is made of.
type Options struct {
	Board  *Board
	Header func() string // the first row
	Group  Group
	// Interrupt is what Ctrl-C does, and a stop that was confirmed: it is counted by who is interrupted.
	Interrupt func()

	In          io.Reader
	Out         io.Writer
	Environment []string
}

// Start takes the terminal over, until End or Leave.
func Start(o Options) *Screen {
	s := newScreen(o)
	// Signals stay the launcher's: it counts them.
	s.program = tea.NewProgram(&model{Screen: s}, tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithEnvironment(o.Environment),
		tea.WithoutSignalHandler())
	go func() { // ends with the program
		defer close(s.ended)
		_, s.err = s.program.Run()
	}()
	return s
}

func newScreen(o Options) *Screen {
	return &Screen{
		board: o.Board, header: o.Header, interrupt: o.Interrupt, group: o.Group, now: time.Now,
		ended: make(chan struct{}),
	}
}

// End gives the terminal back as it was, and returns why it could not be used, if so.
func (s *Screen) End() error {
	s.program.Quit()
	<-s.ended
	return s.err
}

// Leave is End for who is about to exit, and cannot wait for long.
func (s *Screen) Leave() {
	s.program.Kill()
	select {
	case <-s.ended:
	case <-time.After(time.Second / 2):
	}
}

// Ended is closed when the terminal is no longer the screen's.
func (s *Screen) Ended() <-chan struct{} { return s.ended }
