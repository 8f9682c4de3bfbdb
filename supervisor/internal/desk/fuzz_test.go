package desk

import (
	"maps"
	"slices"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// FuzzDesk lets ranks and callers do anything, a few bytes each: no order of it may confuse the desk. Every letter ends once,
// what is counted is what there is, and of lives that are over nothing is left (protoactor.md §7.4, F-26).
func FuzzDesk(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"))
	for _, ask := range []string{"barrier", "gather", "broadcast", "set", "get", "cancel", "coffee"} {
		f.Add([]byte("\x03\x00\x01" + string(rune(len(ask))) + ask + "\x05\x82\xa3key\xa1a"))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		tr := begin(t, 3)
		lives := [3]int{}
		letters, ends := 0, map[*Letter]int{}
		next := script
		take := func() int {
			if len(next) == 0 {
				return 0
			}
			b := next[0]
			next = next[1:]
			return int(b)
		}
		text := func(limit int) string {
			n := min(take()%limit, len(next))
			s := string(next[:n])
			next = next[n:]
			return s
		}
		var posted []*Letter
		for len(next) > 0 && letters < 1<<10 {
			op, rank := take(), take()%3
			life := id(rank, max(0, lives[rank]-op>>6)) // the present life or, where there was one, the one before
			switch op % 14 {
			case 0:
				lives[rank]++
				tr.start(3, lives[rank], 3, rank)
			case 1:
				tr.Ended(life)
			case 2:
				tr.Gone(rank)
			case 3, 4, 5, 6:
				tr.Mailed(life, &transport.Mail{ID: take() % 8, Topic: "muster." + text(16), Value: []byte(text(64))})
			case 7:
				tr.Mailed(life, &transport.Mail{Reply: take() % 8, Error: text(4)})
			case 8:
				tr.Mailed(life, &transport.Mail{ID: take() % 8, Topic: text(8)})
			case 9:
				tr.Replied(life, take()%8, nil, nil)
			case 10:
				tr.Credited(life, take()<<4)
			case 12:
				tr.Expect(1 + take()%4)
			case 13:
				tr.Removed(rank)
			case 11:
				l := &Letter{Rank: take() % 4, Value: []byte(text(16)), Wanted: op&64 != 0, Loose: op&128 != 0}
				letters++
				l.Done = func(process.ID, []byte, error) { ends[l]++ }
				posted = append(posted, l)
				if tr.Post(l); op&32 != 0 && ends[l] == 0 {
					tr.Withdraw(l)
					ends[l]++ // nobody waits for it any more
				}
			}
			tr.check()
		}
		tr.End()
		for _, l := range posted {
			if ends[l] != 1 {
				t.Fatalf("a letter to rank %d has %d ends", l.Rank, ends[l])
			}
		}
		if len(tr.store.waits) > 0 || len(tr.store.count) > 0 || len(tr.meeting.calls) > 0 {
			t.Fatalf("left: %v, %v, %v", tr.store.waits, tr.store.count, tr.meeting.calls)
		}
	})
}

// check compares what the desk counts with what it has.
func (tr *trial) check() {
	tr.Helper()
	bytes, waits := 0, map[process.ID]int{}
	for key := range tr.store.items {
		bytes += tr.store.weight(key)
	}
	for _, calls := range tr.store.waits {
		for _, c := range calls {
			waits[c.id]++
		}
	}
	if bytes != tr.store.bytes {
		tr.Fatalf("the store counts %d bytes, and has %d", tr.store.bytes, bytes)
	}
	for life, n := range tr.store.count {
		if n != waits[life] {
			tr.Fatalf("%v waits for %d values, and %d are counted", life, waits[life], n)
		}
	}
	for rank, b := range tr.boxes {
		held := slices.DeleteFunc(slices.Concat(b.queue, slices.Collect(maps.Values(b.asked))), func(l *Letter) bool { return !l.Loose })
		if !b.down && len(held) != b.loose {
			tr.Fatalf("rank %d has %d letters, and %d are counted", rank, len(held), b.loose)
		}
	}
}
