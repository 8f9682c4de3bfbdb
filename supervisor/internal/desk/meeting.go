package desk

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A meeting is the one barrier, broadcast or gather that the ranks of a group are in. It is over when all have come, or when
// one cannot come any more: then everybody is told who.
type meeting struct {
	desk   *Desk
	what   string
	from   int // of a broadcast
	calls  map[int]request
	values map[int][]byte
}

// come is a rank's arrival. A life of its own that began later takes the place of the one before (see leave).
func (m *meeting) come(c request, what string, from int, value []byte) {
	rank := c.id.Rank
	switch {
	case c.number == 0:
		return // it would never know
	case what == "broadcast" && (from < 0 || from >= m.desk.size):
		m.desk.answer(c, nil, fmt.Errorf("%w: %d, it has ranks 0 to %d", ErrNoRank, from, m.desk.size-1))
		return
	case m.holds(c.id):
		m.desk.answer(c, nil, fmt.Errorf("this rank is in another %s already", m.what))
		return
	case len(m.calls) == 0:
		m.what, m.from, m.values = what, from, map[int][]byte{}
	}
	m.calls[rank], m.values[rank] = c, value
	if what != m.what || from != m.from {
		m.refuse(fmt.Errorf("rank %d calls %s, and rank %d %s", rank, naming(what, from), m.other(rank), naming(m.what, m.from)))
		return
	}
	if m.gone(); len(m.calls) == m.desk.size {
		m.conclude()
	}
}

func (m *meeting) holds(id process.ID) bool { c, ok := m.calls[id.Rank]; return ok && c.id == id }

// other returns the first rank that is here besides one.
func (m *meeting) other(rank int) int {
	others := slices.Sorted(maps.Keys(m.calls))
	return slices.DeleteFunc(others, func(r int) bool { return r == rank })[0]
}

func naming(what string, from int) string {
	if what == "broadcast" {
		return fmt.Sprintf("broadcast from %d", from)
	}
	return what
}

// gone ends a meeting that waits in vain: who is here lives, so that whoever is gone has not come.
func (m *meeting) gone() {
	if len(m.calls) > 0 && len(m.desk.absent) > 0 {
		m.refuse(fmt.Errorf("%s: rank %d has ended, and will not come", naming(m.what, m.from), m.desk.absent[0]))
	}
}

// leave takes a life out.
func (m *meeting) leave(id process.ID) {
	if m.holds(id) {
		delete(m.calls, id.Rank)
		delete(m.values, id.Rank)
	}
}

// size is how much the ranks have brought, in bytes.
func (m *meeting) size() (n int) {
	for _, v := range m.values {
		n += len(v)
	}
	return n
}

func (m *meeting) refuse(why error) {
	calls := m.calls
	m.calls = map[int]request{}
	for _, c := range calls {
		m.desk.answer(c, nil, why)
	}
}

func (m *meeting) conclude() {
	if size := m.size(); m.what == "gather" && size > transport.MaxMail { // nobody is to wait while it is encoded for nothing
		m.refuse(errTooLarge(size))
		m.values = nil
		return
	}
	calls, values := m.calls, m.values
	m.calls, m.values = map[int]request{}, nil
	var outcome any
	switch m.what {
	case "gather":
		all := make([][]byte, m.desk.size)
		for rank, v := range values {
			all[rank] = v
		}
		outcome = all
	case "broadcast":
		outcome = values[m.from]
	}
	m.desk.answerWith(outcome, slices.Collect(maps.Values(calls))...)
}
