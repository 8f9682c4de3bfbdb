package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// ErrReport is what a text that is no report gives.
var ErrReport = errors.New("supervisor: no report")

// ReadReport reads the JSON form of a report. Keys that it does not know are left aside; what has not the shape of a
// report is [ErrReport]. The JSON form does not say which failures were collateral to which, what was stopped, and of a
// directive it has the action and the reason only.
func ReadReport(r io.Reader) (Report, error) {
	var report Report
	text, err := io.ReadAll(r)
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		err = fmt.Errorf("%w: at byte %d: %w", ErrReport, syntax.Offset, err)
	}
	return report, err
}

// UnmarshalJSON reads what MarshalJSON wrote: see ReadReport.
func (r *Report) UnmarshalJSON(text []byte) error {
	d := document{WorldSize: -1}
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("%w: %w", ErrReport, err)
	}
	if err := d.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrReport, err)
	}
	*r = d.report()
	return nil
}

// check finds what the types of the document cannot say.
func (d *document) check() error {
	switch {
	case d.Outcome == "":
		return errors.New("it has no outcome")
	case d.WorldSize >= 0 && d.WorldSize != len(d.Ranks):
		return fmt.Errorf("world_size is %d, and there are %d ranks", d.WorldSize, len(d.Ranks))
	}
	for i, k := range d.Ranks {
		if k.Rank != i {
			return fmt.Errorf("ranks[%d] is rank %d", i, k.Rank)
		}
	}
	for i := range d.Failures {
		if err := d.Failures[i].check(d.most()); err != nil {
			return fmt.Errorf("failures[%d]: %w", i, err)
		}
	}
	return nil
}

// most is how many ranks the group has had at a time.
func (d *document) most() int {
	most := len(d.Ranks)
	for _, g := range d.Generations {
		most = max(most, g.Size)
	}
	return most
}

func (d *failureDocument) check(size int) error {
	_, decided := actionNamed(d.Decision)
	switch {
	case d.Rank < 0 || d.Rank >= size:
		return fmt.Errorf("rank %d of %d", d.Rank, size)
	case d.Kind != Origin && d.Kind != Collateral && d.Kind != Ignored:
		return fmt.Errorf("kind %q is none of %s, %s and %s", d.Kind, Origin, Collateral, Ignored)
	case d.Kind != Collateral && !decided:
		return fmt.Errorf("decision %q begins with no action", d.Decision)
	}
	return nil
}

// actionNamed returns the action that a decision begins with.
func actionNamed(decision string) (Action, bool) {
	name, _, _ := strings.Cut(decision, ":")
	for a := Terminate; a.known(); a++ {
		if a.String() == name {
			return a, true
		}
	}
	return 0, false
}

// known reports whether the action has a name.
func (a Action) known() bool { return !strings.HasPrefix(a.String(), "action ") }

func (d *document) report() Report {
	start := d.Start
	if start.IsZero() {
		start = time.Unix(0, 0) // a zero time means "not yet", and the start of the first generation has come
	}
	r := Report{
		Run: d.Run, Name: d.Name, Start: start, Outcome: d.Outcome, Generation: d.Generation, Restarts: d.Restarts,
		Containment: d.Containment, Seconds: d.Seconds, ExitCode: d.ExitCode, Ghosts: d.Ghosts, Problems: d.Problems,
	}
	for i := range d.Failures {
		r.Failures = append(r.Failures, d.Failures[i].failure(start))
	}
	for _, k := range d.Ranks {
		if k.Exit != nil {
			k.Exit.CPU, k.Exit.MaxRSS, k.Exit.Err = seconds(k.CPUSeconds), k.MaxRSS, recall(k.Exit.Err)
			k.Exit.Dump = []byte(k.Dump)
		}
		roleRank := 0
		if k.RoleRank != nil {
			roleRank = *k.RoleRank
		}
		r.Ranks = append(r.Ranks, RankReport{
			Rank: k.Rank, Generation: k.Generation, PID: k.PID, Outcome: k.Outcome, Removed: k.Removed, Exit: k.Exit,
			Conditions: k.Conditions, Role: k.Role, RoleRank: roleRank, Host: k.Host, Result: k.Result, ResultBytes: k.ResultBytes,
		})
	}
	for i := range d.Generations {
		r.Generations = append(r.Generations, d.Generations[i].generation(start))
	}
	return r
}

func (d *failureDocument) failure(start time.Time) *Failure {
	f := &Failure{
		Seq: d.Seq, Generation: d.Generation, Rank: d.Rank, Kind: d.Kind, PID: d.PID, Host: d.Host,
		At: start.Add(seconds(d.At)), Uptime: seconds(d.Uptime), Exception: d.Exception, Exit: d.Exit,
	}
	if f.Stacks = d.Stacks; d.Healthy != nil {
		f.Healthy, f.HealthyStacks = d.Healthy.Rank, d.Healthy.Stacks
	}
	if f.Exit != nil {
		f.Exit.Stderr, f.Exit.Dump, f.Exit.Err = []byte(d.StderrTail), []byte(d.Dump), recall(f.Exit.Err)
	}
	switch {
	case f.Exception != nil:
	case f.Exit != nil && f.Exit.Error() == d.Error:
		f.Err = f.Exit.Err
	case d.Error != "":
		f.Err = recall(errors.New(d.Error))
	}
	if f.Kind != Collateral {
		_, reason, _ := strings.Cut(d.Decision, ": ")
		f.Directive.Action, _ = actionNamed(d.Decision)
		f.Directive.Reason = reason
	}
	return f
}

// instant is the inverse of since.
func instant(start time.Time, after *float64) time.Time {
	if after == nil {
		return time.Time{}
	}
	return start.Add(seconds(*after))
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// recall returns an error of which only the text is left, as one that errors.Is knows where it began with one of ours.
func recall(err error) error {
	if err != nil {
		if lost := recallLost(err.Error()); lost != nil {
			return lost
		}
	}
	for _, ours := range []error{
		ErrStartTimeout, ErrEnded, ErrAbandoned, ErrStopped, ErrTimeout, ErrLifetime, ErrHung, ErrStrategy, ErrSuccess, ErrNoRoom, process.ErrNoResult,
	} {
		if err == nil {
			return nil
		}
		if rest, is := strings.CutPrefix(err.Error(), ours.Error()); is {
			return fmt.Errorf("%w%s", ours, rest)
		}
	}
	return err
}
