package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// An account is what is told of a run that ended badly: the origin first, with everything there is about it, then the others
// in a line, then what was decided.
type account struct {
	report supervisor.Report
	err    error                      // as of Run
	logs   string                     // the run's directory of --log-dir, "" for none
	alone  func(process.ID) string    // the command line of one life, nil when it is not known
	paint  func(style, string) string // what is written in a style
}

// print writes the account.
func (a account) print(w io.Writer) {
	defer hintDumps(w, a.report)
	var f *supervisor.Failure
	if !errors.As(a.err, &f) {
		fmt.Fprintln(w, a.paint(bad, "launch: "+oneLine(a.err)))
		a.printEnds(w)
		return
	}
	fmt.Fprintf(w, "%s\n", a.paint(bad, fmt.Sprintf("launch: rank %d failed first (%s): %s", f.Rank, a.life(f), headline(f))))
	printEvidence(w, evidence(f), lastWords(f))
	if text := meaning(f); text != "" {
		a.say(w, "hint", text)
	}
	if text := consequences(f); text != "" {
		a.say(w, "because of it", text)
	}
	a.printHistory(w)
	decided := decision(f)
	if errors.Is(a.err, supervisor.ErrNoRoom) {
		why, _, _ := strings.Cut(oneLine(a.err), ", because ")
		decided += ", and then: " + strings.TrimPrefix(why, "process: ")
	}
	a.say(w, "decided", fmt.Sprintf("%s; exit status %d", decided, a.report.ExitCode))
	a.printPlaces(w, f)
}

// printEvidence writes what was found, between empty lines.
func printEvidence(w io.Writer, found ...string) {
	end := ""
	for _, text := range found {
		if text != "" {
			fmt.Fprintf(w, "\n%s", indent(text))
			end = "\n"
		}
	}
	fmt.Fprint(w, end)
}

// say writes a line of the launcher's own, with what it is about in front.
func (a account) say(w io.Writer, about, text string) {
	fmt.Fprintf(w, "launch: %s %s\n", a.paint(label, about+":"), text)
}

// life is which life failed, of which role, and how long it had lived.
func (a account) life(f *supervisor.Failure) string {
	text := fmt.Sprintf("generation %d", f.Generation)
	if i := slices.IndexFunc(a.report.Ranks, func(k supervisor.RankReport) bool { return k.Rank == f.Rank }); i >= 0 {
		text = inRole(a.report.Ranks[i].Role, a.report.Ranks[i].RoleRank) + text
	}
	if f.PID != 0 {
		text += fmt.Sprintf(", pid %d", f.PID)
	}
	if f.Host != "" {
		text += ", host " + f.Host
	}
	if f.Uptime > 0 {
		text += fmt.Sprintf(", after %v", rounded(f.Uptime))
	}
	return text
}

func decision(f *supervisor.Failure) string {
	text := f.Directive.Action.String()
	if f.Directive.Reason != "" {
		text += " (" + f.Directive.Reason + ")"
	}
	return text
}

// printEnds says how the ranks ended that nobody blames: of a group that was interrupted, or whose time was up.
func (a account) printEnds(w io.Writer) {
	var ends fold
	for _, k := range a.report.Ranks {
		switch x := k.Exit; {
		case x == nil || k.Outcome != supervisor.Stopped:
			ends.add(k.Rank, string(k.Outcome))
		case x.Signal != 0:
			ends.add(k.Rank, "stopped by our "+process.SignalName(x.Signal))
		default:
			ends.add(k.Rank, fmt.Sprintf("stopped, with exit status %d", x.Code))
		}
	}
	a.say(w, "after", fmt.Sprintf("%v, in generation %d: %s; exit status %d", rounded(time.Duration(a.report.Seconds*float64(time.Second))),
		a.report.Generation, ends.text(": "), a.report.ExitCode))
	if a.logs != "" {
		a.say(w, "output", filepath.Join(a.logs, fmt.Sprintf("generation_%d", a.report.Generation), "RANK", "stderr.log")+", and stdout.log")
	}
}

// printHistory says what failed before, in the generations that were given up, the last few of them.
func (a account) printHistory(w io.Writer) {
	var gave *supervisor.GaveUpError
	if !errors.As(a.err, &gave) {
		return
	}
	const some = 5
	before := gave.History[:len(gave.History)-1]
	var parts []string
	for i := 0; i < len(before); {
		first := before[i]
		same := i
		for i++; i < len(before) && before[i].Rank == first.Rank && headline(before[i]) == headline(first); i++ {
			same = i
		}
		where := fmt.Sprintf("generation %d", first.Generation)
		if last := before[same]; last != first {
			where = fmt.Sprintf("generations %d-%d", first.Generation, last.Generation)
		}
		parts = append(parts, fmt.Sprintf("%s: rank %d: %s", where, first.Rank, headline(first)))
	}
	if more := len(parts) - some; more > 0 {
		parts = append([]string{fmt.Sprintf("%d others", more)}, parts[more:]...)
	}
	a.say(w, fmt.Sprintf("before it, %s", count(gave.Restarts, "restart")), strings.Join(parts, "; "))
}

// rerun is the command line of a failed life, "" when it is not known.
func (a account) rerun(f *supervisor.Failure) string {
	if a.alone == nil {
		return ""
	}
	return a.alone(f.ID())
}

// printPlaces says where the rest of its output is, and what runs that rank alone.
func (a account) printPlaces(w io.Writer, f *supervisor.Failure) {
	if a.logs != "" {
		dir := filepath.Join(a.logs, fmt.Sprintf("generation_%d", f.Generation))
		a.say(w, "output", filepath.Join(dir, strconv.Itoa(f.Rank), "stderr.log")+", and stdout.log; of the others "+dir)
	}
	if line := a.rerun(f); line != "" {
		about := fmt.Sprintf("rank %d alone", f.Rank)
		if f.Host != "" {
			about += ", on host " + f.Host
		}
		a.say(w, about, line)
	}
}

// consequences tells in one line who failed after a failure, and who was stopped because of it.
func consequences(f *supervisor.Failure) string {
	var parts []string
	if len(f.Stopped) > 0 {
		parts = append(parts, rankList(f.Stopped)+" stopped")
	}
	var failed fold
	for _, other := range f.Collateral {
		if lost := hostLost(f); lost == nil || lost != hostLost(other) { // else it is in the origin's text
			failed.add(other.Rank, headline(other))
		}
	}
	if text := failed.text(" failed: "); text != "" {
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// hostLost is the loss of a host that a failure is, nil for another.
func hostLost(f *supervisor.Failure) (lost *process.HostLostError) {
	errors.As(f, &lost)
	return lost
}

// A fold is ranks of which the same is to be said.
type fold struct {
	words []string
	ranks map[string][]int
}

func (x *fold) add(rank int, word string) {
	if x.ranks == nil {
		x.ranks = map[string][]int{}
	}
	if x.ranks[word] == nil {
		x.words = append(x.words, word)
	}
	x.ranks[word] = append(x.ranks[word], rank)
}

// text is what is to be said, the most common first; what only few ranks say beyond that is counted.
func (x *fold) text(between string) string {
	const some = 3
	slices.SortStableFunc(x.words, func(a, b string) int { return len(x.ranks[b]) - len(x.ranks[a]) })
	var parts []string
	for i, word := range x.words {
		if i == some {
			parts = append(parts, fmt.Sprintf("%d others", len(x.words)-some))
			break
		}
		slices.Sort(x.ranks[word])
		parts = append(parts, rankList(x.ranks[word])+between+word)
	}
	return strings.Join(parts, "; ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
