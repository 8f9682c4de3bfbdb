package supervisor

import (
	"fmt"
	"strings"
	"time"
)

// Describe returns a strategy in a few words, for people: "all-for-one, 3 restarts within 1h0m0s, back-off 1s to 1m0s".
// One that is a [fmt.Stringer] speaks for itself, any other is called by its type; nil is [FailFast].
func Describe(s Strategy) string {
	switch s.(type) {
	case nil:
		return FailFast{}.String()
	case fmt.Stringer:
		return fmt.Sprint(s) // which survives a String that panics
	}
	return fmt.Sprintf("%T", s)
}

// String returns the strategy in a few words.
func (a AllForOne) String() string {
	return "all-for-one, " + a.budget().String() + lingering(a.Linger)
}

// String returns the strategy in a few words.
func (o OneForOne) String() string { return "one-for-one, " + o.budget().String() }

// String returns the strategy in a few words.
func (r RestForOne) String() string { return "rest-for-one, " + OneForOne(r).budget().String() }

// String returns the strategy in a few words.
func (f FailFast) String() string { return "fail-fast" + lingering(f.Linger) }

// String returns the strategy in two words.
func (IgnoreFailures) String() string { return "ignore failures" }

// String returns the wait in a few words: "back-off 1s to 1m0s".
func (b Backoff) String() string {
	switch {
	case b.Min <= 0:
		return "no back-off"
	case b.Max <= b.Min:
		return fmt.Sprintf("back-off %v", b.Min)
	}
	return fmt.Sprintf("back-off %v to %v", b.Min, b.Max)
}

func (b budget) String() string {
	var text strings.Builder
	switch {
	case b.restarts < 0:
		text.WriteString("any number of restarts")
	case b.restarts == 0:
		return "no restarts"
	case b.restarts == 1:
		text.WriteString("1 restart")
	default:
		fmt.Fprintf(&text, "%d restarts", b.restarts)
	}
	if b.within > 0 {
		fmt.Fprintf(&text, " within %v", b.within)
	}
	if b.decay > 0 {
		fmt.Fprintf(&text, " that count half after %v", b.decay)
	}
	if b.minUptime > 0 {
		fmt.Fprintf(&text, ", minimum uptime %v", b.minUptime)
	}
	if b.backoff.Min > 0 {
		fmt.Fprintf(&text, ", %v", b.backoff)
	}
	return text.String()
}

func lingering(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf(", linger %v", d)
}
