package supervisor

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// WithJournal writes a journal of the group: lines of JSON, the first about the run, then one for each event, as
// docs/operations.md has them. Each line is one Write, made before what it tells of is done: of a supervisor that is
// killed, the last line says what it was about to do. [ReadJournal] reads it, [Replay] asks another strategy about it, and
// [Journal.Resume] goes on with the group: the commands are in it, with the variables and arguments that they have of their own.
//
// Write is called on the supervisor's own goroutine, and must not block: a file does well, opened with os.O_APPEND. The
// first error ends the journal with an [EventNotice], and the group goes on. A writer has the journal of one group only.
func WithJournal(w io.Writer) Option { return func(o *options) { o.journal = w } }

const (
	journalVersion = 1
	journalLine    = 1 << 20 // bytes that we write into one line; of what is longer, the texts are cut
	journalText    = 4 << 10 // bytes that are left of them
)

// A journal writes down what happens. Nil is one that nobody wants.
type journal struct {
	w      io.Writer
	spec   Spec
	start  time.Time
	host   string
	begun  bool
	placed bool // on several hosts
	note   json.RawMessage
	news   []commandRun // that were not written yet
}

func newJournal(w io.Writer, s Spec, start time.Time) *journal {
	if w == nil {
		return nil
	}
	host, _ := os.Hostname()
	return &journal{w: w, spec: s, start: start, host: host}
}

// place notes that there are several hosts.
func (j *journal) place() {
	if j != nil {
		j.placed = true
	}
}

// setRanks tells of other commands.
func (j *journal) setRanks(commands []process.Command) {
	if j != nil {
		j.spec.Ranks = commands
	}
}

// write adds an event. What goes wrong for the first time is complained about.
func (j *journal) write(e Event, complain func(string)) {
	if j == nil || j.w == nil {
		return
	}
	err := j.begin()
	if err == nil {
		err = j.put(j.line(e))
	}
	if err != nil {
		j.w = nil
		complain(fmt.Sprintf("the journal ends before event %d: %v", e.Seq, err))
	}
}

func (j *journal) begin() error {
	if j.begun {
		return nil
	}
	j.begun = true
	h := headerOf(j)
	line, err := json.Marshal(h)
	if len(line) > journalLine {
		h.Commands = unwritten(h.Commands)
		line, err = json.Marshal(h)
	}
	if err != nil {
		return err
	}
	return j.put(line)
}

func (j *journal) put(line []byte) error {
	_, err := j.w.Write(append(line, '\n'))
	return err
}

// line is an event in JSON. A record has nothing that cannot be written.
func (j *journal) line(e Event) []byte {
	r := j.record(e)
	line, _ := json.Marshal(r)
	if len(line) > journalLine {
		r.shorten()
		line, _ = json.Marshal(r)
	}
	return line
}

// A header is the first line of a journal.
type header struct {
	Journal      int       `json:"journal"` // the version of the format
	Run          string    `json:"run"`
	Name         string    `json:"name"`
	Host         string    `json:"host"`
	PID          int       `json:"pid"` // of the supervisor
	Time         time.Time `json:"time"`
	WorldSize    int       `json:"world_size"`
	MinRanks     int       `json:"min_ranks,omitempty"`
	MaxRanks     int       `json:"max_ranks,omitempty"`
	Strategy     string    `json:"strategy"` // for people
	Grace        float64   `json:"grace_s"`
	StartTimeout float64   `json:"start_timeout_s"`
	Timeout      float64   `json:"timeout_s,omitempty"`
	Lifetime     float64   `json:"lifetime_s,omitempty"`
	Ordered      bool      `json:"ordered,omitempty"`
	Placed       bool      `json:"placed,omitempty"` // on several hosts
	termsDocument
	Spec     *Spec           `json:"spec,omitempty"` // all that is data, without its ranks
	Commands []commandRun    `json:"commands,omitempty"`
	Note     json.RawMessage `json:"note,omitempty"`
}

type termsDocument struct {
	RestartTypes []string `json:"restart_types,omitempty"`
	Success      Success  `json:"success,omitzero"`
	Significant  []int    `json:"significant,omitempty"`
	AutoShutdown string   `json:"auto_shutdown,omitempty"`
}

func (t Terms) document() termsDocument {
	d := termsDocument{Success: t.Success, Significant: t.Significant, AutoShutdown: shutdownNames[t.AutoShutdown]}
	for _, is := range t.RestartTypes {
		d.RestartTypes = append(d.RestartTypes, is.String())
	}
	return d
}

func headerOf(j *journal) header {
	s := j.spec
	rest := s
	rest.Ranks = nil
	return header{
		Journal: journalVersion, Run: s.RunID, Name: s.Name, Host: j.host, PID: os.Getpid(), Time: j.start,
		WorldSize: len(s.Ranks), MinRanks: s.MinRanks, MaxRanks: s.MaxRanks, Strategy: cut(Describe(s.Strategy)),
		Grace: s.Grace.Seconds(), StartTimeout: s.StartTimeout.Seconds(), Timeout: s.Timeout.Seconds(),
		Lifetime: s.Lifetime.Seconds(), Ordered: s.Ordered, Placed: j.placed,
		termsDocument: Terms{s.RestartTypes, s.Success, s.Significant, s.AutoShutdown}.document(), Spec: &rest, Commands: runsOf(s.Ranks), Note: j.note,
	}
}

var shutdownNames = map[Shutdown]string{Never: "", AnySignificant: "any significant", AllSignificant: "all significant"}

// A record is a line of a journal: an event.
type record struct {
	Seq        int              `json:"seq"`
	Time       time.Time        `json:"time"`
	At         float64          `json:"at_s"` // since the start, by a clock that nobody sets
	Event      EventKind        `json:"event"`
	Generation int              `json:"generation"`
	Rank       *int             `json:"rank,omitempty"`
	PID        int              `json:"pid,omitempty"`
	Host       string           `json:"host,omitempty"` // of started, on one of several
	Reason     string           `json:"reason,omitempty"`
	Signal     string           `json:"signal,omitempty"` // that is sent, or to be sent
	Action     string           `json:"action,omitempty"`
	Ranks      []int            `json:"ranks,omitempty"` // that the directive names
	After      float64          `json:"after_s,omitempty"`
	Linger     float64          `json:"linger_s,omitempty"`
	Free       bool             `json:"free,omitempty"`
	Size       int              `json:"size,omitempty"`        // the new world size; of room, how many ranks there is room for
	Hosts      int              `json:"hosts,omitempty"`       // of room
	Fit        bool             `json:"fit,omitempty"`         // of resized: to the room that there is
	FailureSeq int              `json:"failure_seq,omitempty"` // which failure was decided about
	Failure    *failureDocument `json:"failure,omitempty"`     // of failed
	Exit       *process.Exit    `json:"exit,omitempty"`
	Terms      *termsDocument   `json:"terms,omitempty"` // of changed
	Error      string           `json:"error,omitempty"`
	Commands   []commandRun     `json:"commands,omitempty"` // from here on, that somebody gave the group
}

func (j *journal) record(e Event) record {
	r := record{
		Seq: e.Seq, Time: e.At, At: e.At.Sub(j.start).Seconds(), Event: e.Kind, Generation: e.Generation, PID: e.PID, Host: e.Host,
		Reason: e.Reason, Size: e.Size, Hosts: e.Hosts, Fit: e.Fit, After: e.After.Seconds(), Exit: e.Exit,
	}
	r.Commands, j.news = j.news, nil
	if e.Rank >= 0 {
		r.Rank = &e.Rank
	}
	switch f := e.Failure; {
	case f != nil:
		r.Error = f.Error()
	case e.Err != nil:
		r.Error = e.Err.Error()
	}
	switch e.Kind {
	case EventFailed:
		d := e.Failure.document(j.host, j.start)
		d.Decision, d.Dump = "", "" // nothing is decided yet; stacks are in the report
		r.Failure = &d
	case EventDecided:
		d := e.Failure.Directive
		r.FailureSeq, r.Action, r.Ranks = e.Failure.Seq, e.Action.String(), d.Ranks
		r.Linger, r.Free = d.Linger.Seconds(), d.Free
	case EventStop:
		r.Signal = process.SignalName(stopSignal(j.spec.Ranks[e.Rank]))
	case EventKill:
		r.Signal = "SIGKILL"
	case EventChanged:
		if e.Terms != nil {
			d := e.Terms.document()
			r.Terms = &d
		}
	case EventSignal:
		r.Signal = process.SignalName(e.Signal)
	case EventStopping:
		if e.Kill {
			r.Signal = "SIGKILL"
		}
	}
	return r
}

func stopSignal(c process.Command) process.Signal {
	if c.StopSignal == 0 {
		return syscall.SIGTERM
	}
	return c.StopSignal
}

// shorten cuts a record that is too long for a line: all that can be long is text of a worker.
func (r *record) shorten() {
	r.Reason, r.Error = cut(r.Reason), cut(r.Error)
	r.Exit = withoutLeft(r.Exit)
	if r.Commands != nil {
		r.Commands = unwritten(r.Commands)
	}
	if d := r.Failure; d != nil {
		d.StderrTail, d.Error, d.Exit = cut(d.StderrTail), cut(d.Error), withoutLeft(d.Exit)
		if x := d.Exception; x != nil {
			d.Exception = &transport.Exception{
				Type: cut(x.Type), Module: cut(x.Module), Message: cut(x.Message), Traceback: cut(x.Traceback), Truncated: true,
			}
			for _, base := range x.Bases[:min(len(x.Bases), 16)] {
				d.Exception.Bases = append(d.Exception.Bases, cut(base))
			}
		}
	}
}

func withoutLeft(x *process.Exit) *process.Exit {
	if x == nil {
		return nil
	}
	short := *x
	short.Left = nil
	return &short
}

func cut(text string) string { return strings.ToValidUTF8(text[:min(len(text), journalText)], "") }
