package supervisor

import (
	"errors"
	"fmt"
	"slices"
)

// A RestartType says what the end of a rank is to its group, as in OTP. Jobs are transient, services permanent.
type RestartType int

// The restart types.
const (
	Transient RestartType = iota // a bad end is a failure, a good one is what the rank was there for
	Permanent                    // any end that was not asked for is a failure: see ErrEnded
	Temporary                    // no end is a failure; once gone, the rank is never started again
)

// String returns the type in lower case.
func (t RestartType) String() string {
	switch t {
	case Transient:
		return "transient"
	case Permanent:
		return "permanent"
	case Temporary:
		return "temporary"
	}
	return fmt.Sprintf("restart type %d", int(t))
}

// A Shutdown says whether the end of significant ranks ends the group, as OTP's auto_shutdown does. Only ends of their own
// count: that of a rank which was stopped because of another's failure does not.
type Shutdown int

// The shutdowns.
const (
	Never          Shutdown = iota
	AnySignificant          // the first significant rank that ends takes the group along
	AllSignificant          // the last one does
)

// A Success says when a group has done its work, and what becomes of the ranks that still run then. The zero Success is
// that of a job: all ranks have to end well. A failure that is ignored counts as a good end.
type Success struct {
	// Ranks are those that count; empty means all that are not temporary.
	Ranks []int `json:"ranks,omitempty"`
	// Need is how many of them have to end well; 0 means all.
	Need int `json:"need,omitempty"`
	// Await lets the others go on until they end by themselves, however that is. Without it they are stopped as soon as
	// enough have ended well.
	Await bool `json:"await,omitempty"`
}

var (
	// ErrEnded is the condition of a permanent rank that ended by itself, with exit code 0.
	ErrEnded = errors.New("supervisor: a permanent rank ended by itself")
	// ErrSuccess is the error of a group whose ranks have all ended without a failure to tell, and yet not as its Success
	// wants it.
	ErrSuccess = errors.New("supervisor: too few ranks ended well")
)

// Terms are what the end of each rank means to its group: the fields mean what they do in [Spec].
type Terms struct {
	RestartTypes []RestartType
	Success      Success
	Significant  []int
	AutoShutdown Shutdown
}

func (t Terms) terms() terms { return terms{t.RestartTypes, t.Significant, t.AutoShutdown, t.Success} }

// terms are Terms as the machine has them.
type terms struct {
	types       []RestartType // of the first ranks; the others are transient
	significant []int
	shutdown    Shutdown
	success     Success
}

func (t *terms) of(rank int) RestartType {
	if rank >= 0 && rank < len(t.types) {
		return t.types[rank]
	}
	return Transient
}

// counts reports whether a rank's good end counts towards success.
func (t *terms) counts(rank int) bool {
	if len(t.success.Ranks) > 0 {
		return slices.Contains(t.success.Ranks, rank)
	}
	return t.of(rank) != Temporary
}

// check reports what makes no sense in a group of that size.
func (t *terms) check(size int) error {
	var errs []error
	for _, list := range []struct {
		name  string
		ranks []int
	}{{"Significant", t.significant}, {"Success.Ranks", t.success.Ranks}} {
		for _, rank := range list.ranks {
			if rank < 0 || rank >= size {
				errs = append(errs, fmt.Errorf("%s: there is no rank %d in a group of %d", list.name, rank, size))
			}
		}
	}
	return errors.Join(append(errs, t.checkTypes(size), t.checkSignificant(), t.checkSuccess(size))...)
}

func (t *terms) checkTypes(size int) error {
	if len(t.types) > size {
		return fmt.Errorf("RestartTypes has %d entries for %d ranks", len(t.types), size)
	}
	for rank, is := range t.types {
		if is < Transient || is > Temporary {
			return fmt.Errorf("RestartTypes: rank %d has the unknown %v", rank, is)
		}
	}
	return nil
}

// checkSignificant refuses what OTP refuses: a permanent rank never ends for good, and without a shutdown nothing would
// come of being significant.
func (t *terms) checkSignificant() error {
	if t.shutdown < Never || t.shutdown > AllSignificant {
		return fmt.Errorf("the AutoShutdown is %d: use Never, AnySignificant or AllSignificant", int(t.shutdown))
	}
	if (t.shutdown == Never) != (len(t.significant) == 0) {
		return errors.New("the fields Significant and AutoShutdown go together: give both, or neither")
	}
	for _, rank := range t.significant {
		if t.of(rank) == Permanent {
			return fmt.Errorf("the significant rank %d is permanent, and never ends for good", rank)
		}
	}
	return nil
}

func (t *terms) checkSuccess(size int) error {
	s, can := t.success, 0
	for rank := range size {
		if t.counts(rank) && t.of(rank) != Permanent {
			can++
		}
	}
	switch {
	case s.Need < 0:
		return fmt.Errorf("Success.Need is negative (%d): use 0 for all", s.Need)
	case s.Need > can:
		return fmt.Errorf("Success.Need is %d, and only %d ranks can end well", s.Need, can)
	}
	for _, rank := range s.Ranks {
		if t.of(rank) == Permanent {
			return fmt.Errorf("Success.Ranks: rank %d is permanent, and never ends well", rank)
		}
	}
	return nil
}

// over reports whether a life has ended by itself, and for good: well, or with a failure that was ignored.
func (l *life) over() bool {
	ignored := l.outcome == Failed && l.failure.Kind == Ignored
	return l.state == ended && (l.outcome == Succeeded || ignored)
}

// tally counts the ranks that ended well, of those that count. What the strategy ignored is as good, but that the failures
// of a temporary rank matter to nobody does not make them a success.
func (m *machine) tally() (good, need int) {
	for rank := range m.lives {
		l := &m.lives[rank]
		if l.over() && m.counted[rank] && (l.failure == nil || m.of(rank) != Temporary) {
			good++
		}
	}
	return good, m.needed
}

// shutDown reports whether the end of a rank ends the group. Who is gone for good without an end of its own is no reason
// for that, but is not waited for either.
func (m *machine) shutDown(rank int) bool {
	left := func(rank int) bool {
		l := &m.lives[rank]
		return !l.over() && !m.goneForGood(rank, l)
	}
	return slices.Contains(m.significant, rank) && m.lives[rank].removed == "" &&
		(m.shutdown == AnySignificant || !slices.ContainsFunc(m.significant, left))
}

// achieve looks, after the end of a rank, whether the group has done its work: the significant ones have ended, or enough
// have ended well. A group of temporary ranks alone has when all are gone.
func (m *machine) achieve(rank int) {
	switch {
	case m.achieved || m.verdict != "" || !m.lives[rank].over():
	case m.shutDown(rank):
		m.achieved = true
		m.stopBecause(Succeeded, fmt.Sprintf("rank %d, which is significant, has ended", rank), nil)
	default:
		if m.missing <= 0 {
			m.enough()
		}
	}
}

// onTerms: who failed has failed, and what was decided is carried out. That enough have ended well, may be true at once; but
// of a significant rank it takes an end that is still to come.
func (m *machine) onTerms(ev event) {
	t := ev.(evTerms).terms
	if err := m.checkTerms(t.terms()); err != nil {
		m.refuse(fmt.Errorf("%w: %w", ErrSpec, err))
		return
	}
	m.terms = t.terms()
	m.takeStock()
	m.emitGroup(Event{Kind: EventChanged, Reason: "the terms are others now", Terms: &t})
	m.enough()
	m.restartNobody()
	m.complete()
}

// checkTerms reports what makes no sense in this group, or in the one that a resize is about to make of it.
func (m *machine) checkTerms(t terms) error {
	switch err := t.check(len(m.lives)); {
	case err != nil:
		return err
	case m.resized != nil:
		return errors.Join(t.check(len(m.resized)), m.checkFit(t))
	}
	return errors.Join(m.checkNeed(&t, nobody), m.checkFit(t))
}

// enough looks whether so many ranks have ended well as it takes.
func (m *machine) enough() {
	if m.achieved || m.verdict != "" || m.needed == 0 {
		return
	}
	good, need := m.tally()
	if m.missing = need - good; m.missing <= 0 {
		m.achieved = true
		m.release(fmt.Sprintf("enough ranks have ended well (%d)", good))
	}
}

// release ends the rest of a group that has done its work, or lets it go on. Nothing is started any more.
func (m *machine) release(reason string) {
	m.unqueue(func(int) bool { return true })
	switch {
	case !m.success.Await && m.any(alive):
		m.stopBecause(Succeeded, reason, nil)
	case m.phase == deciding:
		d, _ := m.excuse(m.asked)
		m.answered(d, nil)
	case m.phase == waiting:
		m.endWait()
		m.phase = running
		m.complete()
	}
}

// judge says how a group ends whose ranks have all ended by themselves.
func (m *machine) judge() {
	left := m.pick(func(_ int, l *life) bool { return l.outcome == Abandoned })
	if len(left) > 0 && m.end == nil {
		m.conclude(Failed, fmt.Errorf("%w: rank %v", ErrAbandoned, left[0]))
	}
	good, need := m.tally()
	if m.verdict != "" || m.achieved || good >= need {
		return
	}
	err := fmt.Errorf("%w: %d, and it takes %d", ErrSuccess, good, need)
	if m.dropped != nil {
		err = m.givenUp(m.dropped)
	}
	m.conclude(Failed, err)
}

// excuse is the answer for failures that no strategy is asked about.
func (m *machine) excuse(f *Failure) (Directive, bool) {
	switch {
	case m.achieved:
		return Directive{Action: Ignore, Reason: "the group has succeeded already"}, true
	case m.of(f.Rank) == Temporary:
		return Directive{Action: Ignore, Reason: "the rank is temporary"}, true
	}
	return Directive{}, false
}
