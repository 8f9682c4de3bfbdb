package supervisor

import (
	"errors"
	"strings"
	"testing"
)

// A group that shrinks would lose the arguments of the ranks that are cut off.
func TestMapIsNotElastic(t *testing.T) {
	for _, s := range []Spec{{Elastic: Elastic{Fit: true}}, {Elastic: Elastic{Fit: true, Regrow: true}}} {
		if _, err := assign(s, "f", []int{1, 2}); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "leave Fit out") {
			t.Errorf("%+v: %v", s.Elastic, err)
		}
	}
	if s, err := assign(Spec{}, "f", []int{1, 2}); err != nil || len(s.Ranks) != 2 {
		t.Errorf("%d ranks, %v", len(s.Ranks), err)
	}
}
