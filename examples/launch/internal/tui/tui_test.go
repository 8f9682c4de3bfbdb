package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

var start = time.Unix(1000, 0)

// A stub is a group that has stacks of its rank 1 only, and no rank 3 to restart.
type stub struct{ restarts [][]int }

func (*stub) Dump(_ context.Context, rank int) (string, error) {
	if rank != 1 {
		return "", errors.New("it does not speak")
	}
	return "Thread 1\n\tin \x1b[31mstuck\n", nil
}

func (s *stub) Restart(_ string, ranks ...int) error {
	if slices.Contains(ranks, 3) {
		return errors.New("it is gone")
	}
	s.restarts = append(s.restarts, ranks)
	return nil
}

// A bench is a model with a board of four ranks, and what its keys asked for.
type bench struct {
	*model
	stub
	stops int
}

func newBench() *bench {
	b := &bench{}
	b.model = &model{Screen: newScreen(Options{
		Board: NewBoard(4, start), Group: &b.stub, Interrupt: func() { b.stops++ }, Header: func() string { return "4 running" },
	})}
	b.now = func() time.Time { return start.Add(90 * time.Second) }
	b.Update(tea.WindowSizeMsg{Width: 100, Height: 20})
	for rank := range 4 {
		b.board.Observe(event(supervisor.EventSpawn, rank))
		b.board.Observe(event(supervisor.EventStarted, rank))
		b.board.Observe(event(supervisor.EventReady, rank))
		b.board.Output(process.ID{Rank: rank}, process.Stdout, fmt.Appendf(nil, "first of %d\nlast of %d\n", rank, rank))
	}
	b.board.Observe(event(supervisor.EventRunning, -1))
	return b
}

func event(kind supervisor.EventKind, rank int) supervisor.Event {
	return supervisor.Event{Kind: kind, Rank: rank, PID: 100 + rank, At: start, Exit: &process.Exit{}}
}

// press presses keys, and lets what they start come to its end.
func (b *bench) press(keys ...string) {
	special := map[string]rune{"tab": tea.KeyTab, "esc": tea.KeyEscape, "enter": tea.KeyEnter, "down": tea.KeyDown, "up": tea.KeyUp,
		"pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd}
	for _, k := range keys {
		msg := tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
		if code, ok := special[k]; ok {
			msg = tea.KeyPressMsg{Code: code}
		}
		switch k {
		case "ctrl+c":
			msg = tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
		case "shift+tab":
			msg = tea.KeyPressMsg{Code: tea.KeyTab, Mod: tea.ModShift}
		}
		if _, cmd := b.Update(msg); cmd != nil {
			b.Update(cmd())
		}
	}
}

func (b *bench) text() string { return ansi.Strip(strings.Join(b.screen(), "\n")) }

func (b *bench) wants(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(b.text(), part) {
			t.Errorf("no %q in\n%s", part, b.text())
		}
	}
}

func TestTableAndPanes(t *testing.T) {
	b := newBench()
	b.board.Progress(process.ID{Rank: 2}, 7, "steps")
	b.wants(t, "4 running", "2     0    102  running  1m30s   7 steps   last of 2", "first of 0")
	b.press("j", "down", "k")
	b.wants(t, "output of rank 1", "first of 1")
	failed := event(supervisor.EventFailed, 1)
	failed.Failure = &supervisor.Failure{Rank: 1, Exit: &process.Exit{Code: 3}}
	b.board.Observe(failed)
	b.board.Observe(event(supervisor.EventStop, 1))
	b.board.Observe(event(supervisor.EventExited, 1))
	b.press("tab")
	b.wants(t, "1     0    101  failed   0.0s", "0.0s  failed: rank 1@0: exit status 3", "generation 0 runs")
	b.press("d")
	b.wants(t, "Thread 1\n", "in stuck")
	b.press("up", "d")
	b.wants(t, "no stacks of rank 0: it does not speak")
}

// A pane goes back as far as there is something, and forth again.
func TestScrolling(t *testing.T) {
	b := newBench()
	for i := range 100 {
		b.board.Output(process.ID{Rank: 0}, process.Stdout, fmt.Appendf(nil, "line %d.\n", i))
	}
	b.wants(t, "line 99.")
	b.press("pgup")
	b.wants(t, "line 89.")
	b.press("pgup", "pgdown", "pgdown", "pgdown")
	b.wants(t, "line 99.")
	b.press("home")
	b.wants(t, "first of 0", "line 0.")
	b.press("pgdown")
	b.wants(t, "line 10.")
	b.press("end")
	b.wants(t, "line 99.")
	b.press("home", "shift+tab")
	b.wants(t, "d asks the selected rank")
	b.press("shift+tab")
	b.wants(t, "generation 0 runs")
	b.press("tab", "tab")
	b.wants(t, "line 99.")
}

// A terminal of 80 columns has room for every key.
func TestKeysFit(t *testing.T) {
	b := newBench()
	b.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	b.wants(t, "/ filter", "d stacks", "r restart", "q stop")
}

// A stop wants a yes; Ctrl-C does not, and what it does is counted by who is interrupted.
func TestStopIsConfirmed(t *testing.T) {
	b := newBench()
	for _, key := range []string{"s", "q"} {
		b.press(key)
		b.wants(t, "stop the group?")
		b.press("n")
	}
	if b.stops != 0 {
		t.Errorf("%d stops without a yes", b.stops)
	}
	b.press("s", "y", "q", "y", "s", "ctrl+c", "y")
	if b.stops != 3 {
		t.Errorf("%d stops, want 3", b.stops)
	}
}

// A restart is of the selected rank, or of all.
func TestRestart(t *testing.T) {
	b := newBench()
	b.press("j", "r", "y")
	b.wants(t, "rank 1 is being restarted")
	b.press("r", "g", "r", "n")
	b.press("j", "j", "r", "y")
	b.wants(t, "rank 3 is not restarted: it is gone")
	if len(b.restarts) != 2 || !slices.Equal(b.restarts[0], []int{1}) || len(b.restarts[1]) != 0 {
		t.Errorf("%v", b.restarts)
	}
}

func TestFilter(t *testing.T) {
	b := newBench()
	b.press("/", "L", "a", "s", "t", " ", "o", "f", " ", "3", "enter", "j")
	b.wants(t, "last of 3", "output of rank 3", "/Last of 3 (esc: all)")
	if strings.Contains(b.text(), "last of 2") {
		t.Errorf("the others are there:\n%s", b.text())
	}
	b.press("esc")
	b.wants(t, "last of 2")
	b.press("/", "q", "y", "esc")
	if b.stops != 0 {
		t.Error("what was typed was taken for keys")
	}
}

// A bar is one line, whatever is written over it.
func TestBar(t *testing.T) {
	b := newBench()
	for _, piece := range []string{"\r1%\r", "2%\r3%\r", "4%\r"} {
		b.board.Output(process.ID{Rank: 0}, process.Stderr, []byte(piece))
	}
	b.wants(t, "last of 0\n4%\n")
	b.board.Output(process.ID{Rank: 0}, process.Stderr, []byte("done\r\nafter it\n"))
	b.wants(t, "last of 0\ndone\nafter it\n")
	if strings.Contains(b.text(), "%") {
		t.Errorf("%s", b.text())
	}
}

// Whatever ranks print, and however small the terminal is, a screen is as many rows as there are, and none is too wide.
func TestScreenFits(t *testing.T) {
	b := newBench()
	b.board.Output(process.ID{Rank: 1}, process.Stderr, []byte("10%\r20%\r30%\twide 世界"+strings.Repeat("世", 200)+"\x1b[2J\x07\xff\n"))
	b.press("j")
	b.wants(t, "30%    wide 世界")
	for width := range 120 {
		for _, height := range []int{0, 1, 5, 8, 9, 24, 50} {
			b.Update(tea.WindowSizeMsg{Width: width, Height: height})
			rows := b.screen()
			if len(rows) > height || (height >= 8 && width >= 20 && len(rows) != height) {
				t.Fatalf("%d rows on %d×%d", len(rows), width, height)
			}
			for _, row := range rows {
				if w := ansi.StringWidth(row); w > max(width, len("too small")) {
					t.Fatalf("a row of %d columns on %d×%d: %q", w, width, height, row)
				}
			}
		}
	}
}

// A board takes any number of lines and events, and keeps the last ones.
func TestBoardIsBounded(t *testing.T) {
	b := NewBoard(2000, start)
	for i := range 1000 {
		b.Output(process.ID{Rank: 7}, process.Stdout, fmt.Appendf(nil, "line %d %s\n", i, strings.Repeat("x", 10*longestLine)))
		b.Say(start, fmt.Sprint("moment ", i))
	}
	lines, moments := b.log(7), b.moments()
	if len(lines) != 100 || !strings.HasPrefix(lines[99], "line 999 ") || len(lines[99]) > longestLine || len(moments) != mostMoments {
		t.Errorf("%d lines, the last of %d bytes; %d moments", len(lines), len(lines[len(lines)-1]), len(moments))
	}
}

// Ranks of several kinds have a column for what they are; it is filtered like the others. Other groups have none.
func TestRoles(t *testing.T) {
	b := newBench()
	if strings.Contains(strings.Join(b.screen(), "\n"), "ROLE") {
		t.Error("a column for roles, and nobody has one")
	}
	b.board = NewBoard(3, start, "server/0", "worker/0", "worker/1")
	b.wants(t, "RANK  ROLE      GEN  ", "0     server/0  0    ", "2     worker/1  0    ")
	b.board.Observe(supervisor.Event{Kind: supervisor.EventResized, Rank: -1})
	b.board.Observe(event(supervisor.EventSpawn, 2))
	b.board.Observe(event(supervisor.EventSpawn, 3)) // added since
	b.wants(t, "2     worker/1  0    ", "3               0    ")
	b.press("/")
	b.press("w", "o", "r", "enter")
	if shown := b.board.rows(b.filter, start); len(shown) != 1 || shown[0].rank != 2 {
		t.Errorf("%+v", shown)
	}
}

// The selected rank is on the screen, however many there are.
func TestManyRanks(t *testing.T) {
	b := newBench()
	b.board = NewBoard(500, start)
	for range 321 {
		b.press("j")
	}
	b.wants(t, "\n321 ", "output of rank 321")
	for range 700 {
		b.press("j")
	}
	b.wants(t, "\n499 ", "output of rank 499")
}
