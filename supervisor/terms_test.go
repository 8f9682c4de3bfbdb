package supervisor

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
)

// O-27, O-28, O-59: every combination that makes no sense is refused, in one message, before anything starts.
func TestBadTerms(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{RestartTypes: make([]RestartType, 4)}, "RestartTypes has 4 entries for 3 ranks"},
		{Spec{RestartTypes: []RestartType{0, 7}}, "RestartTypes: rank 1 has the unknown restart type 7"},
		{Spec{Significant: []int{0}}, "the fields Significant and AutoShutdown go together"},
		{Spec{AutoShutdown: AllSignificant}, "the fields Significant and AutoShutdown go together"},
		{Spec{AutoShutdown: 9, Significant: []int{0}}, "AutoShutdown is 9: use Never"},
		{Spec{AutoShutdown: AnySignificant, Significant: []int{3}}, "Significant: there is no rank 3 in a group of 3"},
		{Spec{AutoShutdown: AnySignificant, Significant: []int{1}, RestartTypes: []RestartType{0, Permanent}},
			"the significant rank 1 is permanent, and never ends for good"},
		{Spec{Success: Success{Ranks: []int{-1}}}, "Success.Ranks: there is no rank -1 in a group of 3"},
		{Spec{Success: Success{Ranks: []int{0}}, RestartTypes: []RestartType{Permanent}},
			"Success.Ranks: rank 0 is permanent, and never ends well"},
		{Spec{Success: Success{Need: -1}}, "Success.Need is negative (-1)"},
		{Spec{Success: Success{Need: 4}}, "Success.Need is 4, and only 3 ranks can end well"},
		{Spec{Success: Success{Need: 2}, RestartTypes: []RestartType{Permanent, Temporary}},
			"Success.Need is 2, and only 1 ranks can end well"},
	} {
		c.spec.Ranks = Repeat(3, process.Command{Args: []string{"anything"}})
		_, err := Start(context.Background(), c.spec, WithLauncher(actorstest.NewLauncher(t)))
		if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.spec, err, c.want)
		}
	}
}

func TestTermsInWords(t *testing.T) {
	for is, want := range map[RestartType]string{
		Transient: "transient", Permanent: "permanent", Temporary: "temporary", -1: "restart type -1",
	} {
		if is.String() != want {
			t.Errorf("%v, want %s", is, want)
		}
	}
}
