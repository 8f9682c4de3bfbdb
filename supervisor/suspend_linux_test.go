package supervisor_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/supervisor"
)

// TestSuspend: ranks are stopped before Suspend returns, and for the group no time passes until Resume.
func TestSuspend(t *testing.T) { bubble(t, testSuspend) }

func testSuspend(t *testing.T) {
	s := spec(2)
	s.Timeout = 10 * time.Second
	p := begin(t, s)
	ranks := []*actorstest.Process{p.rank(0, 0), p.rank(1, 0)}
	pass(time.Second)
	if err := p.Suspend(); err != nil {
		t.Fatal(err)
	}
	for _, r := range ranks {
		p.expect(r, actors.Signal{Signal: syscall.SIGSTOP})
	}
	pass(time.Hour)
	p.Resume()
	for _, r := range ranks {
		p.expect(r, actors.Signal{Signal: syscall.SIGCONT})
	}
	pass(8 * time.Second) // nine of its ten seconds are over
	if r := p.Report(); r.Outcome != supervisor.Running || len(r.Failures) > 0 {
		t.Errorf("report %+v", r)
	}
	pass(2 * time.Second)
	for _, r := range ranks {
		obey(r)
	}
	if err := p.Wait(); !errors.Is(err, supervisor.ErrTimeout) {
		t.Errorf("%v", err)
	}
}

// TestStopWhileSuspended: who wants the end of a group wants it to go on.
func TestStopWhileSuspended(t *testing.T) { bubble(t, testStopWhileSuspended) }

func testStopWhileSuspended(t *testing.T) {
	p := begin(t, spec(1))
	rank := p.rank(0, 0)
	if err := p.Suspend(); err != nil {
		t.Fatal(err)
	}
	p.expect(rank, actors.Signal{Signal: syscall.SIGSTOP})
	p.Stop("enough")
	p.expect(rank, actors.Signal{Signal: syscall.SIGCONT})
	obey(rank)
	if err := p.Wait(); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("%v", err)
	}
	if err := p.Suspend(); err != nil {
		t.Errorf("after the end: %v", err)
	}
	p.Resume()
}
