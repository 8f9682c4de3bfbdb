package supervisor

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

type silent struct{ Strategy }

type spoken struct{ Strategy }

func (*spoken) String() string { return "as I please" }

func TestDescribe(t *testing.T) {
	wait := Backoff{Min: time.Second, Max: time.Minute}
	for _, c := range []struct {
		strategy Strategy
		want     string
	}{
		{nil, "fail-fast"},
		{AllForOne{}, "all-for-one, no restarts"},
		{AllForOne{Restarts: 3, Within: time.Hour, Backoff: wait},
			"all-for-one, 3 restarts within 1h0m0s, back-off 1s to 1m0s"},
		{&AllForOne{Restarts: 1, Linger: time.Second}, "all-for-one, 1 restart, linger 1s"},
		{OneForOne{Restarts: -1, Decay: time.Minute, MinUptime: time.Second, Backoff: Backoff{Min: time.Second}},
			"one-for-one, any number of restarts that count half after 1m0s, minimum uptime 1s, back-off 1s"},
		{RestForOne{Restarts: 2}, "rest-for-one, 2 restarts"},
		{FailFast{Linger: time.Second}, "fail-fast, linger 1s"},
		{IgnoreFailures{}, "ignore failures"},
		{StrategyFunc(nil), "supervisor.StrategyFunc"},
		{silent{AllForOne{}}, "supervisor.silent"},
		{&silent{}, "*supervisor.silent"},
		{&spoken{}, "as I please"},
		{(*AllForOne)(nil), "<nil>"},
		{FromProtoactor(actor.NewOneForOneStrategy(1, time.Hour, nil)), "protoactor's *actor.oneForOneStrategy"},
	} {
		if got := Describe(c.strategy); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if got := (Backoff{}).String(); got != "no back-off" {
		t.Error(got)
	}
}
