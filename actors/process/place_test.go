package process

import (
	"errors"
	"testing"
)

// TestHostLost: one lost host is one failure, with its ranks folded.
func TestHostLost(t *testing.T) {
	for _, c := range []struct {
		ranks []int
		want  string
	}{
		{nil, "host b is lost: not heard of for 12s"},
		{[]int{3}, "host b is lost: not heard of for 12s"},
		{[]int{4, 5, 6, 7}, "host b is lost: not heard of for 12s (with ranks 4-7)"},
		{[]int{9, 4, 5, 11}, "host b is lost: not heard of for 12s (with ranks 4-5, 9, 11)"},
	} {
		err := &HostLostError{Host: "b", Why: "not heard of for 12s"}
		for _, rank := range c.ranks {
			err.Lives = append(err.Lives, ID{Rank: rank})
		}
		if err.Error() != c.want {
			t.Errorf("%v: %q, want %q", c.ranks, err, c.want)
		}
		if !errors.Is(error(&Exit{Code: -1, Err: err}), ErrHostLost) {
			t.Errorf("%v: not ErrHostLost", c.ranks)
		}
	}
}
