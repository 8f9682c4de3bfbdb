package etcd

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/go-muster/muster/actors/host/discovery"
)

// A view is the members that a reader shows, made of the lists that it gets. It does nothing by itself.
type view struct {
	grace time.Duration
	shown map[string]*sighting // by id; nil before the first list
	at    time.Time            // of the last list
}

// A sighting is a member that was listed once.
type sighting struct {
	member  discovery.Member
	created int64     // the revision of its first key
	missing time.Time // the first list of an unbroken row without it; zero if it stood in the last one
}

// listed takes the records of a list, and reports whether the members are others than before.
func (v *view) listed(records map[string]record, now time.Time) (changed bool) {
	if v.shown == nil {
		v.shown, changed = map[string]*sighting{}, true
	}
	if now.Sub(v.at) > v.grace+look {
		v.outOfReach() // it was us who stood still
	}
	v.at = now
	for id, r := range records {
		changed = v.take(id, r) || changed
	}
	for id, s := range v.shown {
		if _, ok := records[id]; ok {
			continue
		}
		if s.missing.IsZero() {
			s.missing = now
		}
		if now.Sub(s.missing) >= v.grace {
			delete(v.shown, id)
			changed = true
		}
	}
	return changed
}

// take is listed for one record.
func (v *view) take(id string, r record) (changed bool) {
	s := v.shown[id]
	switch {
	case r.Left:
		delete(v.shown, id)
		return s != nil
	case s == nil:
		v.shown[id] = &sighting{member: r.Member, created: r.created}
		return true
	}
	changed = s.member != r.Member
	s.member, s.missing = r.Member, time.Time{}
	return changed
}

// outOfReach is told that there is no list now. Absence counts from the first list after it: members need time to come back.
func (v *view) outOfReach() {
	for _, s := range v.shown {
		s.missing = time.Time{}
	}
}

// members returns those that are shown, in the order in which they first registered.
func (v *view) members() []discovery.Member {
	order := slices.SortedFunc(maps.Values(v.shown), func(a, b *sighting) int { return cmp.Compare(a.created, b.created) })
	all := make([]discovery.Member, len(order))
	for i, s := range order {
		all[i] = s.member
	}
	return all
}
