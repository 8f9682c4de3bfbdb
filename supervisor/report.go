package supervisor

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// An Outcome says how a rank or a group ended, or that it has not.
type Outcome string

// The outcomes. Running is for both, Stopped and Abandoned are a rank's, Interrupted and TimedOut a group's.
const (
	Running     Outcome = "running"
	Succeeded   Outcome = "succeeded"
	Failed      Outcome = "failed"
	Stopped     Outcome = "stopped"
	Abandoned   Outcome = "abandoned"
	Interrupted Outcome = "interrupted"
	TimedOut    Outcome = "timeout"
)

// A Report is what is known of a group at one moment. Its JSON form is that of docs/design.md §9.
type Report struct {
	Run         string
	Name        string
	Outcome     Outcome
	Generation  int
	Restarts    int // resizes among them: all generations but the first, and those in which ranks were added
	Containment string
	Start       time.Time
	Seconds     float64    // since Start
	ExitCode    int        // for whoever chooses one, such as a launcher: the supervisor leaves it at 0
	Failures    []*Failure // at least the latest 1000, by Seq
	Ranks       []RankReport
	Generations []GenerationReport // at least the latest 1000
	Ghosts      int                // messages of older generations that were dropped
	Problems    []string           // what of the run could not be written down, for whoever writes: the supervisor leaves it empty
}

// A RankReport is the last life of a rank.
type RankReport struct {
	Rank       int
	Role       string // "" without one
	RoleRank   int    // its place among the ranks of its role
	Generation int
	PID        int    // 0 before there is a process
	Host       string // where it runs, on one of several hosts; "" for a group on one
	Outcome    Outcome
	Removed    string        // why it was removed; "" for who belongs to the group
	Exit       *process.Exit // nil while it lives
	Conditions []string      // what it was set up with: see Spec.Conditions
	// Result is what its work returned, as JSON, once the group has ended: nil for none, for more than 64 KiB and for what JSON has
	// no form of. ResultBytes is the size of it as msgpack: see Group.Results.
	Result      json.RawMessage
	ResultBytes int
}

// report copies what the machine knows.
func (m *machine) report() Report {
	r := Report{
		Outcome: m.outcome(), Generation: max(m.first, m.generation), Restarts: m.restarted(), Ghosts: m.ghosts,
		Failures: m.copyFailures(), Generations: slices.Clone(m.generations),
	}
	for rank, l := range m.lives {
		k := RankReport{Rank: rank, Generation: l.generation, PID: l.pid, Host: l.host, Outcome: l.outcome, Removed: l.removed, Exit: l.exit}
		r.Ranks = append(r.Ranks, k)
	}
	return r
}

// copyFailures copies the failures with what they have of each other: the machine goes on writing into its own.
func (m *machine) copyFailures() []*Failure {
	known, copies := make([]*Failure, len(m.failures)), make(map[*Failure]*Failure, len(m.failures))
	for i, f := range m.failures {
		copied := *f
		known[i], copies[f] = &copied, &copied
	}
	for _, f := range known {
		f.Stopped, f.Collateral = slices.Clone(f.Stopped), slices.Clone(f.Collateral)
		for i, c := range f.Collateral {
			f.Collateral[i] = copies[c]
		}
	}
	return known
}

func (m *machine) outcome() Outcome {
	switch {
	case m.phase != done:
		return Running
	case m.verdict == "":
		return Succeeded
	}
	return m.verdict
}

// results returns the value of each rank's last life, nil where it returned none.
func (m *machine) results() [][]byte {
	values := make([][]byte, len(m.lives))
	for rank, l := range m.lives {
		values[rank] = l.value
	}
	return values
}

// mostResult bounds what of a result is in a report, in bytes.
const mostResult = 64 << 10

// addResults tells what each rank's work returned.
func (r *Report) addResults(values [][]byte) {
	for i := range min(len(r.Ranks), len(values)) {
		r.Ranks[i].Result, r.Ranks[i].ResultBytes = resultAsJSON(values[i]), len(values[i])
	}
}

func resultAsJSON(value []byte) json.RawMessage {
	if len(value) == 0 || len(value) > mostResult {
		return nil
	}
	var decoded any // it has passed the walk, and is bounded
	if err := transport.Unmarshal(value, &decoded); err != nil {
		return nil
	}
	text, err := plainJSON(decoded)
	if err != nil || len(text) > mostResult {
		return nil
	}
	return text
}

// plainJSON returns the JSON form of a value, in which <, > and & are not escaped.
func plainJSON(value any) ([]byte, error) {
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false)
	err := to.Encode(value)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

// MarshalJSON writes the report as docs/design.md §9 has it. Whether <, > and & are escaped is up to the encoder.
func (r Report) MarshalJSON() ([]byte, error) {
	return plainJSON(r.document())
}

// A document is the JSON form of a Report.
type document struct {
	Run         string               `json:"run"`
	Name        string               `json:"name"`
	Start       time.Time            `json:"start,omitzero"`
	Outcome     Outcome              `json:"outcome"`
	WorldSize   int                  `json:"world_size"`
	Generation  int                  `json:"generation"`
	Restarts    int                  `json:"restarts"`
	Containment string               `json:"containment"`
	Seconds     float64              `json:"seconds"`
	ExitCode    int                  `json:"exit_code"`
	Ghosts      int                  `json:"ghosts"`
	Problems    []string             `json:"problems,omitempty"`
	Failures    []failureDocument    `json:"failures"`
	Ranks       []rankDocument       `json:"ranks"`
	Generations []generationDocument `json:"generations"`
}

type failureDocument struct {
	Seq        int                  `json:"seq"`
	Generation int                  `json:"generation"`
	Rank       int                  `json:"rank"`
	Kind       Kind                 `json:"kind"`
	PID        int                  `json:"pid"`
	Host       string               `json:"host"`
	At         float64              `json:"at_s"`
	Uptime     float64              `json:"uptime_s"`
	Error      string               `json:"error"`
	Exit       *process.Exit        `json:"exit"`
	Exception  *transport.Exception `json:"exception"`
	StderrTail string               `json:"stderr_tail"`
	Stacks     string               `json:"stacks,omitempty"`
	Healthy    *healthyDocument     `json:"healthy,omitempty"`
	Dump       string               `json:"dump,omitempty"`
	Decision   string               `json:"decision,omitempty"`
}

type rankDocument struct {
	Rank        int             `json:"rank"`
	Role        string          `json:"role,omitempty"`
	RoleRank    *int            `json:"role_rank,omitempty"` // with a role
	Generation  int             `json:"generation"`
	PID         int             `json:"pid"`
	Host        string          `json:"host,omitempty"`
	Outcome     Outcome         `json:"outcome"`
	Removed     string          `json:"removed,omitempty"`
	Exit        *process.Exit   `json:"exit"`
	MaxRSS      int64           `json:"max_rss_bytes"` // 0 means not known
	CPUSeconds  float64         `json:"cpu_seconds"`
	Conditions  []string        `json:"conditions,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"`
	ResultBytes int             `json:"result_bytes,omitempty"`
	Dump        string          `json:"dump,omitempty"`
}

// A healthyDocument is the rank that was well when another one was hung.
type healthyDocument struct {
	Rank   int    `json:"rank"`
	Stacks string `json:"stacks"`
}

func (r Report) document() document {
	host, _ := os.Hostname()
	d := document{
		Run: r.Run, Name: r.Name, Start: r.Start, Outcome: r.Outcome, WorldSize: len(r.Ranks), Generation: r.Generation,
		Restarts: r.Restarts, Containment: r.Containment, Seconds: r.Seconds, ExitCode: r.ExitCode, Ghosts: r.Ghosts,
		Problems: r.Problems,
		Failures: []failureDocument{}, Ranks: []rankDocument{}, Generations: []generationDocument{},
	}
	for _, f := range r.Failures {
		d.Failures = append(d.Failures, f.document(host, r.Start))
	}
	for _, k := range r.Ranks {
		out := rankDocument{
			Rank: k.Rank, Generation: k.Generation, PID: k.PID, Outcome: k.Outcome, Removed: k.Removed, Exit: k.Exit,
			Conditions: k.Conditions, Role: k.Role, Host: k.Host, Result: k.Result, ResultBytes: k.ResultBytes,
		}
		if k.Role != "" {
			out.RoleRank = &k.RoleRank
		}
		if k.Exit != nil {
			out.CPUSeconds, out.MaxRSS, out.Dump = k.Exit.CPU.Seconds(), k.Exit.MaxRSS, string(k.Exit.Dump)
		}
		d.Ranks = append(d.Ranks, out)
	}
	for i, g := range r.Generations {
		d.Generations = append(d.Generations, g.document(r.Start, r.end(i)))
	}
	return d
}

func (f *Failure) document(host string, start time.Time) failureDocument {
	if f.Host != "" {
		host = f.Host
	}
	d := failureDocument{
		Seq: f.Seq, Generation: f.Generation, Rank: f.Rank, Kind: f.Kind, PID: f.PID, Host: host,
		At: f.At.Sub(start).Seconds(), Uptime: f.Uptime.Seconds(),
		Error: f.cause().Error(), Exit: f.Exit, Exception: f.Exception, StderrTail: f.StderrTail(), Dump: f.Dump(),
	}
	if d.Stacks = f.Stacks; f.HealthyStacks != "" {
		d.Healthy = &healthyDocument{f.Healthy, f.HealthyStacks}
	}
	if f.Kind != Collateral {
		d.Decision = f.Directive.Action.String()
		if f.Directive.Reason != "" {
			d.Decision += ": " + f.Directive.Reason
		}
	}
	return d
}

// since returns the seconds from start to t, nil when t has not come.
func since(start, t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	s := t.Sub(start).Seconds()
	return &s
}
