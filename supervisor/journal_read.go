package supervisor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// A Journal is what [WithJournal] wrote, as far as it came.
type Journal struct {
	Run, Name, Host string
	PID             int // of the supervisor
	Start           time.Time
	Strategy        string // for people
	// Placed says that it ran on several hosts.
	Placed bool
	// Spec is the group's at its start, without its strategy; its commands are empty in a journal of an older version.
	Spec Spec
	// Note is what [WithJournalNote] gave; nil without.
	Note json.RawMessage
	// Events are all that happened, in order. Their failures are as they were known then, without stacks.
	Events []Event
	// Torn says that the last line, or the first, has been cut off: the supervisor was killed while it wrote it.
	Torn bool

	commands []process.Command // those that it had last
}

// ErrJournal is what a text that is no journal gives.
var ErrJournal = errors.New("supervisor: no journal")

// journalMost is the longest line that is read, in bytes: more than anybody writes.
const journalMost = 16 << 20

// ReadJournal reads a journal, also of a supervisor that was killed at any moment, or that runs still. Only its last line
// may be torn. Keys and kinds of event that it does not know are left aside; anything else that is wrong, such as a
// missing line, is [ErrJournal] with the number of the line.
func ReadJournal(r io.Reader) (Journal, error) {
	var j journalReader
	lines := bufio.NewReader(r)
	for {
		line, err := nextLine(lines)
		if err == nil || err == io.EOF && len(line) > 0 {
			j.line++
			if wrong := j.read(line, err == io.EOF); wrong != nil {
				return Journal{}, fmt.Errorf("%w: line %d: %w", ErrJournal, j.line, wrong)
			}
		}
		switch {
		case err == io.EOF:
			j.journal.Torn = j.journal.Torn || j.line == 0
			return j.journal, nil
		case err != nil:
			return Journal{}, fmt.Errorf("%w: line %d: %w", ErrJournal, j.line+1, err)
		}
	}
}

// nextLine reads a line without its end; with io.EOF what is left of one that has none.
func nextLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > journalMost {
			return nil, fmt.Errorf("it is longer than %d MiB", journalMost>>20)
		}
		if err != bufio.ErrBufferFull {
			return bytes.TrimSuffix(line, []byte("\n")), err
		}
	}
}

type journalReader struct {
	journal  Journal
	line     int
	seq      int
	size     int // of the world, by the last event that says it,
	present  int // and of those who are there: a resize stops them first, and may never come to pass
	most     int // it has been
	failures map[int]*Failure
}

// read takes a line. The last one, if it has no end, may be torn anywhere.
func (j *journalReader) read(line []byte, last bool) error {
	if last && !json.Valid(line) && (j.line > 1 || beginsJournal(line)) {
		j.journal.Torn = true
		return nil
	}
	if j.line == 1 {
		return j.readHeader(line)
	}
	return j.readRecord(line)
}

// beginsJournal reports whether a torn first line may have been one of ours.
func beginsJournal(line []byte) bool {
	const first = `{"journal":`
	n := min(len(line), len(first))
	return string(line[:n]) == first[:n]
}

func (j *journalReader) readHeader(line []byte) error {
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return err
	}
	switch {
	case h.Journal != journalVersion:
		return fmt.Errorf("version %d of the format: version %d can be read", h.Journal, journalVersion)
	case h.WorldSize < 1 || h.WorldSize > journalRanks:
		return fmt.Errorf("world_size is %d: there are 1 to %d ranks", h.WorldSize, journalRanks)
	}
	j.failures, j.size, j.present, j.most = map[int]*Failure{}, h.WorldSize, h.WorldSize, h.WorldSize
	spec, err := h.spec()
	j.journal = Journal{
		Run: h.Run, Name: h.Name, Host: h.Host, PID: h.PID, Start: h.Time, Strategy: h.Strategy, Spec: spec, Placed: h.Placed, Note: h.Note,
	}
	if len(h.Commands) > 0 {
		j.journal.commands = spec.Ranks
	}
	return err
}

// journalRanks is more than any group has, and less than what a wrong number would cost.
const journalRanks = 1 << 20

func (h *header) spec() (s Spec, err error) {
	t := h.termsDocument.terms()
	s, wrong := h.data()
	s = Spec{
		Liveness: s.Liveness, GPUs: s.GPUs, MaxResult: s.MaxResult, Elastic: s.Elastic, FirstGeneration: s.FirstGeneration,
		Name: h.Name, RunID: h.Run, Ranks: make([]process.Command, h.WorldSize), MinRanks: h.MinRanks, MaxRanks: h.MaxRanks,
		Ordered: h.Ordered, RestartTypes: t.RestartTypes, Success: t.Success, Significant: t.Significant,
		AutoShutdown: t.AutoShutdown,
	}
	if commands, bad := commandsOf(h.Commands); bad != nil || len(commands) > 0 && len(commands) != h.WorldSize {
		wrong = errors.Join(wrong, bad, fmt.Errorf("commands of %d ranks, and world_size is %d", len(commands), h.WorldSize))
	} else if len(commands) > 0 {
		s.Ranks = commands
	}
	terms := t.terms()
	return s, errors.Join(wrong, terms.check(h.WorldSize), s.bounds().check(h.WorldSize), setSeconds(&s.Grace, "grace_s", h.Grace),
		setSeconds(&s.StartTimeout, "start_timeout_s", h.StartTimeout), setSeconds(&s.Timeout, "timeout_s", h.Timeout),
		setSeconds(&s.Lifetime, "lifetime_s", h.Lifetime))
}

// terms are read as they are written. What is unknown, is found by their check.
func (d *termsDocument) terms() Terms {
	t := Terms{Success: d.Success, Significant: d.Significant, AutoShutdown: -1}
	for _, is := range d.RestartTypes {
		which := Transient
		for ; which <= Temporary && which.String() != is; which++ {
		}
		t.RestartTypes = append(t.RestartTypes, which)
	}
	for shutdown, name := range shutdownNames {
		if name == d.AutoShutdown {
			t.AutoShutdown = shutdown
		}
	}
	return t
}

// setSeconds takes a time that is not negative, and that a Duration has room for.
func setSeconds(d *time.Duration, key string, s float64) error {
	if s < 0 || s > math.MaxInt64/float64(time.Second)/2 {
		return fmt.Errorf("%s is %v", key, s)
	}
	*d = seconds(s)
	return nil
}

func (j *journalReader) readRecord(line []byte) error {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	if r.Seq != j.seq+1 {
		return fmt.Errorf("seq is %d after %d", r.Seq, j.seq)
	}
	j.seq = r.Seq
	if commands, err := commandsOf(r.Commands); err != nil {
		return err
	} else if commands != nil {
		j.journal.commands = commands
	}
	if !r.Event.known() {
		return nil
	}
	e, err := j.event(&r)
	if err != nil {
		return fmt.Errorf("event %q: %w", r.Event, err)
	}
	j.journal.Events = append(j.journal.Events, e)
	return nil
}

// known reports whether a kind is one that a group tells.
func (k EventKind) known() bool {
	switch k {
	case EventSpawn, EventStarted, EventReady, EventRunning, EventReturned, EventFailed, EventDecided, EventStop, EventKill,
		EventAbandon, EventExited, EventReaped, EventWaiting, EventStopping, EventGhost, EventNotice, EventChanged, EventHello,
		EventProbing, EventHung, EventStraggler, EventSignal, EventAdded, EventRemoved, EventResized, EventRestart, EventRoom, EventDone:
		return true
	}
	return false
}

func (j *journalReader) event(r *record) (Event, error) {
	e, err := j.common(r)
	if err != nil {
		return e, err
	}
	switch e.Kind {
	case EventExited:
		if e.Exit == nil {
			return e, errors.New("it has no exit")
		}
	case EventRoom:
		if e.Size < 0 || e.Hosts < 0 {
			return e, fmt.Errorf("room for %d ranks on %d hosts", e.Size, e.Hosts)
		}
	case EventChanged:
		return e, j.changed(&e, r.Terms)
	case EventStopping:
		e.Kill = r.Signal == "SIGKILL"
	case EventSignal:
		e.Signal, err = process.ParseSignal(r.Signal)
		return e, err
	case EventFailed:
		return e, j.failed(&e, r)
	case EventDecided:
		return e, j.decided(&e, r)
	}
	return e, nil
}

// common reads what events of all kinds have.
func (j *journalReader) common(r *record) (Event, error) {
	e := Event{Seq: r.Seq, Kind: r.Event, Rank: -1, Generation: r.Generation, PID: r.PID, Host: r.Host, Reason: r.Reason, Exit: r.Exit, Size: r.Size, Hosts: r.Hosts, Fit: r.Fit}
	if r.Rank != nil {
		e.Rank = *r.Rank
	}
	if err := j.resize(&e); err != nil {
		return e, err
	}
	if e.ofRank() != (r.Rank != nil) || e.Rank < -1 || e.Rank >= j.most {
		return e, fmt.Errorf("rank %d of %d", e.Rank, j.most)
	}
	var at time.Duration
	if err := errors.Join(setSeconds(&at, "at_s", r.At), setSeconds(&e.After, "after_s", r.After)); err != nil {
		return e, err
	}
	e.At = j.journal.Start.Add(at)
	if e.Exit != nil {
		e.Exit.Err = recall(e.Exit.Err)
	}
	if (e.Kind == EventStopping || e.Kind == EventDone) && r.Error != "" {
		e.Err = recall(errors.New(r.Error))
	}
	return e, nil
}

// resize keeps the account of how many ranks there are. Old ones are told of after that, too.
func (j *journalReader) resize(e *Event) error {
	switch e.Kind {
	case EventAdded:
		if e.Rank != j.size || j.size == journalRanks {
			return fmt.Errorf("rank %d is added to %d", e.Rank, j.size)
		}
		j.size++
	case EventSpawn:
		j.present = j.size
	case EventResized:
		if e.Size < 1 || e.Size > journalRanks {
			return fmt.Errorf("size is %d: there are 1 to %d ranks", e.Size, journalRanks)
		}
		j.size = e.Size
	}
	j.most = max(j.most, j.size)
	return nil
}

// ofRank reports whether the kind of the event is one that concerns a rank.
func (e *Event) ofRank() bool {
	switch e.Kind {
	case EventRunning, EventReaped, EventWaiting, EventStopping, EventNotice, EventChanged, EventSignal, EventResized, EventRoom, EventDone:
		return false
	}
	return true
}

// changed takes the new terms, if it was those that were changed.
func (j *journalReader) changed(e *Event, d *termsDocument) error {
	if d == nil {
		return nil
	}
	t := d.terms()
	e.Terms = &t
	terms := t.terms()
	if terms.check(j.present) == nil {
		return nil
	}
	return terms.check(j.size)
}

func (j *journalReader) failed(e *Event, r *record) error {
	d := r.Failure
	switch {
	case d == nil:
		return errors.New("it has no failure")
	case d.Rank != e.Rank || d.Generation != e.Generation:
		return fmt.Errorf("its failure is that of rank %d@%d", d.Rank, d.Generation)
	case d.Kind != Origin && d.Kind != Collateral && d.Kind != Ignored:
		return fmt.Errorf("kind %q is none of %s, %s and %s", d.Kind, Origin, Collateral, Ignored)
	}
	f := d.failure(j.journal.Start)
	f.At, f.Directive = e.At, Directive{}
	e.Failure, j.failures[f.Seq] = f, f
	return setSeconds(&f.Uptime, "uptime_s", d.Uptime)
}

func (j *journalReader) decided(e *Event, r *record) error {
	f := j.failures[r.FailureSeq]
	action, named := actionNamed(r.Action)
	switch {
	case f == nil || f.Rank != e.Rank:
		return fmt.Errorf("failure_seq %d is no failure of rank %d", r.FailureSeq, e.Rank)
	case !named:
		return fmt.Errorf("there is no action %q", r.Action)
	}
	for _, rank := range r.Ranks {
		if rank < 0 || rank >= j.most {
			return fmt.Errorf("its directive names rank %d of %d", rank, j.most)
		}
	}
	known := *f
	known.Kind = Origin
	if action == Ignore {
		known.Kind = Ignored
	}
	known.Directive = Directive{Action: action, Ranks: r.Ranks, After: e.After, Free: r.Free, Reason: e.Reason}
	e.Action, e.Failure = action, &known
	return setSeconds(&known.Directive.Linger, "linger_s", r.Linger)
}

// Duration is how long the group has been there, as far as the journal tells.
func (j Journal) Duration() time.Duration {
	if len(j.Events) == 0 {
		return 0
	}
	return j.Events[len(j.Events)-1].At.Sub(j.Start)
}

// Decisions returns the failures that were decided upon, in order, each with its directive.
func (j Journal) Decisions() []*Failure { return decisions(j.Events) }

func decisions(events []Event) (decided []*Failure) {
	for _, e := range events {
		if e.Kind == EventDecided {
			decided = append(decided, e.Failure)
		}
	}
	return decided
}

// End reports whether the group has ended, and with what: as Run returns it, but for its type.
func (j Journal) End() (ended bool, err error) {
	for _, e := range j.Events {
		if e.Kind == EventDone {
			return true, e.Err
		}
	}
	return false, nil
}

// Outside returns what came from outside, in order: stops and kills, which are [EventStopping], each [EventSignal],
// [EventAdded], [EventRemoved], [EventResized] (but to the room that there is) and [EventRestart], and each [EventChanged] of terms.
func (j Journal) Outside() (sent []Event) {
	for _, e := range j.Events {
		outside := e.Terms != nil
		switch e.Kind {
		case EventSignal, EventAdded, EventRemoved, EventRestart:
			outside = true
		case EventResized:
			outside = !e.Fit
		case EventStopping:
			outside = e.Err != nil && !errors.Is(e.Err, ErrTimeout) && !errors.Is(e.Err, ErrNoRoom) && !errors.Is(e.Err, ErrStrategy)
		}
		if outside {
			sent = append(sent, e)
		}
	}
	return sent
}
