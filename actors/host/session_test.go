package host

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// A wire loses, doubles and reorders what two sessions send each other.
type wire struct {
	random *rand.Rand
	loss   float64
	ends   [2]*session
	under  [2][][]byte // way, to each end
	got    [2][lanes][]string
	t      *testing.T
}

func (w *wire) pump() {
	for i, s := range w.ends {
		for _, f := range s.frames() {
			if w.random.Float64() < w.loss {
				continue
			}
			w.under[1-i] = append(w.under[1-i], bytes.Clone(f))
			if w.random.Float64() < w.loss {
				w.under[1-i] = append(w.under[1-i], bytes.Clone(f))
			}
			if n := len(w.under[1-i]); n > 1 && w.random.Float64() < w.loss {
				w.under[1-i][n-1], w.under[1-i][n-2] = w.under[1-i][n-2], w.under[1-i][n-1]
			}
		}
	}
}

func (w *wire) deliver(to int) {
	arrived := w.under[to]
	w.under[to] = nil
	for _, f := range arrived {
		h, body, err := parseFrame(f)
		if err != nil {
			w.t.Fatal(err)
		}
		payload, whole, err := w.ends[to].receive(h, body)
		if err != nil {
			w.t.Fatal(err)
		}
		if whole {
			w.got[to][h.lane] = append(w.got[to][h.lane], fmt.Sprintf("%d bytes: %.20s", len(payload), payload))
		}
	}
}

// TestSession: whatever a network loses, doubles and reorders, each lane arrives whole, once and in order.
func TestSession(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		w := &wire{random: random, loss: float64(seed%4) * 0.15, ends: [2]*session{{id: 9, chunk: 40}, {id: 9, chunk: 40}}, t: t}
		var want [2][lanes][]string
		for step := range 60 {
			for from := range w.ends {
				to := random.IntN(lanes)
				payload := bytes.Repeat([]byte{'x'}, []int{0, 10, 40, 41, 200}[random.IntN(5)])
				copy(payload, fmt.Sprint(from, to, step))
				w.ends[from].send(to, payload)
				want[1-from][to] = append(want[1-from][to], fmt.Sprintf("%d bytes: %.20s", len(payload), payload))
			}
			w.pump()
			w.deliver(random.IntN(2))
		}
		for round := 0; !w.ends[0].idle() || !w.ends[1].idle(); round++ {
			if round == 2000 {
				t.Fatalf("seed %d: it never comes to rest", seed)
			}
			for i, s := range w.ends {
				w.pump()
				w.deliver(i)
				if random.Float64() >= w.loss { // the tick arrives
					w.ends[1-i].tick()
				}
				s.aside(nil)
			}
		}
		for to := range want {
			for lane := range want[to] {
				if g, n := w.got[to][lane], want[to][lane]; fmt.Sprint(g) != fmt.Sprint(n) {
					t.Fatalf("seed %d, to %d, lane %d: %d messages\n%v\nwant %d\n%v", seed, to, lane, len(g), g, len(n), n)
				}
			}
		}
	}
}

// TestSessionBounds: a peer that acknowledges nothing holds up what is in flight, and no more is sent.
func TestSessionBounds(t *testing.T) {
	s := newSession(1)
	s.send(bulk, make([]byte, 4*maxFlight*chunkSize))
	if n := len(s.frames()); n != maxFlight {
		t.Errorf("%d frames in flight, want %d", n, maxFlight)
	}
	s.send(control, []byte("kill"))
	if f := s.frames(); len(f) != 1 {
		t.Errorf("%d frames for an order behind a large message, want 1", len(f))
	}
	for range 10 {
		s.tick()
	}
	if f := s.frames(); len(f) > 5*(maxFlight+1) {
		t.Errorf("%d frames sent again in 10 ticks", len(f))
	}
}

// TestSessionOfASlowNetwork: what is on its way, as acknowledgements show, is not sent again; what is lost is.
func TestSessionOfASlowNetwork(t *testing.T) {
	s := newSession(1)
	s.send(bulk, make([]byte, maxFlight*chunkSize))
	if n := len(s.frames()); n != maxFlight {
		t.Fatalf("%d frames in flight, want %d", n, maxFlight)
	}
	for seq := range uint64(20) {
		s.tick()
		if _, _, err := s.receive(header{acks: [lanes]uint64{bulk: seq + 1}}, nil); err != nil {
			t.Fatal(err)
		}
		if n := len(s.frames()); n != 0 {
			t.Fatalf("%d frames are sent again after %d ticks with an acknowledgement each", n, seq+1)
		}
	}
	s.tick()
	s.tick()
	if n := len(s.frames()); n != maxFlight-20 {
		t.Errorf("%d frames are sent again after two ticks without, want %d", n, maxFlight-20)
	}
}

// TestSessionHostile: what no session of ours sends is an error, or nothing.
func TestSessionHostile(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, headerSize-1), append([]byte{2}, make([]byte, headerSize)...),
		append([]byte{wireVersion, 0, lanes}, make([]byte, headerSize)...), append([]byte{wireVersion}, make([]byte, headerSize+chunkSize)...)} {
		if _, _, err := parseFrame(b); !errors.Is(err, errFrame) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	s := newSession(0)
	if _, _, err := s.receive(header{acks: [lanes]uint64{5, 0}}, nil); !errors.Is(err, errFrame) {
		t.Errorf("an acknowledgement of what was never sent: %v", err)
	}
	if _, whole, err := s.receive(header{seq: 1 << 60}, []byte("x")); whole || err != nil {
		t.Errorf("a frame of the future: %v, %v", whole, err)
	}
	var err error
	for seq := uint64(1); err == nil && seq < 10*maxPayload/chunkSize; seq++ {
		_, _, err = s.receive(header{seq: seq, flags: flagMore}, make([]byte, chunkSize))
	}
	if !errors.Is(err, errFrame) {
		t.Errorf("a message without end: %v", err)
	}
}

func FuzzSession(f *testing.F) {
	f.Add([]byte{wireVersion}, []byte("body"))
	f.Add(header{session: 9, seq: 1}.append(nil, []byte("one")), header{session: 9, seq: 2, flags: flagMore}.append(nil, []byte("two")))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s := newSession(9)
		s.send(control, []byte("an order"))
		for _, frame := range [][]byte{a, b, a} {
			if h, body, err := parseFrame(frame); err == nil {
				if _, _, err := s.receive(h, body); err != nil && !errors.Is(err, errFrame) {
					t.Fatal(err)
				}
				s.tick()
			}
		}
		if n := len(s.frames()); n > 20+8*maxFlight {
			t.Fatalf("%d frames for three", n)
		}
	})
}
