package supervisor

import (
	"errors"

	"github.com/go-muster/muster/actors/process"
)

// A host that is lost takes all of its ranks along, and each of them has an exit that says so. That is one failure: the first
// of them, with the others folded into it.

// ofLostHost reports whether a rank failed because its host was lost.
func (f *Failure) ofLostHost() bool { return f != nil && errors.Is(f.Err, process.ErrHostLost) }

// lostWith returns who else was lost with a rank's host, and has not failed yet. Who leaves and who is temporary is no reason
// for anything: their exits tell of them.
func (m *machine) lostWith(f *Failure) (ids []process.ID) {
	var lost *process.HostLostError
	if !errors.As(f.Err, &lost) {
		return nil
	}
	for _, id := range lost.Lives {
		if id.Rank < 0 || id.Rank >= len(m.lives) {
			continue
		}
		l := &m.lives[id.Rank]
		if l.generation == id.Generation && l.alive() && l.failure == nil && !l.leaves() && m.of(id.Rank) != Temporary {
			ids = append(ids, id)
		}
	}
	return ids
}

// failLost lets a rank fail with the host of another one. Its exit comes right after.
func (m *machine) failLost(id process.ID, f *Failure) *Failure {
	c := m.fail(id, Collateral)
	c.Err, c.seen = f.Err, f.seen
	return c
}

// fold makes what else was lost with the host part of the first failure: no decision of its own, and no budget.
func (m *machine) fold(f *Failure) {
	for _, id := range m.lostWith(f) {
		c := m.failLost(id, f)
		f.Collateral = append(f.Collateral, c)
		m.emitFailed(c)
	}
}

// joinLost does so when another failure, or somebody outside, has the word already (G-2).
func (m *machine) joinLost(f *Failure) {
	for _, id := range m.lostWith(f) {
		m.join(m.failLost(id, f))
	}
}

// unfold asks about those that are part of the failure of a rank which was dropped before anybody could be asked about it.
func (m *machine) unfold(f *Failure) {
	for i, c := range f.Collateral {
		if !m.lives[c.Rank].leaves() {
			f.Collateral, c.Collateral = f.Collateral[:i:i], f.Collateral[i+1:]
			m.reconsider(c)
			return
		}
	}
}

// folded reports whether a rank failed as part of another one's failure.
func (f *Failure) folded(rank int) bool {
	for _, c := range f.Collateral {
		if c.Rank == rank {
			return true
		}
	}
	return false
}

// ignoreFolded: what holds for a failure, holds for those that are part of it.
func (f *Failure) ignoreFolded() {
	for _, c := range f.Collateral {
		c.Kind, c.Directive = Ignored, f.Directive
	}
}
