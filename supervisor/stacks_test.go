package supervisor_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// TestDump: a rank is asked once for all who wait, and answers them all; who can not be asked, or is gone, is an error.
func TestDump(t *testing.T) { bubble(t, testDump) }

func testDump(t *testing.T) {
	s := spec(3)
	s.Ranks[0].Speaks, s.Ranks[0].Dumps = true, true
	s.Ranks[1].Speaks, s.Ranks[1].Dumps = true, true
	p := begin(t, s)
	asked, other, mute := p.rank(0, 0), p.rank(1, 0), p.rank(2, 0)
	var waiters sync.WaitGroup
	for range 2 {
		waiters.Go(func() {
			if text, err := p.Dump(t.Context(), 0); err != nil || text != "goroutine 1 [running]:" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
	synctest.Wait()
	p.expect(asked, actors.Dump{})
	asked.Dump("goroutine 1 [running]:")
	waiters.Wait()
	for _, want := range []struct {
		rank int
		err  error
	}{{2, supervisor.ErrNoStacks}, {3, supervisor.ErrNoRank}, {-1, supervisor.ErrNoRank}} {
		var failed *supervisor.MessageError
		if _, err := p.Dump(t.Context(), want.rank); !errors.Is(err, want.err) || !errors.As(err, &failed) || failed.Rank != want.rank {
			t.Errorf("rank %d: %v", want.rank, err)
		}
	}
	waiters.Go(func() {
		if _, err := p.Dump(t.Context(), 1); !errors.Is(err, supervisor.ErrRankEnded) {
			t.Errorf("a rank that ended: %v", err)
		}
	})
	p.expect(other, actors.Dump{})
	enough, cancel := context.WithCancelCause(t.Context())
	late := errors.New("late")
	cancel(late)
	if _, err := p.Dump(enough, 1); err != late {
		t.Errorf("a context that has ended: %v", err)
	}
	other.Exit(process.Exit{})
	waiters.Wait()
	if _, err := p.Dump(t.Context(), 1); !errors.Is(err, supervisor.ErrRankEnded) {
		t.Errorf("a rank that has ended: %v", err)
	}
	p.Kill("the test is over")
	obey(asked)
	obey(mute)
	_ = p.Wait()
	if _, err := p.Dump(t.Context(), 0); !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}
