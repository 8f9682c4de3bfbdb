package desk

import (
	"fmt"
	"slices"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

const (
	maxStore = 64 << 20 // bytes of all keys and values together, with what each costs besides
	maxKey   = 1 << 10  // bytes
	itemCost = 128      // bytes
)

// A store keeps what ranks have set under a key.
type store struct {
	desk  *Desk
	items map[string]stored
	waits map[string][]request // gets of what nobody has set yet
	count map[process.ID]int   // of the waits, by life
	bytes int
}

// A stored value is encoded as the answer to every get: many that are not read yet are to cost its memory once.
type stored struct {
	answer []byte
	by     process.ID
}

// A keyed is the argument of muster.set and muster.get.
type keyed struct {
	Key   string `msgpack:"key"`
	Value []byte `msgpack:"value"`
	Wait  bool   `msgpack:"wait"`
}

func (s *store) serve(c request, what string, k keyed) {
	switch {
	case k.Key == "" || len(k.Key) > maxKey:
		s.desk.answer(c, nil, fmt.Errorf("a key has 1 to %d bytes, this one has %d", maxKey, len(k.Key)))
	case what == "set":
		s.set(c, k)
	default:
		s.get(c, k)
	}
}

func (s *store) set(c request, k keyed) {
	answer, err := transport.Marshal(k.Value)
	if all := s.bytes + weight(k.Key, answer) - s.weight(k.Key); err == nil && all > maxStore {
		err = fmt.Errorf("what is set would be %d bytes in all, the most is %d", all, maxStore)
	}
	if err != nil {
		s.desk.answer(c, nil, err)
		return
	}
	s.remove(k.Key)
	s.items[k.Key] = stored{answer, c.id}
	s.bytes += s.weight(k.Key)
	s.desk.answerWith(nil, c)
	waits := s.waits[k.Key]
	delete(s.waits, k.Key)
	for _, w := range waits {
		s.count[w.id]--
		s.desk.answer(w, answer, nil)
	}
}

func (s *store) get(c request, k keyed) {
	held, ok := s.items[k.Key]
	switch {
	case ok:
		s.desk.answer(c, held.answer, nil)
	case !k.Wait:
		s.desk.answerWith(nil, c)
	case s.count[c.id] >= mostRequests:
		s.desk.answer(c, nil, errMany)
	default:
		s.waits[k.Key] = append(s.waits[k.Key], c)
		s.count[c.id]++
	}
}

func (s *store) weight(key string) int {
	held, ok := s.items[key]
	if !ok {
		return 0
	}
	return weight(key, held.answer)
}

func weight(key string, answer []byte) int { return itemCost + len(key) + len(answer) }

func (s *store) remove(key string) {
	s.bytes -= s.weight(key)
	delete(s.items, key)
}

// forget drops what ranks have set.
func (s *store) forget(ranks map[int]bool) {
	for key, held := range s.items {
		if ranks[held.by.Rank] {
			s.remove(key)
		}
	}
}

// leave forgets what a life waits for.
func (s *store) leave(id process.ID) {
	if s.count[id] > 0 {
		s.drop(func(c request) bool { return c.id == id })
	}
	delete(s.count, id)
}

func (s *store) cancel(gone request) {
	if s.count[gone.id] > 0 {
		s.drop(func(c request) bool { return c == gone })
	}
}

func (s *store) drop(gone func(request) bool) {
	for key, calls := range s.waits {
		s.waits[key] = slices.DeleteFunc(calls, func(c request) bool {
			if gone(c) {
				s.count[c.id]--
			}
			return gone(c)
		})
		if len(s.waits[key]) == 0 {
			delete(s.waits, key)
		}
	}
}
