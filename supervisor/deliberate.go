package supervisor

import "fmt"

// A deliberator is a Strategy that answers later: the machine does not call Decide but has it asked, and goes on
// meanwhile. Nobody may wait in a step.
type deliberator interface {
	Strategy
	deliberates()
}

// deliberate asks, and sees to it that there will be an answer.
func (m *machine) deliberate(by deliberator, s State, f *Failure) {
	m.resume, m.phase = m.phase, deciding
	m.question++
	m.asked = f
	s, known := copied(s, f)
	m.do(efAsk{m.question, by, s, known, m.members(f)})
	m.arm(answerTimer, m.answerTime)
}

func (m *machine) members(f *Failure) (ranks []int) {
	for rank := range m.lives {
		if rank == f.Rank || !m.goneForGood(rank, &m.lives[rank]) {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

// onAnswer takes the answer, which may come too late: to a group that was stopped meanwhile it means nothing any more. A
// strategy that has answered already contradicts itself.
func (m *machine) onAnswer(ev event) {
	switch e := ev.(evAnswer); {
	case m.asked != nil && e.question == m.question:
		m.replied = e.question
		m.answered(e.directive, e.err)
	case e.question == m.replied:
		err := fmt.Errorf("%w: it has answered twice, and then said %v", ErrStrategy, e.directive.Action)
		m.stopBecause(Failed, err.Error(), err)
	}
}

func (m *machine) onSilence(event) {
	m.answered(Directive{}, fmt.Errorf("%w: it has not answered for %v", ErrStrategy, m.answerTime))
}

// answered carries the answer out. A restart or an end takes along what failed meanwhile; otherwise that is asked about in
// its turn, as nobody has spoken about it (G-2).
func (m *machine) answered(d Directive, err error) {
	f := m.asked
	m.asked, m.phase = nil, m.resume
	m.disarm(answerTimer)
	if m.phase == starting && !m.isSet(startTimer) {
		m.watchStart() // it went off while nobody could be asked about it
	}
	m.recallLifetime() // likewise
	m.carryOut(f, d, err)
	for len(m.held) > 0 && m.phase != deciding {
		f := m.held[0]
		m.held = m.held[1:]
		m.reconsider(f)
	}
	m.complete()
	m.recallRoom() // likewise
}

func (m *machine) reconsider(f *Failure) {
	l := &m.lives[f.Rank]
	d, excused := m.excuse(f)
	switch {
	case l.leaves() || m.phase != starting && m.phase != running:
		m.attach(f)
		m.unfold(f)
	case excused:
		m.carryOut(f, d, nil)
	default:
		f.Kind = Origin
		m.consult(f)
	}
}

// dismiss makes the answer that is awaited one that nobody waits for: the group ends.
func (m *machine) dismiss() {
	if m.asked == nil {
		return
	}
	m.asked.Directive = Directive{Reason: "the group was stopped before the strategy had answered"}
	m.asked, m.held = nil, nil
	m.disarm(answerTimer)
}

// onChange: what was decided is carried out, and a question that is being thought about stays that of who was asked.
func (m *machine) onChange(ev event) {
	m.strategy = ev.(evChange).strategy
	m.emitGroup(Event{Kind: EventChanged, Reason: "the strategy is now " + Describe(m.strategy)})
}
