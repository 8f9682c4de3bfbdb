package transport

import (
	"fmt"
	"time"
)

// Version is the protocol version this package speaks.
const Version = 1

// A Kind is the number of a message on the wire.
type Kind uint8

// The kinds of docs/protocol.md.
const (
	KindHello     Kind = 1
	KindWelcome   Kind = 2
	KindReady     Kind = 3
	KindException Kind = 4
	KindResult    Kind = 5
	KindHeartbeat Kind = 6
	KindProgress  Kind = 7
	KindMail      Kind = 8
	KindStop      Kind = 9
	KindDump      Kind = 10
	KindArgument  Kind = 11
	KindCredit    Kind = 12
	KindPart      Kind = 13
)

// String returns the kind's name, or its number when it has none.
func (k Kind) String() string {
	if m := newMessage(k); m != nil {
		return fmt.Sprintf("%T", m)[len("*transport."):]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// A Message is one of *Hello, *Welcome, *Ready, *Exception, *Result, *Heartbeat, *Progress, *Mail, *Stop, *Dump, *Argument,
// *Credit and *Part.
type Message interface {
	// Kind returns the number that names the message on the wire.
	Kind() Kind
}

// Hello is a worker's first message: who it is and which protocol versions it speaks.
type Hello struct {
	Min int    `msgpack:"min"`
	Max int    `msgpack:"max"`
	PID int    `msgpack:"pid"`
	SDK string `msgpack:"sdk"`
}

// Welcome answers Hello with the version to use (0: none in common) and the interval between heartbeats (0: none). Dumps
// says that a Dump may come; a worker that is promised neither heartbeats nor dumps need not listen. Credit is its first credit,
// in bytes: see [Credit].
type Welcome struct {
	Version   int           `msgpack:"version"`
	Heartbeat time.Duration `msgpack:"heartbeat"`
	Dumps     bool          `msgpack:"dumps,omitempty"`
	Credit    int           `msgpack:"credit,omitempty"`
}

// Ready says that the worker is about to run the user's code.
type Ready struct{}

// Result says that the work ended well. Value is the msgpack encoding of what it returned, nil when it has no value; the
// pieces that came as Part before go before it.
type Result struct {
	Value []byte `msgpack:"value,omitempty"`
}

// Heartbeat says that the worker is alive; Time is its own clock in Unix nanoseconds.
type Heartbeat struct {
	Seq  int   `msgpack:"seq"`
	Time int64 `msgpack:"time"`
}

// Progress says how far the work is: a count of the worker's own that only grows, at most 1<<63 - 1, and a short text.
type Progress struct {
	Count uint64 `msgpack:"count"`
	Text  string `msgpack:"text,omitempty"`
}

// Stop asks the worker to end by itself; it is killed after Grace.
type Stop struct {
	Reason string        `msgpack:"reason"`
	Grace  time.Duration `msgpack:"grace"`
}

// Dump asks the worker for its stacks, and is the worker's answer: those of all its goroutines or threads as its language
// prints them.
type Dump struct {
	Text string `msgpack:"text,omitempty"`
}

// Argument carries the msgpack encoding of the argument of a registered function.
type Argument struct {
	Value []byte `msgpack:"value,omitempty"`
}

func (*Hello) Kind() Kind     { return KindHello }
func (*Welcome) Kind() Kind   { return KindWelcome }
func (*Ready) Kind() Kind     { return KindReady }
func (*Exception) Kind() Kind { return KindException }
func (*Result) Kind() Kind    { return KindResult }
func (*Heartbeat) Kind() Kind { return KindHeartbeat }
func (*Progress) Kind() Kind  { return KindProgress }
func (*Stop) Kind() Kind      { return KindStop }
func (*Dump) Kind() Kind      { return KindDump }
func (*Argument) Kind() Kind  { return KindArgument }

// newMessage returns an empty message of a kind, nil for a kind this version does not know.
func newMessage(k Kind) Message {
	switch k {
	case KindHello:
		return new(Hello)
	case KindWelcome:
		return new(Welcome)
	case KindReady:
		return new(Ready)
	case KindException:
		return new(Exception)
	case KindResult:
		return new(Result)
	case KindHeartbeat:
		return new(Heartbeat)
	case KindProgress:
		return new(Progress)
	case KindStop:
		return new(Stop)
	case KindDump:
		return new(Dump)
	case KindArgument:
		return new(Argument)
	case KindMail:
		return new(Mail)
	case KindCredit:
		return new(Credit)
	case KindPart:
		return new(Part)
	}
	return nil
}
