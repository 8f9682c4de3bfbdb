package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

const (
	bold    = "\x1b[1m"
	reverse = "\x1b[7m"
	red     = "\x1b[31m"
	off     = "\x1b[m"
)

// View draws the header, the table of the ranks, a pane, and a row of keys.
func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen = true
	return v
}

// screen is all rows, none wider than the terminal.
func (m *model) screen() []string {
	if m.width < 20 || m.height < 8 {
		return []string{"too small"}[:min(1, m.height)]
	}
	room := m.height - 4 // without header, headings, tabs and keys
	rows := m.table(room / 2)
	all := append([]string{bold + ansi.Truncate(m.header(), m.width, "…") + off}, rows...)
	all = append(all, m.tabs())
	all = append(all, m.content(m.height-len(all)-1)...)
	for len(all) < m.height-1 {
		all = append(all, "")
	}
	return append(all, ansi.Truncate(m.keys(), m.width, "…"))
}

var headings = []string{"RANK", "ROLE", "HOST", "GEN", "PID", "STATE", "UPTIME", "PROGRESS", "LAST LINE"}

// The columns that are not always there.
const (
	role = 1
	host = 2
)

// table is the headings and at most so many ranks, the selected one among them.
func (m *model) table(most int) []string {
	ranks, widths := m.board.rows(m.filter, m.now()), make([]int, len(headings))
	lines := [][]string{headings}
	selected := 0
	for i, r := range ranks {
		if r.rank == m.selected {
			selected = i
		}
	}
	first := max(0, min(selected-most/2, len(ranks)-most))
	ranks = ranks[first:min(len(ranks), first+most)]
	for i := range ranks {
		lines = append(lines, ranks[i].cells(m.now()))
	}
	for _, cells := range lines {
		for i, cell := range cells {
			widths[i] = min(max(widths[i], ansi.StringWidth(cell)), 24)
		}
	}
	var out []string
	for i, cells := range lines {
		text := m.tableRow(cells, widths)
		switch {
		case i == 0:
			text = bold + text + off
		case ranks[i-1].rank == m.selected:
			text = reverse + text + off
		case ranks[i-1].state == "failed", ranks[i-1].state == "hung":
			text = red + text + off
		}
		out = append(out, text)
	}
	return out
}

func (m *model) tableRow(cells []string, widths []int) string {
	var b strings.Builder
	for i, cell := range cells[:len(cells)-1] {
		if i == role && len(m.board.roles) == 0 || i == host && !m.board.placed.Load() {
			continue
		}
		cell = ansi.Truncate(cell, widths[i], "…")
		b.WriteString(cell + strings.Repeat(" ", widths[i]-ansi.StringWidth(cell)+2))
	}
	return ansi.Truncate(b.String()+cells[len(cells)-1], m.width, "…")
}

// tabs names the panes.
func (m *model) tabs() string {
	var parts []string
	for i, name := range []string{fmt.Sprintf("output of rank %d", m.selected), "timeline", "stacks"} {
		if pane(i) == m.pane {
			name = reverse + " " + name + " " + off
		} else {
			name = " " + name + " "
		}
		parts = append(parts, name)
	}
	return ansi.Truncate(strings.Join(parts, "|"), m.width, "…")
}

// content is the last rows of the pane, or those before them.
func (m *model) content(room int) []string {
	var lines []string
	switch m.pane {
	case logPane:
		lines = m.board.log(m.selected)
	case timelinePane:
		lines = m.board.moments()
	case stacksPane:
		if lines = m.stacks; lines == nil {
			lines = []string{"d asks the selected rank"}
		}
	}
	m.back = max(0, min(m.back, len(lines)-room))
	end := len(lines) - m.back
	lines = lines[max(0, end-room):end]
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = ansi.Truncate(line, m.width, "…")
	}
	return out
}

// keys is the last row: what is asked, what is typed, what the last key did, or the keys.
func (m *model) keys() string {
	switch {
	case m.ask != nil:
		return bold + m.ask.text + " (any other key: no)" + off
	case m.typing:
		return "/" + m.filter + "_"
	case m.note != "":
		return m.note
	}
	filter := "/ filter"
	if m.filter != "" {
		filter = "/" + m.filter + " (esc: all)"
	}
	return "j k rank  tab pane  pgup pgdn scroll  " + filter + "  d stacks  r restart  q stop  ^C^C kill"
}
