package rules

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Numbers is a set of whole numbers from 0, as the ranges of which it is made; nil is no condition at all.
type Numbers []Range

// A Range holds the numbers from First to Last or, when Not is set, all others.
type Range struct {
	First, Last int
	Not         bool
}

// ParseNumbers reads a set: "3", "0,3-5", "128-" for 128 and more, "!0" for all but 0. A number that any part of the text
// means is in the set.
func ParseNumbers(text string) (Numbers, error) {
	var n Numbers
	for part := range strings.SplitSeq(text, ",") {
		r, err := parseRange(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		n = append(n, r)
	}
	return n, nil
}

var errNumbers = errors.New("write numbers and ranges, such as 3, 0,3-5, 128- or !0")

func parseRange(text string) (r Range, err error) {
	text, r.Not = strings.CutPrefix(text, "!")
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

func (n Numbers) has(number int) bool {
	for _, r := range n {
		if (r.First <= number && number <= r.Last) != r.Not {
			return true
		}
	}
	return false
}

// everything reports whether one range has all numbers.
func (n Numbers) everything() bool {
	for _, r := range n {
		if !r.Not && r.First == 0 && r.Last == math.MaxInt {
			return true
		}
	}
	return false
}
