package rules

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Numbers is a set of whole numbers from 0: those in any of the ranges or, with Not, those in none. Without ranges it is no
// condition at all.
type Numbers struct {
	Ranges []Range
	Not    bool
}

// A Range holds the numbers from First to Last.
type Range struct{ First, Last int }

// ParseNumbers reads a set: "3", "0,3-5", "128-" for 128 and more; a "!" in front means all others, "!0" all but 0.
func ParseNumbers(text string) (n Numbers, err error) {
	rest, not := strings.CutPrefix(text, "!")
	n.Not = not
	for part := range strings.SplitSeq(rest, ",") {
		r, err := parseRange(strings.TrimSpace(part))
		if err != nil {
			return Numbers{}, fmt.Errorf("%q: %w", text, err)
		}
		n.Ranges = append(n.Ranges, r)
	}
	return n, nil
}

// join adds a set that stands in a list. All others than some, or all others than some more, are all there are.
func (n *Numbers) join(text string) error {
	more, err := ParseNumbers(text)
	if err != nil {
		return err
	}
	if n.asks() && (n.Not || more.Not) {
		return errors.New(`what begins with ! stands alone: write all exceptions into it, such as "!0,3"`)
	}
	n.Ranges, n.Not = append(n.Ranges, more.Ranges...), more.Not
	return nil
}

var errNumbers = errors.New("write numbers and ranges, such as 3, 0,3-5, 128- or !0")

func parseRange(text string) (r Range, err error) {
	low, high, span := strings.Cut(text, "-")
	if r.First, err = parseNumber(low); err != nil {
		return r, err
	}
	switch {
	case !span:
		r.Last = r.First
	case high == "":
		r.Last = math.MaxInt
	default:
		r.Last, err = parseNumber(high)
	}
	if err == nil && r.Last < r.First {
		err = fmt.Errorf("the range %s ends before it begins", text)
	}
	return r, err
}

// parseNumber reads decimal digits and nothing else: 010 is 8 to some.
func parseNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || strconv.Itoa(n) != text {
		return 0, errNumbers
	}
	return n, nil
}

// asks reports whether the set is a condition.
func (n Numbers) asks() bool { return len(n.Ranges) > 0 }

// has reports whether a number is in the set, or whether nobody asks.
func (n Numbers) has(number int) bool {
	in := func(r Range) bool { return r.First <= number && number <= r.Last }
	return !n.asks() || slices.ContainsFunc(n.Ranges, in) != n.Not
}

// all reports whether every number is in the set, as far as one range shows it.
func (n Numbers) all() bool {
	every := func(r Range) bool { return r == Range{0, math.MaxInt} }
	return !n.asks() || slices.ContainsFunc(n.Ranges, every) && !n.Not
}
