package tui

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// A model is the state of the screen: what is selected and asked, not what there is to show.
type model struct {
	*Screen
	width, height int
	selected      int // the rank
	pane          pane
	back          int // rows that the pane is scrolled back by
	filter        string
	typing        bool // the filter
	ask           *question
	note          string // of the last key
	stacks        []string
}

// A pane is what is under the table.
type pane int

const (
	logPane pane = iota
	timelinePane
	stacksPane
	panes
)

// A question is asked in the last row, and has a key for each answer; any other key is a no.
type question struct {
	text    string
	answers map[string]func() tea.Cmd
}

type (
	tick   time.Time
	dumped struct {
		rank   int
		stacks string
		err    error
	}
	acted struct{ note string }
)

// frame is how often the screen is drawn anew when no key is pressed.
const frame = 200 * time.Millisecond

func ticking() tea.Cmd { return tea.Tick(frame, func(t time.Time) tea.Msg { return tick(t) }) }

// Init starts the ticking.
func (m *model) Init() tea.Cmd { return ticking() }

// Update takes a key, a tick or an answer.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tick:
		return m, ticking()
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case dumped:
		m.showStacks(msg)
	case acted:
		m.note = msg.note
	case tea.KeyPressMsg:
		return m, m.key(msg)
	}
	return m, nil
}

func (m *model) key(k tea.KeyPressMsg) tea.Cmd {
	m.note = ""
	switch name := k.String(); {
	case name == "ctrl+c":
		m.ask = nil
		m.interrupt()
		return nil
	case name == "ctrl+z":
		return tea.Suspend
	case m.typing:
		m.typed(k)
		return nil
	case m.ask != nil:
		q := m.ask
		m.ask = nil
		if do := q.answers[name]; do != nil {
			return do()
		}
		return nil
	default:
		return m.command(name)
	}
}

// command does what a key means when nothing is asked.
func (m *model) command(name string) tea.Cmd {
	switch name {
	case "down", "j":
		m.move(1)
	case "up", "k":
		m.move(-1)
	case "tab":
		m.pane, m.back = (m.pane+1)%panes, 0
	case "shift+tab":
		m.pane, m.back = (m.pane+panes-1)%panes, 0
	case "pgup":
		m.back += 10
	case "pgdown":
		m.back = max(0, m.back-10)
	case "home":
		m.back = math.MaxInt // as far as there is something
	case "end":
		m.back = 0
	case "/":
		m.typing = true
	case "esc":
		m.filter = ""
	case "s", "q":
		m.askStop()
	case "r":
		m.askRestart()
	case "d":
		return m.dump()
	}
	return nil
}

// typed takes a key of the filter.
func (m *model) typed(k tea.KeyPressMsg) {
	switch name := k.String(); {
	case name == "enter":
		m.typing = false
	case name == "esc":
		m.typing, m.filter = false, ""
	case name == "backspace":
		if runes := []rune(m.filter); len(runes) > 0 {
			m.filter = string(runes[:len(runes)-1])
		}
	default:
		m.filter += k.Text
	}
}

// move selects another of the rows that are shown.
func (m *model) move(by int) {
	rows := m.board.rows(m.filter, m.now())
	if len(rows) == 0 {
		return
	}
	at := 0
	for i, r := range rows {
		if r.rank <= m.selected {
			at = i
		}
	}
	m.selected, m.back = rows[min(max(0, at+by), len(rows)-1)].rank, 0
}

func (m *model) askStop() {
	m.ask = &question{"stop the group? y to stop it", map[string]func() tea.Cmd{"y": func() tea.Cmd {
		m.interrupt()
		return nil
	}}}
}

func (m *model) askRestart() {
	act := func(what string, ranks ...int) func() tea.Cmd {
		return func() tea.Cmd {
			return func() tea.Msg {
				if err := m.group.Restart("asked for in the TUI", ranks...); err != nil {
					return acted{fmt.Sprintf("%s is not restarted: %v", what, err)}
				}
				return acted{what + " is being restarted"}
			}
		}
	}
	one := fmt.Sprintf("rank %d", m.selected)
	m.ask = &question{fmt.Sprintf("restart %s? y, or g for the group", one), map[string]func() tea.Cmd{
		"y": act(one, m.selected), "g": act("the group"),
	}}
}

// dump asks the selected rank for its stacks, aside.
func (m *model) dump() tea.Cmd {
	const patience = 10 * time.Second
	rank := m.selected
	m.note = fmt.Sprintf("asking rank %d for its stacks", rank)
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stacks, err := m.group.Dump(ctx, rank)
		return dumped{rank, stacks, err}
	}
}

func (m *model) showStacks(d dumped) {
	if d.err != nil {
		m.note = fmt.Sprintf("no stacks of rank %d: %v", d.rank, d.err)
		return
	}
	m.note = ""
	m.pane, m.back, m.stacks = stacksPane, 0, []string{fmt.Sprintf("rank %d", d.rank)}
	for line := range strings.Lines(d.stacks) {
		m.stacks = append(m.stacks, clean(line))
	}
}
