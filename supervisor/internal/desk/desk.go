// Package desk is the pure core of a group's mailroom: whose message goes where, who waits for which answer, who meets whom.
package desk

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

var (
	// ErrNoRank is the condition of a message to a rank that the group does not have.
	ErrNoRank = errors.New("supervisor: the group has no such rank")
	// ErrEnded is the condition of a message to a rank that has ended, or is between two lives; and of a request to one that
	// ended before it had answered.
	ErrEnded = errors.New("supervisor: the rank has ended")
	// ErrFull is the condition of a loose message to a rank that does not keep up.
	ErrFull = errors.New("supervisor: too many messages wait for the rank")
	// ErrRefused is the condition of a request that was answered with an error.
	ErrRefused = errors.New("supervisor: the rank has refused the request")
	// ErrOver is the condition of a message in a group that has ended.
	ErrOver = errors.New("supervisor: the group has ended")
)

const (
	// looseLetters bounds the messages of actors that wait for one rank or its answer, looseBytes the bytes of those that wait
	// for the rank: an actor that sends does not wait, so that what is too much must be refused.
	looseLetters = 1024
	looseBytes   = 4 << 20
	// mostRequests bounds the requests of one rank that wait for their answers.
	mostRequests = 1024
)

// A Desk is the pure core of the mailroom: whose message goes where, who waits for which answer, who meets whom. It has
// no goroutine and no lock; what is for a rank goes the way that its life was opened with, what is for the user to its courier.
//
// What a rank said dies with its life: requests, and what it has set, are never taken for its next life's (G-3).
type Desk struct {
	courier Courier
	boxes   map[int]*box
	size    int
	over    bool
	absent  []int // ranks that are not there any more, as far as can be told: who went first is first
	meeting meeting
	store   store
}

// A Courier brings the user what a Desk has.
type Courier interface {
	// Present is for the user, who is then heard by Taken and, where the mail has an ID, Replied.
	Present(id process.ID, m *transport.Mail)
	// Closed says that the answer to what was presented with an ID is there, or not wanted any more.
	Closed(id process.ID, number int)
}

// A box is what the desk knows of a rank's newest life.
type box struct {
	id     process.ID
	unborn bool                    // the rank has had no life yet: id says no more than which rank
	post   func(transport.Message) // hands the process a message, and never waits; nil until it has opened
	down   bool                    // the life is over
	credit transport.Balance
	queue  []*Letter
	loose  int             // in the queue or in asked
	bytes  int             // of those in the queue
	last   int             // number of a request to the rank
	asked  map[int]*Letter // requests to the rank
	open   map[int]bool    // requests of the rank to the user
	spent  int             // what was taken of its credit, and not given back
}

// A Letter is a message to a rank.
type Letter struct {
	Rank   int
	Topic  string
	Value  []byte
	Wanted bool // an answer is
	Loose  bool // nobody waits while it is in the queue
	// Done is called once, with the answer if one is wanted, or when the message was handed to the rank's process.
	Done func(process.ID, []byte, error)
	// Mail holds topic and value where they are for this message alone: who sends it releases it. Nil: Value may be anybody's.
	Mail *transport.Mail
	// Answer is what an answer came in, for who has asked to release it.
	Answer *transport.Mail

	number int // in asked
	over   bool
}

// End ends a letter, once.
func (l *Letter) End(id process.ID, value []byte, err error) {
	if !l.over {
		l.over = true
		l.Done(id, value, err)
	}
}

// New returns a desk without ranks.
func New(c Courier) *Desk {
	d := &Desk{courier: c, boxes: map[int]*box{}}
	d.meeting = meeting{desk: d, calls: map[int]request{}}
	d.store = store{desk: d, items: map[string]stored{}, waits: map[string][]request{}, count: map[process.ID]int{}}
	return d
}

func newBox(id process.ID) *box { return &box{id: id, asked: map[int]*Letter{}, open: map[int]bool{}} }

// Expect says that the group is to have that many ranks: what is for one that has had no life yet waits for its first.
func (d *Desk) Expect(size int) {
	d.size = size
	for rank := range size {
		if d.boxes[rank] == nil {
			d.boxes[rank] = newBox(process.ID{Rank: rank})
			d.boxes[rank].unborn = true
		}
	}
}

// Removed says that a rank is none any more. Ended tells of its life, where it had one.
func (d *Desk) Removed(rank int) {
	if b := d.boxes[rank]; b != nil && b.unborn {
		d.close(b, ErrEnded)
	}
}

// Born says that new lives begin, in a group of that size.
func (d *Desk) Born(ids []process.ID, size int) {
	d.size = size
	over := map[int]bool{} // what they have set
	for _, id := range ids {
		d.boxes[id.Rank] = d.succeed(d.boxes[id.Rank], id)
		d.Due(id.Rank)
		over[id.Rank] = id.Generation > 0
	}
	for rank, b := range d.boxes {
		if rank >= size {
			d.close(b, ErrEnded)
			delete(d.boxes, rank)
			d.Due(rank)
			over[rank] = true
		}
	}
	d.store.forget(over)
}

// succeed returns the box of a new life: what waited for the first has come to its place, what was another's has ended.
func (d *Desk) succeed(old *box, id process.ID) *box {
	b := newBox(id)
	switch {
	case old == nil:
	case old.unborn && !old.down:
		b.queue, b.loose, b.bytes = old.queue, old.loose, old.bytes
	default:
		d.close(old, ErrEnded)
	}
	return b
}

// of returns the box of a life, nil when the life is over.
func (d *Desk) of(id process.ID) *box {
	if b := d.boxes[id.Rank]; b != nil && b.id == id && !b.down && !b.unborn {
		return b
	}
	return nil
}

// Opened says that a life can be written to.
func (d *Desk) Opened(id process.ID, post func(transport.Message)) {
	if b := d.of(id); b != nil {
		b.post = post
		d.flush(b) // its credit may have come first
	}
}

// Credited says that a life takes that many more bytes.
func (d *Desk) Credited(id process.ID, bytes int) {
	if b := d.of(id); b != nil {
		b.credit.Grant(bytes)
		d.flush(b)
	}
}

// Ended says that a life is over.
func (d *Desk) Ended(id process.ID) {
	if b := d.of(id); b != nil {
		d.close(b, ErrEnded)
	}
}

// Gone says that a rank will not have another life, unless Due or Born says otherwise: who waits for it waits in vain.
func (d *Desk) Gone(rank int) {
	if !slices.Contains(d.absent, rank) {
		d.absent = append(d.absent, rank)
	}
	d.meeting.gone()
}

// Due says that a rank is about to have a life: to wait for it is not in vain.
func (d *Desk) Due(rank int) {
	d.absent = slices.DeleteFunc(d.absent, func(r int) bool { return r == rank })
}

// close ends all that a life has to do with.
func (d *Desk) close(b *box, why error) {
	if b.down {
		return
	}
	b.down = true
	for _, l := range b.queue {
		l.End(b.id, nil, why)
	}
	for _, l := range b.asked {
		l.End(b.id, nil, why)
	}
	for number := range b.open {
		d.courier.Closed(b.id, number)
	}
	b.queue, b.asked, b.open = nil, nil, nil
	d.meeting.leave(b.id)
	d.store.leave(b.id)
}

// End answers all who wait, and all who come: the group is over.
func (d *Desk) End() {
	d.over = true
	for _, b := range d.boxes {
		d.close(b, ErrOver)
	}
}

// Post takes a message to a rank.
func (d *Desk) Post(l *Letter) {
	b := d.boxes[l.Rank]
	switch {
	case l.over: // withdrawn on its way
	case d.over:
		l.End(process.ID{Rank: l.Rank}, nil, ErrOver)
	case b == nil:
		l.End(process.ID{Rank: l.Rank}, nil, fmt.Errorf("%w: it has ranks 0 to %d", ErrNoRank, d.size-1))
	case b.down:
		l.End(b.id, nil, ErrEnded)
	case l.Loose && (b.loose >= looseLetters || b.bytes >= looseBytes):
		l.End(b.id, nil, ErrFull)
	default:
		b.queue = append(b.queue, l)
		b.hold(l)
		d.flush(b)
	}
}

// hold counts a letter that is put into the queue.
func (b *box) hold(l *Letter) {
	if l.Loose {
		b.loose++
		b.bytes += len(l.Value)
	}
}

// sent counts one that left it, and lets go of its value, which nobody needs twice.
func (b *box) sent(l *Letter) {
	if l.Loose {
		b.bytes -= len(l.Value)
	}
	l.Value, l.Mail = nil, nil
}

// drop counts one that is over.
func (b *box) drop(l *Letter) {
	if l.Loose {
		b.loose--
	}
}

// Withdraw forgets a message whose sender waits no longer.
func (d *Desk) Withdraw(l *Letter) {
	b := d.boxes[l.Rank]
	if l.over || b == nil {
		return
	}
	l.over = true
	if at := slices.Index(b.queue, l); at >= 0 {
		b.queue = slices.Delete(b.queue, at, at+1)
		b.sent(l)
		b.drop(l)
		return
	}
	if b.asked[l.number] == l {
		delete(b.asked, l.number)
		b.drop(l)
	}
}

// flush hands the rank's process what its credit allows, in order.
func (d *Desk) flush(b *box) {
	for b.post != nil && len(b.queue) > 0 {
		l := b.queue[0]
		m := l.Mail
		if m == nil {
			m = &transport.Mail{Topic: l.Topic, Value: l.Value}
		}
		if !b.credit.Spend(m.Cost()) {
			return
		}
		b.queue = b.queue[1:]
		b.sent(l)
		if l.Wanted {
			b.last++
			l.number, m.ID = b.last, b.last
			b.asked[l.number] = l
		} else {
			b.drop(l)
			l.End(b.id, nil, nil)
		}
		b.post(m)
	}
}

// Mailed takes a message of a rank.
func (d *Desk) Mailed(id process.ID, m *transport.Mail) {
	b := d.of(id)
	if b == nil {
		return
	}
	if m.Reply != 0 {
		d.answered(b, m)
		return
	}
	what, ours := strings.CutPrefix(m.Topic, "muster.")
	if !ours {
		d.present(b, m)
		return
	}
	d.Taken(id, m.Cost())
	d.serve(request{id: id, number: m.ID}, what, m.Value)
}

func (d *Desk) answered(b *box, m *transport.Mail) {
	l := b.asked[m.Reply]
	if l == nil {
		return
	}
	delete(b.asked, m.Reply)
	b.drop(l)
	if m.Error != "" {
		l.End(b.id, nil, fmt.Errorf("%w: %s", ErrRefused, m.Error))
		return
	}
	l.Answer = m
	l.End(b.id, m.Value, nil)
}

// present gives the user a message of a rank.
func (d *Desk) present(b *box, m *transport.Mail) {
	if m.ID != 0 {
		if err := b.admit(m.ID); err != nil {
			d.Taken(b.id, m.Cost())
			d.answer(request{b.id, m.ID}, nil, err)
			return
		}
		b.open[m.ID] = true
	}
	d.courier.Present(b.id, m)
}

func (b *box) admit(number int) error {
	switch {
	case b.open[number]:
		return errTwice
	case len(b.open) >= mostRequests:
		return errMany
	}
	return nil
}

var errTwice = errors.New("a request of that number waits for its answer already")

var errMany = fmt.Errorf("more than %d requests wait for their answers", mostRequests)

// Taken says that what a message cost is free again. It goes back by the quarter of the window.
func (d *Desk) Taken(id process.ID, cost int) {
	b := d.of(id)
	if b == nil {
		return
	}
	if b.spent += cost; b.spent >= transport.MailWindow/4 && b.post != nil {
		b.post(&transport.Credit{Bytes: b.spent})
		b.spent = 0
	}
}

// Replied is the user's answer to a rank's request.
func (d *Desk) Replied(id process.ID, number int, value []byte, err error) {
	if b := d.of(id); b != nil && d.closed(b, number) {
		d.answer(request{id, number}, value, err)
	}
}

// closed forgets a request to the user, and reports whether there was one.
func (d *Desk) closed(b *box, number int) bool {
	if !b.open[number] {
		return false
	}
	delete(b.open, number)
	d.courier.Closed(b.id, number)
	return true
}

// A request is one of a rank to the supervisor.
type request struct {
	id     process.ID
	number int // 0: it wants no answer
}

// answer answers a call, if the life that made it still is.
func (d *Desk) answer(c request, value []byte, err error) {
	b := d.of(c.id)
	if b == nil || b.post == nil || c.number == 0 {
		return
	}
	m := &transport.Mail{Reply: c.number, Value: value}
	if err != nil {
		m.Refuse(err)
	}
	m.Limit()
	b.post(m)
}

// answerWith answers calls with a value that is encoded, once for all.
func (d *Desk) answerWith(value any, calls ...request) {
	encoded, err := transport.Marshal(value)
	if err == nil && len(encoded) > transport.MaxMail {
		err = errTooLarge(len(encoded))
	}
	for _, c := range calls {
		d.answer(c, encoded, err)
	}
}

func errTooLarge(size int) error {
	return fmt.Errorf("the answer is of %d bytes, the most is %d", size, transport.MaxMail)
}

var errTopic = errors.New("the supervisor knows no such request")

// serve does what a rank asks of the supervisor itself.
func (d *Desk) serve(c request, what string, value []byte) {
	switch what {
	case "barrier", "gather":
		d.meeting.come(c, what, 0, value)
	case "broadcast":
		var b broadcast
		if d.decode(c, value, &b) {
			d.meeting.come(c, what, b.From, b.Value)
		}
	case "set", "get":
		var k keyed
		if d.decode(c, value, &k) {
			d.store.serve(c, what, k)
		}
	case "cancel":
		var number int
		if d.decode(request{}, value, &number) {
			d.cancel(request{c.id, number})
		}
	default:
		d.answer(c, nil, errTopic)
	}
}

// broadcast is the value of muster.broadcast.
type broadcast struct {
	From  int    `msgpack:"from"`
	Value []byte `msgpack:"value"`
}

func (d *Desk) decode(c request, value []byte, v any) bool {
	err := transport.Unmarshal(value, v)
	if err != nil {
		d.answer(c, nil, err)
	}
	return err == nil
}

// cancel forgets a request whose rank waits no longer.
func (d *Desk) cancel(c request) {
	if b := d.of(c.id); b != nil {
		d.closed(b, c.number)
	}
	if d.meeting.calls[c.id.Rank] == c {
		d.meeting.leave(c.id)
	}
	d.store.cancel(c)
}
