package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/charmbracelet/x/term"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/examples/launch/internal/tui"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

// A cockpit is --tui: the whole terminal shows the group. What would be written to the terminal meanwhile goes to its board.
type cockpit struct {
	*tally
	board    *tui.Board
	terminal *os.File
	screen   *tui.Screen
	free     atomic.Bool // hosts are waited for, and the terminal is not taken yet
	over     atomic.Bool // it is free again
}

// newCockpit returns what --tui asks for, nil when it does not.
func newCockpit(f *flags, size int, roles []string, stderr io.Writer) (*cockpit, error) {
	if !f.tui {
		return nil, nil
	}
	terminal := terminalOf(stderr)
	if terminal == nil || !term.IsTerminal(os.Stdin.Fd()) {
		return nil, usage("--tui: it wants a terminal as standard input and standard error, and not TERM=dumb: leave it out, " +
			"and read the output, or --journal")
	}
	return &cockpit{tally: newTally(f, size, now()), board: tui.NewBoard(size, now(), roles...), terminal: terminal}, nil
}

// instead returns what is to be written to in w's place: meanwhile, when it is the terminal, until that is free again.
func (c *cockpit) instead(w, meanwhile io.Writer) io.Writer {
	if c == nil || terminalOf(w) == nil {
		return w
	}
	return &behind{c, w, meanwhile}
}

// says returns a writer to the timeline.
func (c *cockpit) says() io.Writer { return says{c} }

type behind struct {
	c               *cockpit
	real, meanwhile io.Writer
}

// Write writes b.
func (b *behind) Write(p []byte) (int, error) {
	if b.c.over.Load() {
		return b.real.Write(p)
	}
	if b.c.free.Load() {
		_, _ = b.real.Write(p)
	}
	return b.meanwhile.Write(p)
}

type says struct{ c *cockpit }

// Write takes whole lines.
func (s says) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		s.c.board.Say(now(), strings.TrimPrefix(string(line), "launch: "))
	}
	return len(p), nil
}

// gather leaves the terminal to what is said while hosts are waited for.
func (c *cockpit) gather() {
	if c != nil {
		c.free.Store(true)
	}
}

// begin takes the terminal. If that fails, or what shows the group does, its output is written as without.
func (c *cockpit) begin(group *supervisor.Group, interrupt func()) {
	if c == nil {
		return
	}
	c.free.Store(false)
	c.screen = tui.Start(tui.Options{
		Board: c.board, Group: group, Interrupt: interrupt, In: os.Stdin, Out: c.terminal, Environment: os.Environ(),
		Header: func() string { return "launch: " + c.line(now()) },
	})
	go func() { // ends with the screen
		<-c.screen.Ended()
		c.over.Store(true)
	}()
}

func (c *cockpit) observe(e supervisor.Event) {
	if c != nil {
		c.tally.observe(e)
		c.board.Observe(e)
	}
}

func (c *cockpit) output(id process.ID, s process.Stream, lines []byte) {
	if c != nil {
		c.board.Output(id, s, lines)
	}
}

// end gives the terminal back.
func (c *cockpit) end() error {
	if c == nil || c.screen == nil {
		return nil
	}
	err := c.screen.End()
	c.over.Store(true)
	return err
}

func (c *cockpit) leave() {
	if c != nil && c.screen != nil {
		c.screen.Leave()
	}
}

// watch returns a launcher whose ranks tell the board how far they are, and where they are about to run.
func (s *sinks) watch(l process.Launcher) process.Launcher {
	w := watched{Launcher: l, settle: s.show.places.settle}
	if s.cockpit != nil {
		w.board = s.cockpit.board
	}
	if p, far := l.(process.Placer); far {
		return &watchedPlacer{w, p}
	} else if w.board == nil {
		return l
	}
	return &w
}

// A watchedPlacer is the same of a launcher with several hosts.
type watchedPlacer struct {
	watched
	placer process.Placer
}

// Join joins.
func (w *watchedPlacer) Join(grace time.Duration, report func(process.Room)) process.Team {
	t := w.placer.Join(grace, report)
	return &watchedTeam{watched{t, w.board, w.settle}, t}
}

type watchedTeam struct {
	watched
	team process.Team
}

// Place is the team's.
func (w *watchedTeam) Place(size int, keep []string) (process.Plan, error) {
	return w.team.Place(size, keep)
}

// Patience is the team's.
func (w *watchedTeam) Patience() time.Duration { return w.team.Patience() }

// Leave is the team's.
func (w *watchedTeam) Leave() { w.team.Leave() }

// A watched launcher is another one, whose messages of progress are heard here, too: the supervisor keeps them to itself.
type watched struct {
	process.Launcher
	board  *tui.Board // nil for none
	settle func(process.ID, process.Command)
}

// Launch launches.
func (w *watched) Launch(id process.ID, c process.Command, o process.Observer) (process.Process, error) {
	w.settle(id, c)
	if w.board == nil {
		return w.Launcher.Launch(id, c, o)
	}
	return w.Launcher.Launch(id, c, &listener{o, id, w.board})
}

// Preflight is the other's, if it has one.
func (w *watched) Preflight(commands []process.Command) error {
	if p, ok := w.Launcher.(process.Preflighter); ok {
		return p.Preflight(commands)
	}
	return nil
}

type listener struct {
	process.Observer
	id    process.ID
	board *tui.Board
}

// Message passes a message on.
func (l *listener) Message(m transport.Message) {
	if p, ok := m.(*transport.Progress); ok {
		l.board.Progress(l.id, p.Count, p.Text)
	}
	l.Observer.Message(m)
}

// interrupt is SIGINT by a key.
func (s *signals) interrupt() {
	select {
	case s.c <- syscall.SIGINT:
	default: // there are enough
	}
}
