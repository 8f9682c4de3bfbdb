package desk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// A trial is a desk whose ranks and user the test plays. What the desk does is a line each, until it is read.
type trial struct {
	*testing.T
	*Desk
	lines []string
	mail  []*transport.Mail // that came to the user

	closed []int // of what came to the user
}

// begin returns a desk with n ranks that have opened.
func begin(t *testing.T, n int) *trial {
	tr := &trial{T: t}
	tr.Desk = New(tr)
	tr.start(n, 0, n)
	return tr
}

func id(rank, generation int) process.ID { return process.ID{Rank: rank, Generation: generation} }

// start begins a generation of the ranks from first to the one before end.
func (tr *trial) start(end, generation, size int, ranks ...int) {
	var ids []process.ID
	for rank := range end {
		if len(ranks) == 0 || slices.Contains(ranks, rank) {
			ids = append(ids, id(rank, generation))
		}
	}
	tr.Born(ids, size)
	for _, i := range ids {
		tr.open(i)
	}
}

func (tr *trial) note(format string, args ...any) {
	tr.lines = append(tr.lines, fmt.Sprintf(format, args...))
}

func (tr *trial) Closed(id process.ID, number int) { tr.closed = append(tr.closed, number) }

// open opens a life, whose process notes what it is handed.
func (tr *trial) open(life process.ID) {
	tr.Opened(life, func(m transport.Message) {
		switch m := m.(type) {
		case *transport.Mail:
			text := string(m.Value)
			if m.Reply != 0 {
				_ = transport.Unmarshal(m.Value, &text)
				tr.note("%v: answer %d %s%s", life, m.Reply, text, m.Error)
				return
			}
			tr.note("%v: mail %d %s", life, m.ID, text)
		case *transport.Credit:
			tr.note("%v: taken %d", life, m.Bytes)
		}
	})
}

func (tr *trial) Present(from process.ID, m *transport.Mail) {
	tr.mail = append(tr.mail, m)
	tr.note("user: %v %d %s %s", from, m.ID, m.Topic, m.Value)
}

// letter posts a letter whose end is a line.
func (tr *trial) letter(rank int, value string, wanted, loose bool) *Letter {
	l := &Letter{Rank: rank, Value: []byte(value), Wanted: wanted, Loose: loose}
	l.Done = func(to process.ID, answer []byte, err error) {
		tr.note("%s to %v: %s %v", value, to, answer, err)
	}
	tr.Post(l)
	return l
}

// ask is a request of a rank to the supervisor.
func (tr *trial) ask(from process.ID, number int, what string, value any) {
	tr.Helper()
	encoded, err := transport.Marshal(value)
	if err != nil {
		tr.Fatal(err)
	}
	tr.Mailed(from, &transport.Mail{ID: number, Topic: "muster." + what, Value: encoded})
}

// did compares what the desk has done since it was asked last, in any order of lines where sorted is set.
func (tr *trial) did(want ...string) {
	tr.Helper()
	got := tr.lines
	tr.lines = nil
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		tr.Errorf("the desk did\n\t%s\nnot\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// Letters wait for the life to open and for credit, and go in order; answers find who asked.
func TestLetters(t *testing.T) {
	tr := &trial{T: t}
	tr.Desk = New(tr)
	tr.Born([]process.ID{id(0, 0)}, 1)
	tr.letter(0, "early", true, false)
	tr.open(id(0, 0))
	tr.did()
	tr.Credited(id(0, 0), 70)
	tr.did("0@0: mail 1 early")
	tr.letter(0, "two", false, false)
	tr.did("0@0: mail 0 two", "two to 0@0:  <nil>")
	tr.letter(0, "three", false, false)
	tr.did()
	tr.Mailed(id(0, 0), &transport.Mail{Reply: 1, Value: []byte("yes")})
	tr.Mailed(id(0, 0), &transport.Mail{Reply: 1, Value: []byte("again")})
	tr.Mailed(id(0, 0), &transport.Mail{Reply: 9, Value: []byte("what?")})
	tr.did("early to 0@0: yes <nil>")
	tr.Credited(id(0, 0), 1000)
	tr.did("0@0: mail 0 three", "three to 0@0:  <nil>")
	tr.letter(0, "no", true, false)
	tr.Mailed(id(0, 0), &transport.Mail{Reply: 2, Error: "not today"})
	tr.did("0@0: mail 2 no", "no to 0@0:  supervisor: the rank has refused the request: not today")
	tr.letter(1, "nobody", true, false)
	tr.did("nobody to 1@0:  supervisor: the group has no such rank: it has ranks 0 to 0")
}

// What is for a rank that is expected waits for its first life, but not for that of one that is removed before, or of a group that
// is over.
func TestLettersExpected(t *testing.T) {
	tr := &trial{T: t}
	tr.Desk = New(tr)
	tr.Expect(2)
	tr.letter(0, "early", true, false)
	tr.letter(0, "second", false, true)
	tr.Withdraw(tr.letter(0, "withdrawn", true, true))
	tr.letter(1, "removed", true, false)
	tr.letter(2, "nobody", true, false)
	tr.Mailed(id(0, 0), &transport.Mail{Topic: "of one that is not born"})
	tr.did("nobody to 2@0:  supervisor: the group has no such rank: it has ranks 0 to 1")
	tr.Expect(3)
	tr.letter(2, "waits", true, false)
	tr.Removed(1)
	tr.Removed(1)
	tr.letter(1, "late", true, false)
	tr.did("removed to 1@0:  supervisor: the rank has ended", "late to 1@0:  supervisor: the rank has ended")
	tr.start(1, 4, 3)
	tr.check()
	tr.Credited(id(0, 4), 1000)
	tr.did("0@4: mail 1 early", "0@4: mail 0 second", "second to 0@4:  <nil>")
	tr.Removed(0)
	tr.did()
	tr.End()
	tr.did("early to 0@4:  supervisor: the group has ended", "waits to 2@0:  supervisor: the group has ended")
	tr.letter(2, "after", true, false)
	tr.did("after to 2@0:  supervisor: the group has ended")
}

// The end of a life ends all that it was to answer, at once; the next life has nothing of it.
func TestLettersEnd(t *testing.T) {
	tr := begin(t, 2)
	tr.Credited(id(0, 0), 100)
	tr.letter(0, "asked", true, false)
	tr.letter(0, "sent", false, false)
	tr.letter(0, "waits", true, true)
	tr.did("0@0: mail 1 asked", "0@0: mail 0 sent", "sent to 0@0:  <nil>")
	tr.Ended(id(0, 0))
	tr.did("asked to 0@0:  supervisor: the rank has ended", "waits to 0@0:  supervisor: the rank has ended")
	tr.letter(0, "late", false, false)
	tr.did("late to 0@0:  supervisor: the rank has ended")
	tr.start(2, 1, 2)
	tr.Mailed(id(0, 0), &transport.Mail{Reply: 1, Value: []byte("of a ghost")})
	tr.Credited(id(0, 0), 100)
	tr.letter(0, "anew", true, false)
	tr.did()
	tr.Credited(id(0, 1), 100)
	tr.did("0@1: mail 1 anew")
	tr.End()
	tr.did("anew to 0@1:  supervisor: the group has ended")
}

// What is too much from actors, who do not wait, is refused; callers who wait are not.
func TestLettersFull(t *testing.T) {
	tr := begin(t, 2)
	for range looseLetters {
		tr.letter(0, "x", false, true)
	}
	tr.letter(0, "waits", false, false)
	tr.did()
	tr.letter(0, "much", false, true)
	tr.did("much to 0@0:  supervisor: too many messages wait for the rank")
	for range looseBytes >> 20 {
		tr.letter(1, strings.Repeat("x", 1<<20), false, true)
	}
	tr.letter(1, "much", false, true)
	tr.did("much to 1@0:  supervisor: too many messages wait for the rank")
	tr.Credited(id(0, 0), 1)
	tr.lines = nil
	tr.letter(0, "room", false, true)
	tr.did()
}

// A sender that gives up leaves nothing behind.
func TestWithdraw(t *testing.T) {
	tr := begin(t, 1)
	queued := tr.letter(0, "queued", true, false)
	tr.Withdraw(queued)
	tr.Withdraw(queued)
	tr.Credited(id(0, 0), 1000)
	tr.Post(queued) // it comes late
	tr.did()
	asked := tr.letter(0, "asked", true, false)
	tr.did("0@0: mail 1 asked")
	tr.Withdraw(asked)
	tr.Mailed(id(0, 0), &transport.Mail{Reply: 1, Value: []byte("late")})
	tr.Ended(id(0, 0))
	tr.did()
}

// What a rank tells the user is its credit until it was taken.
func TestPresent(t *testing.T) {
	tr := begin(t, 1)
	tr.Mailed(id(0, 0), &transport.Mail{Topic: "loss", Value: []byte("0.5")})
	tr.Mailed(id(0, 0), &transport.Mail{ID: 3, Topic: "ask", Value: []byte("?")})
	tr.Mailed(id(0, 7), &transport.Mail{Topic: "of a ghost"})
	tr.did("user: 0@0 0 loss 0.5", "user: 0@0 3 ask ?")
	yes, _ := transport.Marshal("yes")
	tr.Replied(id(0, 0), 3, yes, nil)
	tr.Replied(id(0, 0), 3, yes, nil)
	tr.did("0@0: answer 3 yes")
	tr.Taken(id(0, 0), transport.MailWindow/4-1)
	tr.did()
	tr.Taken(id(0, 0), 1)
	tr.did("0@0: taken 262144")
	tr.Mailed(id(0, 0), &transport.Mail{ID: 4, Topic: "ask"})
	tr.ask(id(0, 0), 0, "cancel", 4)
	tr.lines = nil
	tr.Replied(id(0, 0), 4, yes, nil)
	tr.did()
	for n := range mostRequests {
		tr.Mailed(id(0, 0), &transport.Mail{ID: 10 + n, Topic: "ask"})
	}
	tr.lines = nil
	tr.Mailed(id(0, 0), &transport.Mail{ID: 5000, Topic: "ask"})
	tr.did("0@0: answer 5000 more than 1024 requests wait for their answers")
	tr.Mailed(id(0, 0), &transport.Mail{ID: 1, Topic: "muster.coffee"})
	tr.Mailed(id(0, 0), &transport.Mail{ID: 2, Topic: "muster.set", Value: []byte{0xc1}})
	if len(tr.lines) != 2 || !strings.HasPrefix(tr.lines[1], "0@0: answer 2 transport: malformed") {
		t.Errorf("the desk did %q", tr.lines)
	}
}

// Meetings: all come; one leaves, and comes back in its next life; one never comes; one calls something else.
func TestMeetings(t *testing.T) {
	tr := begin(t, 3)
	tr.ask(id(0, 0), 1, "barrier", nil)
	tr.ask(id(1, 0), 1, "barrier", nil)
	tr.ask(id(1, 0), 2, "barrier", nil)
	tr.did("1@0: answer 2 this rank is in another barrier already")
	tr.ask(id(2, 0), 1, "barrier", nil)
	tr.did("0@0: answer 1 ", "1@0: answer 1 ", "2@0: answer 1 ")

	tr.ask(id(0, 0), 2, "broadcast", map[string]any{"from": 1})
	tr.ask(id(1, 0), 3, "broadcast", map[string]any{"from": 1, "value": []byte("old")})
	tr.Ended(id(1, 0))
	tr.ask(id(2, 0), 2, "broadcast", map[string]any{"from": 1})
	tr.did()
	tr.start(3, 1, 3, 1)
	tr.ask(id(1, 0), 4, "broadcast", map[string]any{"from": 1, "value": []byte("of a ghost")})
	tr.ask(id(1, 1), 1, "broadcast", map[string]any{"from": 1, "value": []byte("new")})
	tr.did("0@0: answer 2 new", "1@1: answer 1 new", "2@0: answer 2 new")

	tr.ask(id(0, 0), 3, "broadcast", map[string]any{"from": 3})
	tr.did("0@0: answer 3 supervisor: the group has no such rank: 3, it has ranks 0 to 2")
	tr.ask(id(0, 0), 4, "broadcast", map[string]any{"from": 1})
	tr.ask(id(2, 0), 4, "broadcast", map[string]any{"from": 2})
	want := "rank 2 calls broadcast from 2, and rank 0 broadcast from 1"
	tr.did("0@0: answer 4 "+want, "2@0: answer 4 "+want)

	tr.ask(id(0, 0), 5, "barrier", nil)
	tr.ask(id(0, 0), 0, "cancel", 5)
	tr.ask(id(1, 1), 2, "barrier", nil)
	tr.ask(id(2, 0), 5, "barrier", nil)
	tr.did()
	tr.Ended(id(0, 0))
	tr.Gone(0)
	want = "barrier: rank 0 has ended, and will not come"
	tr.did("1@1: answer 2 "+want, "2@0: answer 5 "+want)
	tr.ask(id(1, 1), 3, "gather", nil)
	tr.did("1@1: answer 3 gather: rank 0 has ended, and will not come")
	tr.start(2, 2, 2)
	tr.ask(id(0, 2), 1, "barrier", nil)
	tr.ask(id(1, 2), 1, "barrier", nil)
	tr.did("0@2: answer 1 ", "1@2: answer 1 ")
}

// A gather larger than a message is refused, and all are told.
func TestGatherTooLarge(t *testing.T) {
	tr := begin(t, 2)
	for rank := range 2 {
		tr.ask(id(rank, 0), 1, "gather", make([]byte, transport.MaxMail-100))
	}
	n := 0
	for _, line := range tr.lines {
		if strings.Contains(line, "the answer is of 20") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("the desk did %q", tr.lines)
	}
}

// What is set can be had; what is not yet is waited for; what a rank has set goes with its life.
func TestStore(t *testing.T) {
	tr := begin(t, 2)
	get := func(key string, wait bool) map[string]any { return map[string]any{"key": key, "wait": wait} }
	set := func(key, value string) map[string]any { return map[string]any{"key": key, "value": []byte(value)} }
	tr.ask(id(0, 0), 1, "get", get("a", true))
	tr.ask(id(1, 0), 1, "get", get("a", true))
	tr.ask(id(1, 0), 2, "get", get("a", false))
	tr.ask(id(0, 0), 0, "cancel", 1)
	tr.did("1@0: answer 2 ")
	tr.ask(id(1, 0), 3, "set", set("a", "one"))
	tr.did("1@0: answer 1 one", "1@0: answer 3 ")
	tr.ask(id(0, 0), 2, "get", get("a", true))
	tr.did("0@0: answer 2 one")
	tr.Ended(id(1, 0))
	tr.ask(id(0, 0), 3, "get", get("a", false))
	tr.did("0@0: answer 3 one")
	tr.start(2, 1, 2, 1)
	tr.ask(id(0, 0), 4, "get", get("a", false))
	tr.did("0@0: answer 4 ")
	tr.ask(id(0, 0), 5, "get", get("", false))
	tr.ask(id(0, 0), 6, "set", set("big", strings.Repeat("x", 1<<19)))
	tr.ask(id(0, 0), 7, "set", set("big", strings.Repeat("y", 1<<19)))
	tr.lines = tr.lines[1:]
	tr.did("0@0: answer 6 ", "0@0: answer 7 ", "0@0: taken 524382", "0@0: taken 524894")
	if want := itemCost + 3 + 5 + 1<<19; tr.store.bytes != want {
		t.Errorf("the store counts %d bytes of %d", tr.store.bytes, want)
	}
	for n := range 127 {
		tr.ask(id(0, 0), 10+n, "set", set(fmt.Sprint(n), strings.Repeat("x", 1<<19)))
	}
	if last := tr.lines[len(tr.lines)-1]; !strings.Contains(last, "the most is 67108864") {
		t.Errorf("a store without end: %s", last)
	}
	tr.lines = nil
	for n := range mostRequests + 1 {
		tr.ask(id(1, 1), 10+n, "get", get("never", true))
	}
	tr.did(fmt.Sprintf("1@1: answer %d more than 1024 requests wait for their answers", 10+mostRequests))
	tr.Ended(id(1, 1))
	tr.Ended(id(0, 0))
	if len(tr.store.waits) > 0 || len(tr.store.count) > 0 {
		t.Errorf("what is left: %v, %v", tr.store.waits, tr.store.count)
	}
}

// A rank that gives credit before it says hello is told what waits.
func TestCreditFirst(t *testing.T) {
	tr := &trial{T: t}
	tr.Desk = New(tr)
	tr.Born([]process.ID{id(0, 0)}, 1)
	tr.Credited(id(0, 0), 1000)
	tr.letter(0, "early", false, false)
	tr.open(id(0, 0))
	tr.did("0@0: mail 0 early", "early to 0@0:  <nil>")
}

// Actors that ask a rank which never answers are refused at some point, and not before it answers again.
func TestLettersUnanswered(t *testing.T) {
	tr := begin(t, 1)
	tr.Credited(id(0, 0), 1<<20)
	for range looseLetters {
		tr.letter(0, "asked", true, true)
	}
	tr.lines = nil
	tr.letter(0, "much", true, true)
	tr.did("much to 0@0:  supervisor: too many messages wait for the rank")
	tr.Mailed(id(0, 0), &transport.Mail{Reply: 1})
	tr.lines = nil
	tr.letter(0, "room", true, true)
	tr.did(fmt.Sprintf("0@0: mail %d room", looseLetters+1))
}

// A rank's request has a number of its own, and an error has a text.
func TestOddRequests(t *testing.T) {
	tr := begin(t, 1)
	tr.Mailed(id(0, 0), &transport.Mail{ID: 3, Topic: "ask"})
	tr.Mailed(id(0, 0), &transport.Mail{ID: 3, Topic: "again"})
	tr.did("user: 0@0 3 ask ", "0@0: answer 3 a request of that number waits for its answer already")
	tr.Replied(id(0, 0), 3, nil, errors.New(""))
	tr.did("0@0: answer 3 an error without a text")
}

// What a rank has set goes with its place in the group.
func TestStoreOfFewer(t *testing.T) {
	tr := begin(t, 2)
	tr.ask(id(1, 0), 1, "set", map[string]any{"key": "address", "value": []byte("of a ghost")})
	tr.start(1, 1, 1)
	tr.lines = nil
	tr.ask(id(0, 1), 1, "get", map[string]any{"key": "address"})
	tr.did("0@1: answer 1 ")
	if tr.store.bytes != 0 {
		t.Errorf("the store counts %d bytes", tr.store.bytes)
	}
}

// Whoever waits for the user's answer to a request is let go, whatever becomes of it.
func TestClosed(t *testing.T) {
	tr := begin(t, 1)
	for n := range 3 {
		tr.Mailed(id(0, 0), &transport.Mail{ID: n + 1, Topic: "ask"})
	}
	tr.Replied(id(0, 0), 1, nil, nil)
	tr.Replied(id(0, 0), 1, nil, nil)
	tr.ask(id(0, 0), 0, "cancel", 2)
	tr.ask(id(0, 0), 0, "cancel", 9)
	tr.Ended(id(0, 0))
	if !slices.Equal(tr.closed, []int{1, 2, 3}) {
		t.Errorf("closed are %v", tr.closed)
	}
}

// A letter has one end.
func TestLetterEnd(t *testing.T) {
	ends := 0
	l := &Letter{Done: func(process.ID, []byte, error) { ends++ }}
	l.End(id(0, 0), nil, nil)
	l.End(id(0, 0), nil, errors.New("again"))
	if ends != 1 {
		t.Errorf("%d ends", ends)
	}
}
