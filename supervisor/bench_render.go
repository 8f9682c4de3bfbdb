package supervisor

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// render writes what one step did, a line each: effects behind an arrow, events without, neighbours that say the same of
// different lives on one line.
func render(effects []effect) string {
	var lines []string
	var last, lastTail string
	for _, e := range effects {
		head, id, tail := describeEffect(e)
		if n := len(lines); id != "" && n > 0 && head == last && tail == lastTail {
			lines[n-1] = strings.TrimSuffix(lines[n-1], tail) + " " + id + tail
			continue
		}
		last, lastTail = head, tail
		if id != "" {
			head += " " + id
		}
		lines = append(lines, head+tail)
	}
	return strings.Join(lines, "\n")
}

func describeEffect(e effect) (head, id, tail string) {
	switch e := e.(type) {
	case efSpawn:
		return "→ spawn" + list(e.ids), "", ""
	case efStop:
		return "→ stop" + list(e.ids), "", ""
	case efKill:
		return "→ kill" + list(e.ids), "", ""
	case efAbandon:
		return "→ abandon" + list(e.ids), "", ""
	case efTimer:
		return fmt.Sprintf("→ timer %v %v", e.timer, e.after), "", ""
	case efDump:
		return "→ dump" + list(e.ids), "", ""
	case efRefuse:
		return fmt.Sprintf("→ refuse: %v", e.err), "", ""
	case efAdd:
		return fmt.Sprintf("→ add %d", len(e.commands)), "", ""
	case efResize:
		return fmt.Sprintf("→ resize %d", len(e.commands)), "", ""
	case efFit:
		return fmt.Sprintf("→ fit %d", e.size), "", ""
	case efSignal:
		return "→ signal " + process.SignalName(e.signal) + list(e.ids), "", ""
	case efAsk:
		return fmt.Sprintf("→ ask about %v", e.failure.ID()), "", ""
	case efDone:
		return fmt.Sprintf("→ done: %v", e.err), "", ""
	case efEvent:
		return describeEvent(e.event)
	}
	panic(fmt.Sprintf("an effect that nobody wrote down: %T", e))
}

func list(ids []process.ID) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, " %v", id)
	}
	return b.String()
}

func describeEvent(e Event) (head, id, tail string) {
	id = process.ID{Rank: e.Rank, Generation: e.Generation}.String()
	if e.Rank < 0 {
		id = ""
	}
	switch e.Kind {
	case EventFailed:
		tail = fmt.Sprintf(": %v (%s)", e.Failure.cause(), e.Failure.Kind)
	case EventDecided:
		tail = fmt.Sprintf(": %v", e.Action)
		if e.After > 0 {
			tail += fmt.Sprintf(" after %v", e.After)
		}
		tail += inParentheses(e.Reason)
	case EventExited:
		tail = ": " + describeExit(e.Exit)
	case EventSignal:
		tail = " " + process.SignalName(e.Signal)
	case EventStopping:
		if e.Kill {
			tail = " by SIGKILL"
		}
		tail += fmt.Sprintf(" (%s)", e.Reason)
	case EventStop, EventGhost, EventNotice, EventChanged,
		EventHung, EventStraggler, EventHello, EventProbing:
		tail = fmt.Sprintf(" (%s)", e.Reason)
	case EventResized:
		tail = fmt.Sprintf(" to %d%s", e.Size, inParentheses(e.Reason))
	case EventAdded, EventRemoved, EventRestart:
		tail = inParentheses(e.Reason)
	case EventWaiting:
		tail = fmt.Sprintf(" %v%s", e.After, inParentheses(e.Reason))
	case EventRoom:
		tail = fmt.Sprintf(" for %s on %s", counted(e.Size, "rank"), counted(e.Hosts, "host"))
		if e.After > 0 {
			tail += fmt.Sprintf(" since %v", e.After)
		}
		tail += inParentheses(e.Reason)
	case EventDone:
		tail = fmt.Sprintf(": %v", e.Err)
	}
	return string(e.Kind), id, tail
}

// inParentheses writes what there is to say, after a space.
func inParentheses(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

func describeExit(x *process.Exit) string {
	s := x.Error()
	if x.Success() {
		s = "well"
	}
	if x.Stopped {
		s += ", stopped"
	}
	return s
}

// summary writes a report for people.
func summary(r Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, generation %d, ghosts %d\n", r.Outcome, r.Generation, r.Ghosts)
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "failure %d %s %v", f.Seq, f.Kind, f)
		if f.Exit != nil && f.Exit != f.cause() {
			fmt.Fprintf(&b, ", %s", describeExit(f.Exit))
		}
		for _, c := range f.Collateral {
			fmt.Fprintf(&b, ", collateral %v", c.ID())
		}
		if f.Stopped != nil {
			fmt.Fprintf(&b, ", stopped %v", f.Stopped)
		}
		b.WriteByte('\n')
	}
	for _, k := range r.Ranks {
		fmt.Fprintf(&b, "rank %d@%d pid %d %s", k.Rank, k.Generation, k.PID, k.Outcome)
		if k.Exit != nil {
			fmt.Fprintf(&b, ": %s", describeExit(k.Exit))
		}
		b.WriteString(inParentheses(k.Removed) + "\n")
	}
	for i, g := range r.Generations {
		if g.Seen.Equal(g.Failed) {
			g.Seen = time.Time{} // as ever, in a world without delays
		}
		fmt.Fprintf(&b, "generation %d:%s%s%s%s%s%s%s", g.Generation, moment(" started", g.Started), moment(" ready", g.Ready),
			moment(" seen", g.Seen), moment(" failed", g.Failed), moment(" asked", g.Asked), moment(" stopped", g.Stopped),
			moment(" reaped", g.Reaped))
		if i > 0 && g.Size != r.Generations[i-1].Size {
			fmt.Fprintf(&b, " size %d", g.Size)
		}
		b.WriteString(inParentheses(g.Reason) + "\n")
	}
	return b.String()
}

// epoch is when every virtual clock starts.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func moment(what string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s %v", what, t.Sub(epoch))
}
