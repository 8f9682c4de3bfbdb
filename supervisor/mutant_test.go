package supervisor

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// A mutant is a machine with a mistake in it.
type mutant struct {
	name string
	rule string                                    // that it breaks
	cell func(*[phases][rows]cell)                 // changes the table
	step func(*machine, time.Time, event) []effect // stands for the machine's
}

func does(f func(*machine, event)) cell { return cell{"a mistake", f} }

var mutants = []mutant{
	{name: "restarts without waiting for the scope", rule: "G-1", cell: func(t *[phases][rows]cell) {
		t[stopping][goodExitRow] = does(func(m *machine, ev event) {
			m.end1(ev.(evExited))
			if m.next == Restart {
				m.spawn(m.reason)
				return
			}
			m.settle()
		})
	}},
	{name: "restarts the rank that ended, by itself", rule: "G-1", cell: func(t *[phases][rows]cell) {
		t[stopping][badExitRow] = does(func(m *machine, ev event) {
			m.onBadExitLate(ev)
			if m.phase == stopping && m.next == Restart {
				m.spawn(m.reason)
			}
		})
	}},
	{name: "forgets to stop the back-off when a rank joins", rule: "G-1", cell: func(t *[phases][rows]cell) {
		t[waiting][raisedRow] = does(func(m *machine, ev event) {
			f := m.fail(ev.(evRaised).id, Collateral)
			f.Exception, f.Err = ev.(evRaised).exception, ev.(evRaised).err
			m.emitFailed(f)
			m.scope[f.Rank] = true
		})
	}},
	{name: "restarts beside an abandoned process", rule: "G-1", cell: func(t *[phases][rows]cell) {
		t[stopping][killTimerRow] = does(func(m *machine, _ event) { m.do(efAbandon{m.overdue(killed)}) })
	}},
	{name: "decides about every failure", rule: "G-2", cell: func(t *[phases][rows]cell) {
		t[stopping][raisedRow], t[stopping][badExitRow] = decideRaised, decideExit
	}},
	{name: "decides about a failure during the back-off", rule: "G-2", cell: func(t *[phases][rows]cell) {
		t[waiting][raisedRow], t[waiting][badExitRow] = decideRaised, decideExit
	}},
	{name: "takes no word for a ghost's", rule: "G-3", step: func(m *machine, now time.Time, ev event) []effect {
		m.now, m.out.effects = now, nil
		if t, ok := ev.(evTimer); !ok || m.isSet(t.timer) {
			table[m.phase][m.classify(ev)].do(m, ev)
		}
		return m.out.effects
	}},
	{name: "counts no ghosts", rule: "G-3", step: func(m *machine, now time.Time, ev event) []effect {
		effects := m.step(now, ev)
		m.ghosts = 0
		return effects
	}},
	{name: "takes an old timer for the new one", rule: "linger", step: func(m *machine, now time.Time, ev event) []effect {
		if t, ok := ev.(evTimer); ok && (t.timer == lingerTimer || t.timer == backoffTimer) {
			ev = evTimer{t.timer, m.serial[t.timer]}
		}
		return m.step(now, ev)
	}},
	{name: "is done as soon as it is stopped in the back-off", rule: "G-4", cell: func(t *[phases][rows]cell) {
		t[waiting][stopRow] = does(func(m *machine, ev event) {
			m.conclude(Interrupted, ev.(evStop).cause)
			m.finish()
		})
	}},
	{name: "is done twice", rule: "G-4", cell: func(t *[phases][rows]cell) {
		t[done][stopRow] = does(func(m *machine, _ event) { m.finish() })
	}},
	{name: "takes answers for failures", rule: "G-6", step: func(m *machine, now time.Time, ev event) []effect {
		if x, ok := ev.(evExited); ok {
			x.exit.Stopped = false
			ev = x
		}
		return m.step(now, ev)
	}},
	{name: "waits for the exit after an exception", rule: "G-7", cell: func(t *[phases][rows]cell) {
		t[running][raisedRow] = nothing
	}},
	{name: "takes a bad exit for a good one", rule: "G-8", cell: func(t *[phases][rows]cell) {
		t[running][badExitRow] = markGood
	}},
	{name: "excuses whoever was stopped, by us or not", rule: "G-8", cell: func(t *[phases][rows]cell) {
		t[stopping][badExitRow] = markStopped
	}},
	{name: "does not answer in the back-off", rule: "G-9", cell: func(t *[phases][rows]cell) {
		t[waiting][stopRow] = nothing
	}},
	{name: "does not answer during the start", rule: "G-9", cell: func(t *[phases][rows]cell) {
		t[starting][stopRow] = nothing
	}},
	{name: "kills all when the first grace is over", rule: "grace", cell: func(t *[phases][rows]cell) {
		t[stopping][graceTimerRow] = does(func(m *machine, _ event) {
			m.killThose(m.pick(func(_ int, l *life) bool { return l.alive() && l.rung == asked }), "")
		})
	}},
	{name: "begins the grace anew for all", rule: "grace", step: func(m *machine, now time.Time, ev event) []effect {
		effects := m.step(now, ev)
		if slices.ContainsFunc(effects, func(e effect) bool { _, is := e.(efStop); return is }) {
			for rank := range m.lives {
				if l := &m.lives[rank]; l.rung == asked {
					l.until = now.Add(m.grace)
				}
			}
		}
		return effects
	}},
	{name: "abandons who was only asked", rule: "grace", cell: func(t *[phases][rows]cell) {
		t[stopping][killTimerRow] = does(func(m *machine, _ event) {
			m.do(efAbandon{m.pick(m.scopeAlive)})
			m.terminate()
		})
	}},
	{name: "never kills", rule: "liveness", cell: func(t *[phases][rows]cell) { t[stopping][graceTimerRow] = nothing }},
	{name: "never abandons", rule: "liveness", cell: func(t *[phases][rows]cell) { t[stopping][killTimerRow] = nothing }},
	{name: "lets who raised hang", rule: "liveness", cell: func(t *[phases][rows]cell) { t[stopping][exitTimerRow] = nothing }},
	{name: "lets them linger for ever", rule: "liveness", cell: func(t *[phases][rows]cell) {
		t[stopping][lingerTimerRow] = nothing
	}},
	{name: "turns a restart into the end because a timer is late", rule: "end", cell: func(t *[phases][rows]cell) {
		t[stopping][killTimerRow] = does(func(m *machine, _ event) { // what simulation once found
			ids := m.overdue(killed)
			m.climb(ids, abandoned, time.Time{})
			m.wake(killed)
			m.do(efAbandon{ids})
			m.conclude(Failed, ErrAbandoned)
			m.terminate()
		})
	}},
	{name: "loses an event", rule: "events", step: func(m *machine, now time.Time, ev event) []effect {
		return slices.DeleteFunc(m.step(now, ev), func(e effect) bool {
			x, is := e.(efEvent)
			return is && x.event.Kind == EventReady && x.event.Rank == 3
		})
	}},
	{name: "stops all at once", rule: "order", step: func(m *machine, now time.Time, ev event) []effect {
		ordered := m.ordered
		if m.phase != starting && m.phase != idle {
			m.ordered = false
		}
		effects := m.step(now, ev)
		m.ordered = ordered
		return effects
	}},
	{name: "starts all at once", rule: "order", step: func(m *machine, now time.Time, ev event) []effect {
		ordered := m.ordered
		m.ordered = m.ordered && m.phase != idle
		effects := m.step(now, ev)
		m.ordered = ordered
		return effects
	}},
	{name: "waits for an answer for ever", rule: "G-9", cell: func(t *[phases][rows]cell) {
		t[deciding][answerTimerRow] = nothing
	}},
	{name: "does not answer while the strategy thinks", rule: "G-9", cell: func(t *[phases][rows]cell) {
		t[deciding][stopRow] = nothing
	}},
	{name: "forgets who failed while the strategy was thinking", rule: "G-7",
		step: func(m *machine, now time.Time, ev event) []effect {
			if _, is := ev.(evAnswer); is {
				m.held = nil
			}
			return m.step(now, ev)
		}},
	{name: "asks about the next one at once", rule: "G-2", cell: func(t *[phases][rows]cell) {
		t[deciding][raisedRow] = does(func(m *machine, ev event) {
			m.phase = m.resume
			m.onRaised(ev)
		})
	}},
	{name: "brings back who was dropped", rule: "drop", step: func(m *machine, now time.Time, ev event) []effect {
		for rank := range m.lives {
			if l := &m.lives[rank]; l.state == ended {
				l.dropper = nil
			}
		}
		return m.step(now, ev)
	}},
	{name: "takes all ranks for transient", rule: "types", step: func(m *machine, now time.Time, ev event) []effect {
		m.types = nil
		return m.step(now, ev)
	}},
	{name: "forgets that it has succeeded", rule: "success", step: func(m *machine, now time.Time, ev event) []effect {
		m.achieved = false
		return m.step(now, ev)
	}},
	{name: "waits for those that need not end well", rule: "success", step: func(m *machine, now time.Time, ev event) []effect {
		m.needed = m.size
		return m.step(now, ev)
	}},
	{name: "does not know who is significant", rule: "significant", step: func(m *machine, now time.Time, ev event) []effect {
		m.significant = nil
		return m.step(now, ev)
	}},
	{name: "brings back who was removed", rule: "remove", step: func(m *machine, now time.Time, ev event) []effect {
		for rank := range m.lives {
			if l := &m.lives[rank]; l.state == ended {
				l.removed = ""
			}
		}
		return m.step(now, ev)
	}},
	{name: "restarts nobody", rule: "remove", cell: func(t *[phases][rows]cell) {
		t[waiting][removeRow] = does(func(m *machine, ev event) {
			m.phase = stopping // in which nothing is called off
			m.onRemove(ev)
			if m.phase == stopping && m.next == Restart {
				m.phase = waiting
			}
		})
	}},
	{name: "takes a removal for a failure", rule: "remove", cell: func(t *[phases][rows]cell) {
		t[running][removeRow] = does(func(m *machine, ev event) {
			m.onRemove(ev)
			id := process.ID{Rank: ev.(evRemove).rank}
			if id.Rank < len(m.lives) && m.lives[id.Rank].alive() && m.phase == running {
				id.Generation = m.lives[id.Rank].generation
				m.decide(m.fail(id, Origin))
			}
		})
	}},
	{name: "waits for the success of who was removed", rule: "remove", step: func(m *machine, now time.Time, ev event) []effect {
		needed, size := m.needed, len(m.lives)
		effects := m.step(now, ev)
		if _, removes := ev.(evRemove); removes && m.phase != done && len(m.lives) == size {
			m.needed = needed
		}
		return effects
	}},
	{name: "resizes beside who leaves", rule: "resize", cell: func(t *[phases][rows]cell) {
		t[running][resizeRow] = does(func(m *machine, ev event) {
			m.onResize(ev)
			for rank := range m.lives {
				m.scope[rank] = !m.lives[rank].leaves()
			}
		})
	}},
	{name: "asks about a failure in a resize", rule: "resize", step: func(m *machine, now time.Time, ev event) []effect {
		x, is := ev.(evRaised)
		if is && m.resized != nil && !m.ghost(ev) && m.lives[x.id.Rank].failure == nil {
			m.now, m.out.effects = now, nil
			m.onRaised(ev)
			return m.out.effects
		}
		return m.step(now, ev)
	}},
	{name: "adds to a group that is being started", rule: "add", cell: func(t *[phases][rows]cell) {
		t[starting][addRow] = takeIn
	}},
	{name: "does not answer who wants to add", rule: "G-9", cell: func(t *[phases][rows]cell) { t[running][addRow] = nothing }},
	{name: "keeps its terms", rule: "terms", cell: func(t *[phases][rows]cell) { t[running][termsRow] = nothing }},
	{name: "takes terms of another size", rule: "terms", cell: func(t *[phases][rows]cell) {
		t[running][termsRow] = does(func(m *machine, ev event) {
			m.terms = ev.(evTerms).terms.terms()
			m.takeStock()
			m.complete()
		})
	}},
	{name: "forgets in new terms who was removed", rule: "terms", step: func(m *machine, now time.Time, ev event) []effect {
		effects := m.step(now, ev)
		if _, is := ev.(evTerms); is && m.success.Need == 0 {
			for rank := range m.lives {
				if m.lives[rank].removed != "" && m.counts(rank) {
					m.needed++
				}
			}
		}
		return effects
	}},
	{name: "looks at success only when a rank ends", rule: "terms", cell: func(t *[phases][rows]cell) {
		t[running][termsRow] = does(func(m *machine, ev event) {
			m.terms = ev.(evTerms).terms.terms()
			m.takeStock()
		})
	}},
	{name: "counts a lost host once for each of its ranks", rule: "hosts", step: func(m *machine, now time.Time, ev event) []effect {
		var lost *process.HostLostError
		if x, is := ev.(evExited); is && errors.As(x.exit.Err, &lost) {
			x.exit.Err = &process.HostLostError{Host: lost.Host, Why: lost.Why}
			ev = x
		}
		return m.step(now, ev)
	}},
	{name: "takes a rank that was lost for one that was stopped", rule: "G-8", step: func(m *machine, now time.Time, ev event) []effect {
		if x, is := ev.(evExited); is && errors.Is(x.exit.Err, process.ErrHostLost) && x.exit.Stopped {
			x.exit.Err = nil
			ev = x
		}
		return m.step(now, ev)
	}},
	{name: "starts without room", rule: "room", step: func(m *machine, now time.Time, ev event) []effect {
		m.placed = false
		return m.step(now, ev)
	}},
	{name: "lets a regrow use the budget", rule: "room", cell: func(t *[phases][rows]cell) {
		t[running][settleTimerRow] = does(func(m *machine, ev event) {
			if m.onSettle(ev); m.phase == stopping {
				m.noteRestart()
			}
		})
	}},
	{name: "grows beyond MaxRanks", rule: "room", step: func(m *machine, now time.Time, ev event) []effect {
		m.target++
		return m.step(now, ev)
	}},
	{name: "shrinks below MinRanks", rule: "room", step: func(m *machine, now time.Time, ev event) []effect {
		m.bounds.min = 0
		return m.step(now, ev)
	}},
	{name: "does not disarm the room timer", rule: "room", step: func(m *machine, now time.Time, ev event) []effect {
		due := m.due[roomTimer]
		effects := m.step(now, ev)
		if m.phase != done && m.due[roomTimer].IsZero() && due.After(now) {
			m.due[roomTimer] = due
		}
		return effects
	}},
	{name: "waits for hosts for ever", rule: "room", cell: func(t *[phases][rows]cell) { t[waiting][roomTimerRow] = nothing }},
	{name: "does not see the hosts that it waits for", rule: "room", cell: func(t *[phases][rows]cell) {
		t[waiting][roomRow] = learnRoom
	}},
	{name: "regrows before its room has settled", rule: "room", cell: func(t *[phases][rows]cell) {
		t[running][roomRow] = does(func(m *machine, ev event) {
			m.onRoom(ev)
			m.onSettle(ev)
		})
	}},
	{name: "never regrows", rule: "room", cell: func(t *[phases][rows]cell) { t[running][settleTimerRow] = nothing }},
	{name: "regrows though nobody wants it", rule: "room", step: func(m *machine, now time.Time, ev event) []effect {
		m.elastic.Regrow = m.elastic.Fit
		return m.step(now, ev)
	}},
	{name: "shrinks beside those that live", rule: "G-1", cell: func(t *[phases][rows]cell) {
		t[waiting][roomTimerRow] = does(func(m *machine, _ event) {
			if n := m.want(); n > 0 {
				m.endWait()
				m.fit(n)
				m.spawn("")
			}
		})
		t[waiting][roomRow] = learnRoom
	}},
	{name: "asks everybody at once, also who raised", rule: "exit time", cell: func(t *[phases][rows]cell) {
		t[running][raisedRow] = does(func(m *machine, ev event) {
			m.onRaised(ev)
			if m.phase == stopping && !m.isSet(lingerTimer) {
				m.askThose(m.pick(func(rank int, l *life) bool { return m.scopeAlive(rank, l) && l.rung < asked }))
			}
		})
	}},
}

// TestSimulationCatches proves that the simulation can fail: each mutant is caught within the seeds of a normal run.
func TestSimulationCatches(t *testing.T) {
	whole := table
	defer func() { table = whole }()
	for _, m := range mutants {
		t.Run(m.rule+" "+m.name, func(t *testing.T) {
			table = whole
			if m.cell != nil {
				m.cell(&table)
			}
			if m.step == nil {
				m.step = (*machine).step
			}
			for seed := range uint64(10_000) {
				if err := m.live(seed); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("nobody noticed")
		})
	}
}

// live runs one world; a machine that panics was caught, too.
func (m mutant) live(seed uint64) (err error) {
	w := newWorld(seed)
	defer func() {
		if p := recover(); p != nil {
			w.failf("panic: %v", p)
			err = w.err
		}
	}()
	w.step = m.step
	return w.run()
}
