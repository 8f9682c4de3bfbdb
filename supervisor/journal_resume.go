package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/go-muster/muster/actors/process"
)

// WithJournalNote has a text in JSON written into the first line of the journal, for whoever reads it: what else the caller needs
// to start the group again, such as a launcher's own arguments. See [Journal.Note].
func WithJournalNote(note json.RawMessage) Option { return func(o *options) { o.note = note } }

// with adds the caller's own.
func (j *journal) with(note json.RawMessage) *journal {
	if j != nil {
		j.note = note
	}
	return j
}

// commandRun is a number of ranks with the same command.
type commandRun struct {
	Count   int             `json:"count"`
	Command process.Command `json:"command,omitzero"` // without arguments it was too long to be written
}

func runsOf(commands []process.Command) (runs []commandRun) {
	for _, c := range commands {
		if n := len(runs); n > 0 && reflect.DeepEqual(runs[n-1].Command, c) {
			runs[n-1].Count++
		} else {
			runs = append(runs, commandRun{1, c})
		}
	}
	return runs
}

// unwritten stands for commands that are too long for a line.
func unwritten(runs []commandRun) []commandRun {
	n := 0
	for _, r := range runs {
		n += r.Count
	}
	return []commandRun{{Count: n}}
}

// commandsOf is the inverse of runsOf.
func commandsOf(runs []commandRun) (commands []process.Command, err error) {
	for _, r := range runs {
		if r.Count < 1 || r.Count > journalRanks-len(commands) {
			return nil, fmt.Errorf("commands: %d ranks", r.Count)
		}
		commands = append(commands, Repeat(r.Count, r.Command)...)
	}
	return commands, nil
}

// newCommands has the commands that somebody gave the group written down with what is told next.
func (j *journal) newCommands(commands []process.Command) {
	if j != nil {
		j.news = runsOf(commands)
	}
}

// A LastLife is the newest life of a rank, as far as a journal tells.
type LastLife struct {
	ID    process.ID
	PID   int    // 0 when no process was heard of
	Host  string // where, on one of several; "" for the journal's own
	Ended bool   // its end was told
}

// Last returns the number of the newest generation, one less than the first when none was begun, and the newest life of each rank
// that had one, by rank.
func (j Journal) Last() (generation int, lives []LastLife) {
	generation = j.Spec.FirstGeneration - 1
	byRank := map[int]*LastLife{}
	size, resized := len(j.Spec.Ranks), false
	for _, e := range j.Events {
		l := byRank[e.Rank]
		switch {
		case e.Kind == EventResized:
			size, resized = max(size, e.Size), true
		case e.Kind == EventAdded:
			size = max(size, e.Rank+1)
		case e.Kind == EventSpawn:
			if resized && e.Generation > generation {
				clear(byRank) // the numbers begin anew
			}
			resized = resized && e.Generation == generation
			generation = max(generation, e.Generation)
			byRank[e.Rank] = &LastLife{ID: process.ID{Rank: e.Rank, Generation: e.Generation}}
		case l == nil || l.ID.Generation != e.Generation:
		case e.Kind == EventStarted:
			l.PID, l.Host = e.PID, e.Host
		case e.Kind == EventExited:
			l.Ended = true
		}
	}
	for rank := range size {
		if l := byRank[rank]; l != nil {
			lives = append(lives, *l)
		}
	}
	return generation, lives
}

// Resume returns what goes on with the group: its commands as they were last, also those of ranks that were added, or of a resize,
// its terms, and the generation after the last one. An elastic group has all of its ranks in it, not those that there was room for.
// The strategy is not in it, and ranks that were removed or dropped begin anew. Nothing tells whether processes of the old
// group are alive: on one host its watchdog has ended them with the supervisor, on others their leases do.
//
// It returns [ErrJournal] when the journal does not have the commands: it is of an older version, or they were too long for a line.
func (j Journal) Resume() (Spec, error) {
	for _, c := range j.commands {
		if len(c.Args) == 0 && c.Entry == "" {
			return Spec{}, fmt.Errorf("%w to resume from: the commands were too long to be written", ErrJournal)
		}
	}
	if len(j.commands) == 0 {
		return Spec{}, fmt.Errorf("%w to resume from: it has no commands", ErrJournal)
	}
	s := j.Spec
	s.Ranks = j.commands
	last, _ := j.Last()
	s.FirstGeneration = last + 1
	for _, e := range j.Events {
		if e.Terms != nil {
			s.RestartTypes, s.Success = e.Terms.RestartTypes, e.Terms.Success
			s.Significant, s.AutoShutdown = e.Terms.Significant, e.Terms.AutoShutdown
		}
	}
	return s, nil
}

// data returns what of a spec a header has beside the rest, which is checked.
func (h *header) data() (s Spec, err error) {
	if h.Spec == nil {
		return s, nil
	}
	s = *h.Spec
	if s.FirstGeneration < 0 || s.Elastic.Wait < 0 || s.Elastic.Settle < 0 || s.MaxResult < 0 {
		err = errors.New("spec: a number is negative")
	}
	return s, err
}
