package tui

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// A Board holds what there is to show of a group: its ranks, the last lines of each, and what has happened. All methods may be
// called from any goroutine; none waits for the screen.
type Board struct {
	mu       sync.Mutex
	ranks    map[int]*row
	roles    []string    // by rank, nil for none
	placed   atomic.Bool // the ranks have hosts
	keep     int         // lines of each rank
	timeline []string    // the last ones
	start    time.Time
}

// A row is a rank.
type row struct {
	rank, generation, pid int
	role, host, state     string
	since, until          time.Time // of its life
	progress, last        string
	lines                 []string // at most keep
	bar                   bool     // the last of them is being written over
}

const (
	mostLines    = 400
	allLines     = 200_000 // of all ranks: at most 100 MB, of which little is used
	longestLine  = 500     // bytes; a screen is narrower
	mostMoments  = 300
	leastOfARank = 20
)

// NewBoard returns the board of a group that starts now. Roles are what the ranks are beside their numbers, such as trainer/1;
// without any there is no column for them.
func NewBoard(size int, at time.Time, roles ...string) *Board {
	b := &Board{ranks: map[int]*row{}, roles: roles, start: at, keep: max(leastOfARank, min(mostLines, allLines/max(1, size)))}
	for rank := range size {
		b.row(rank)
	}
	return b
}

// Observe takes an event of the group.
func (b *Board) Observe(e supervisor.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Kind == supervisor.EventResized {
		clear(b.ranks)
	}
	if e.Rank >= 0 && e.Kind != supervisor.EventGhost {
		b.observeRank(e)
	}
	if text := moment(e); text != "" {
		b.happened(e.At, text)
	}
	if e.Kind == supervisor.EventRunning {
		for _, r := range b.ranks {
			if r.state == "ready" {
				r.state = "running"
			}
		}
	}
}

func (b *Board) observeRank(e supervisor.Event) {
	r := b.row(e.Rank)
	if e.Kind != supervisor.EventSpawn && e.Generation < r.generation {
		return
	}
	switch e.Kind {
	case supervisor.EventSpawn:
		r.generation, r.pid, r.state, r.progress = e.Generation, 0, "starting", ""
		r.since, r.until = e.At, time.Time{}
	case supervisor.EventStarted:
		r.pid, r.host = e.PID, e.Host
		if e.Host != "" {
			b.placed.Store(true)
		}
	case supervisor.EventReady:
		r.state = "ready"
	case supervisor.EventFailed:
		r.state = "failed"
	case supervisor.EventHung:
		r.state = "hung"
	case supervisor.EventStop, supervisor.EventKill:
		r.becomes("stopping")
	case supervisor.EventExited:
		r.until = e.At
		switch {
		case e.Exit.Stopped:
			r.becomes("stopped")
		default:
			r.becomes("done")
		}
	case supervisor.EventRemoved:
		r.state = "removed"
	}
}

// becomes is for who has not failed: that is what one wants to see of those who have.
func (r *row) becomes(state string) {
	if r.state != "failed" {
		r.state = state
	}
}

func (b *Board) row(rank int) *row {
	if b.ranks[rank] == nil {
		b.ranks[rank] = &row{rank: rank, state: "waiting"}
		if rank < len(b.roles) {
			b.ranks[rank].role = b.roles[rank]
		}
	}
	return b.ranks[rank]
}

// moment is what the timeline says of an event, "" for nothing, or for what the launcher says itself: see Say.
func moment(e supervisor.Event) string {
	switch e.Kind {
	case supervisor.EventFailed:
		line, _, _ := strings.Cut(e.Failure.Error(), "\n")
		return "failed: " + line
	case supervisor.EventDecided:
		if e.Action == supervisor.Terminate {
			return fmt.Sprintf("decided: %v (%s)", e.Action, e.Reason)
		}
	case supervisor.EventRunning:
		return fmt.Sprintf("generation %d runs", e.Generation)
	case supervisor.EventWaiting:
		return fmt.Sprintf("the next generation starts in %v", e.After.Round(time.Millisecond))
	case supervisor.EventReaped:
		return fmt.Sprintf("nothing is left of generation %d", e.Generation)
	case supervisor.EventSignal:
		return fmt.Sprintf("%s to every rank", process.SignalName(e.Signal))
	case supervisor.EventStopping, supervisor.EventResized:
		return fmt.Sprintf("%s: %s", e.Kind, e.Reason)
	case supervisor.EventAdded, supervisor.EventRemoved, supervisor.EventRestart:
		return fmt.Sprintf("rank %d %s: %s", e.Rank, e.Kind, e.Reason)
	}
	return ""
}

// happened adds a line to the timeline.
func (b *Board) happened(at time.Time, text string) {
	b.timeline = append(b.timeline, fmt.Sprintf("%8s  %s", brief(at.Sub(b.start)), clean(text)))
	if over := len(b.timeline) - mostMoments; over > 0 {
		b.timeline = slices.Delete(b.timeline, 0, over)
	}
}

// Say adds a line of the launcher's own.
func (b *Board) Say(at time.Time, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.happened(at, text)
}

// Output takes lines of a rank.
func (b *Board) Output(id process.ID, _ process.Stream, lines []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.row(id.Rank)
	for line := range bytes.Lines(lines) {
		shown := bytes.TrimRight(line, "\r\n")
		shown = shown[bytes.LastIndexByte(shown, '\r')+1:]
		r.last = clean(string(shown[:min(len(shown), longestLine)]))
		if r.bar {
			r.lines[len(r.lines)-1] = r.last
		} else {
			r.lines = append(r.lines, r.last)
		}
		r.bar = line[len(line)-1] == '\r'
	}
	if over := len(r.lines) - b.keep; over > 0 {
		r.lines = slices.Delete(r.lines, 0, over)
	}
}

// Progress takes how far a rank is.
func (b *Board) Progress(id process.ID, count uint64, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.row(id.Rank); id.Generation >= r.generation {
		r.progress = clean(strings.TrimSpace(fmt.Sprint(count, " ", text)))
	}
}

// rows copies the rows in which a text is to be found, by rank.
func (b *Board) rows(filter string, at time.Time) []row {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []row
	for _, r := range b.ranks {
		if filter == "" || strings.Contains(strings.ToLower(strings.Join(r.cells(at), " ")), strings.ToLower(filter)) {
			copied := *r
			copied.lines = nil
			all = append(all, copied)
		}
	}
	slices.SortFunc(all, func(a, b row) int { return a.rank - b.rank })
	return all
}

// log copies the last lines of a rank.
func (b *Board) log(rank int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ranks[rank] == nil {
		return nil
	}
	return slices.Clone(b.ranks[rank].lines)
}

func (b *Board) moments() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.timeline)
}

// cells are what the table says of a rank.
func (r *row) cells(at time.Time) []string {
	uptime, pid := "", ""
	if !r.since.IsZero() {
		if !r.until.IsZero() {
			at = r.until
		}
		uptime = brief(at.Sub(r.since))
	}
	if r.pid > 0 {
		pid = fmt.Sprint(r.pid)
	}
	return []string{fmt.Sprint(r.rank), r.role, r.host, fmt.Sprint(r.generation), pid, r.state, uptime, r.progress, r.last}
}

// brief is a time in whole seconds, tenths of a second when it is short.
func brief(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	}
	return d.Truncate(time.Second).String()
}

// clean is a line without what would move the cursor.
func clean(line string) string {
	line = strings.ReplaceAll(strings.TrimRight(ansi.Strip(line), "\r\n"), "\t", "    ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
}
