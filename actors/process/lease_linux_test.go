package process_test

import (
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// TestLease: processes whose lease nobody renews are ended by the watchdog, those that left their group included, though the
// program that started them says nothing; what is launched afterwards lives.
func TestLease(t *testing.T) {
	for _, layers := range []process.Layers{{}, {NoCgroup: true}} {
		t.Run(process.LocalWith(layers).Containment(), func(t *testing.T) {
			processtest.Check(t)
			l := process.LocalWith(layers)
			defer l.Guard(nil)()
			withLayers(t, l)
			lease := l.(process.Leaser)
			lease.Lease(time.Now().Add(time.Hour))
			first := launch(t, shell(`(setsid sh -c 'trap "" TERM HUP INT; echo $$ > $0; exec sleep 1000' $1 &); read -r x < $1; echo $x; exec sleep 1000`, fifo(t)))
			first.awaitOutput(process.Stdout, "\n")
			lease.Lease(time.Now())
			if exit := first.awaitExit(); exit.Signal != 9 || exit.Stopped {
				t.Errorf("exit %+v, want a SIGKILL that was not ours", exit)
			}
			lease.Lease(time.Time{}) // when it returns, the watchdog is done
			gone(t, first.stdout())
			if _, exit := run(t, shell(`exit 4`)); exit.Code != 4 {
				t.Errorf("exit %+v after the lease, want 4", exit)
			}
		})
	}
}
