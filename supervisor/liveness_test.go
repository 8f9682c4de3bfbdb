package supervisor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
)

// A Liveness that nobody could keep is an error before anything starts.
func TestBadLiveness(t *testing.T) {
	for _, c := range []struct {
		liveness Liveness
		want     string
	}{
		{Liveness{Heartbeat: -1}, "the Liveness's Heartbeat is negative (-1ns): use 0 for none"},
		{Liveness{Silence: -1}, "the Liveness's Silence is negative (-1ns)"},
		{Liveness{Stall: -1}, "the Liveness's Stall is negative (-1ns)"},
		{Liveness{Heartbeat: 1}, "the Liveness's Heartbeat is 1ns: give at least 1ms"},
		{Liveness{Heartbeat: time.Second, Silence: time.Second}, "the Liveness's Silence (1s) is no longer than its Heartbeat (1s)"},
		{Liveness{Silence: time.Second}, "the Liveness has a Silence (1s) and no Heartbeat that could break it"},
	} {
		spec := Spec{Liveness: c.liveness, Ranks: Repeat(1, process.Command{Args: []string{"anything"}})}
		err := spec.Check(actorstest.NewLauncher(t))
		if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.liveness, err, c.want)
		}
	}
}
