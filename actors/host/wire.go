package host

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"runtime"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/stage"
	"github.com/go-muster/muster/transport"
)

// A span is the versions of what root and agent tell each other that one of them speaks. They speak the highest that both do.
// Join, Refused and Invite, and the header of their frames, are the same in all.
type span struct{ min, max int }

// spoken is what this package speaks.
var spoken = span{1, 1}

func (s span) has(version int) bool { return s.min <= version && version <= s.max }

// String is "version 1", or "versions 1 to 3".
func (s span) String() string {
	if s.min == s.max {
		return fmt.Sprintf("version %d", s.min)
	}
	return fmt.Sprintf("versions %d to %d", s.min, s.max)
}

// A code is the first byte of a message, before its msgpack map.
type code byte

// The messages. Those up to gone are frames outside of any order, the others go in one of the lanes.
const (
	codeJoin    code = 1 // agent to root: I am here
	codeWelcome code = 2 // root to agent: so be it
	codeRefused code = 3 // root to agent: no, because
	codeTick    code = 4 // agent to root: may I go on?
	codeTock    code = 5 // root to agent: for another lease
	codeGone    code = 6 // root to agent: there is no such session
	codeInvite  code = 7 // root to agent: come

	codeLaunched  code = 20 // agent to root
	codeSaid      code = 21
	codeOutput    code = 22
	codeProbed    code = 23
	codeBroken    code = 24
	codeExited    code = 25
	codeChecked   code = 26
	codePort      code = 27
	codeLeaving   code = 28
	codeNotice    code = 29
	codeBeats     code = 30
	codeDeparting code = 31

	codeLaunch   code = 40 // root to agent
	codeArgument code = 41
	codeStop     code = 42
	codeKill     code = 43
	codeDump     code = 44
	codePost     code = 45
	codeSignal   code = 46
	codeCheck    code = 47
	codeTaken    code = 48
	codePortUse  code = 49
	codePortFree code = 50
	codeClosing  code = 51
)

type (
	join struct {
		Min         int      `msgpack:"min"`
		Max         int      `msgpack:"max"`
		Agent       string   `msgpack:"agent"` // random: one agent process
		Life        int      `msgpack:"life"`  // how often it has joined: nothing of the lives before is alive
		Nonce       uint64   `msgpack:"nonce"` // random: who answers it, has been asked
		Name        string   `msgpack:"name"`
		Addr        string   `msgpack:"addr"`  // of its engine, host:port
		Actor       string   `msgpack:"actor"` // the name of its actor there
		Reach       string   `msgpack:"reach"` // where other hosts' ranks reach its ranks
		Token       string   `msgpack:"token,omitempty"`
		Capacity    Capacity `msgpack:"capacity"`
		Containment string   `msgpack:"containment"`
		Muster      string   `msgpack:"muster"`
		System      string   `msgpack:"system"`
		Ports       []int    `msgpack:"ports,omitempty"` // that it holds for whoever meets there
	}
	welcome struct {
		Version int           `msgpack:"version"`
		Session uint64        `msgpack:"session"`
		Nonce   uint64        `msgpack:"nonce"`
		Lease   time.Duration `msgpack:"lease"`
		Root    string        `msgpack:"root"` // random: one root process
	}
	refused struct {
		Nonce  uint64 `msgpack:"nonce"`
		Reason string `msgpack:"reason"`
		Final  bool   `msgpack:"final,omitempty"` // it is no use to ask again
	}
	tick struct {
		N uint64 `msgpack:"n"`
	}
	tock struct {
		N uint64 `msgpack:"n"`
	}
	gone   struct{}
	invite struct {
		Addr string `msgpack:"addr"` // of the root
	}

	launched struct {
		Life uint64 `msgpack:"life"`
		PID  int    `msgpack:"pid,omitempty"`
		Err  *fault `msgpack:"err,omitempty"`
	}
	said struct {
		Life uint64         `msgpack:"life"`
		Kind transport.Kind `msgpack:"kind"`
		Body []byte         `msgpack:"body"`
	}
	output struct {
		Life   uint64         `msgpack:"life"`
		Stream process.Stream `msgpack:"stream"`
		Lines  []byte         `msgpack:"lines"`
	}
	probed struct {
		Life uint64 `msgpack:"life"`
		Err  *fault `msgpack:"err,omitempty"`
	}
	broken struct {
		Life uint64 `msgpack:"life"`
		Err  *fault `msgpack:"err"`
	}
	exited struct {
		Life uint64 `msgpack:"life"`
		Exit exit   `msgpack:"exit"`
	}
	checked struct {
		Ask uint64 `msgpack:"ask"`
		Err *fault `msgpack:"err,omitempty"`
	}
	port struct {
		Number int `msgpack:"number"`
	}
	leaving struct {
		Why string `msgpack:"why"`
	}
	notice struct {
		Text string `msgpack:"text"`
	}
	departing struct {
		Why string `msgpack:"why"` // nothing new is wanted: the agent leaves when its ranks have ended
	}
	beats struct {
		Lives []uint64 `msgpack:"lives"`
	}

	launch struct {
		Life       uint64        `msgpack:"life"`
		Rank       int           `msgpack:"rank"`
		Generation int           `msgpack:"generation"`
		Command    []byte        `msgpack:"command"`            // JSON, without its argument
		Argument   bool          `msgpack:"argument,omitempty"` // that comes in the other lane
		Grace      time.Duration `msgpack:"grace,omitempty"`    // that its group gives it, should the agent leave
	}
	argument struct {
		Life  uint64 `msgpack:"life"`
		Value []byte `msgpack:"value"`
	}
	stop struct {
		Life   uint64        `msgpack:"life"`
		Reason string        `msgpack:"reason"`
		Grace  time.Duration `msgpack:"grace"`
	}
	kill struct {
		Life uint64 `msgpack:"life"`
	}
	dump struct {
		Life uint64 `msgpack:"life"`
	}
	post struct {
		Life uint64         `msgpack:"life"`
		Kind transport.Kind `msgpack:"kind"`
		Body []byte         `msgpack:"body"`
	}
	signal struct {
		Life   uint64         `msgpack:"life"`
		Signal process.Signal `msgpack:"signal"`
	}
	check struct {
		Ask      uint64   `msgpack:"ask"`
		Commands [][]byte `msgpack:"commands"` // JSON
		Count    int      `msgpack:"count"`    // room is wanted for so many
	}
	taken struct {
		Life  uint64 `msgpack:"life"`
		Class int    `msgpack:"class"` // 0 messages, or a process.Stream
		Bytes int    `msgpack:"bytes"`
	}
	portUse struct {
		Number int `msgpack:"number"`
	}
	portFree struct {
		Number int `msgpack:"number"`
	}
	closing struct {
		Why string `msgpack:"why"`
	}
)

// A Capacity is what a host has.
type Capacity struct {
	Slots  int    `msgpack:"slots" json:"slots"`           // ranks it takes
	Bound  bool   `msgpack:"bound,omitempty" json:"bound"` // and no more, whatever the root takes of each host
	CPUs   int    `msgpack:"cpus" json:"cpus"`             // that its ranks may use
	Memory uint64 `msgpack:"memory" json:"memory"`         // bytes; 0 where that is not known
	GPUs   int    `msgpack:"gpus,omitempty" json:"gpus"`   // devices of NVIDIA's that it sees
}

func capacity(slots int) Capacity {
	return Capacity{Slots: cmp.Or(slots, runtime.NumCPU()), Bound: slots > 0, CPUs: runtime.NumCPU(), Memory: memory(), GPUs: gpus()}
}

var codes = map[code]func() any{
	codeJoin: fresh[join], codeWelcome: fresh[welcome], codeRefused: fresh[refused], codeTick: fresh[tick], codeTock: fresh[tock],
	codeGone: fresh[gone], codeInvite: fresh[invite],
	codeLaunched: fresh[launched], codeSaid: fresh[said], codeOutput: fresh[output], codeProbed: fresh[probed],
	codeBroken: fresh[broken], codeExited: fresh[exited], codeChecked: fresh[checked], codePort: fresh[port],
	codeLeaving: fresh[leaving], codeNotice: fresh[notice], codeBeats: fresh[beats], codeDeparting: fresh[departing],
	codeLaunch: fresh[launch], codeArgument: fresh[argument], codeStop: fresh[stop], codeKill: fresh[kill], codeDump: fresh[dump],
	codePost: fresh[post], codeSignal: fresh[signal], codeCheck: fresh[check], codeTaken: fresh[taken],
	codePortUse: fresh[portUse], codePortFree: fresh[portFree], codeClosing: fresh[closing],
}

func fresh[T any]() any { return new(T) }

// errUnknown is of a message that this version does not know: one of a newer version, which is no fault.
var errUnknown = errors.New("host: an unknown message")

// encode never fails: every message is made of what msgpack can hold.
func encode(c code, m any) []byte {
	body, err := transport.Marshal(m)
	if err != nil {
		panic(err)
	}
	return append([]byte{byte(c)}, body...)
}

// decode takes bytes from anywhere. Its errors wrap errUnknown or transport.ErrMalformed.
func decode(b []byte) (any, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty", transport.ErrMalformed)
	}
	make, known := codes[code(b[0])]
	if !known {
		return nil, fmt.Errorf("%w: %d", errUnknown, b[0])
	}
	m := make()
	return m, transport.Unmarshal(b[1:], m)
}

// An exit is a process.Exit on its way.
type exit struct {
	Code    int                `msgpack:"code"`
	Signal  process.Signal     `msgpack:"signal,omitempty"`
	Core    bool               `msgpack:"core,omitempty"`
	Stopped bool               `msgpack:"stopped,omitempty"`
	OOM     bool               `msgpack:"oom,omitempty"`
	Silent  bool               `msgpack:"silent,omitempty"`
	Err     *fault             `msgpack:"err,omitempty"`
	MaxRSS  int64              `msgpack:"max_rss,omitempty"`
	Dump    []byte             `msgpack:"dump,omitempty"`
	CPU     time.Duration      `msgpack:"cpu,omitempty"`
	Stderr  []byte             `msgpack:"stderr,omitempty"`
	Report  string             `msgpack:"report,omitempty"`
	Left    []process.Leftover `msgpack:"left,omitempty"`
}

func exitOf(e process.Exit) exit {
	return exit{
		Code: e.Code, Signal: e.Signal, Core: e.Core, Stopped: e.Stopped, OOM: e.OOM, Silent: e.Silent, Err: faultOf(e.Err),
		MaxRSS: e.MaxRSS, Dump: e.Dump, CPU: e.CPU, Stderr: e.Stderr, Report: e.Report, Left: e.Left,
	}
}

// exit returns the exit as it is here: when it came about is not known by our clock.
func (e exit) exit() process.Exit {
	return process.Exit{
		Code: e.Code, Signal: e.Signal, Core: e.Core, Stopped: e.Stopped, OOM: e.OOM, Silent: e.Silent, Err: e.Err.error(),
		MaxRSS: e.MaxRSS, Dump: e.Dump, CPU: e.CPU, Stderr: e.Stderr, Report: e.Report, Left: e.Left, Ended: time.Now(),
	}
}

// A fault is an error on its way: its text, and the conditions that errors.Is is to find in it.
type fault struct {
	Text string   `msgpack:"text"`
	Is   []string `msgpack:"is,omitempty"`
}

// conditions are those errors of a host's that somebody may ask for.
var conditions = map[string]error{
	"process.ErrLink": process.ErrLink, "process.ErrNoResult": process.ErrNoResult, "process.ErrProbe": process.ErrProbe,
	"process.ErrNotReady": process.ErrNotReady, "process.ErrNoRoom": process.ErrNoRoom, "process.ErrMainNotCalled": process.ErrMainNotCalled,
	"stage.ErrSettings": stage.ErrSettings, "exec.ErrNotFound": exec.ErrNotFound, "exec.ErrDot": exec.ErrDot,
	"fs.ErrNotExist": fs.ErrNotExist, "fs.ErrPermission": fs.ErrPermission, "errors.ErrUnsupported": errors.ErrUnsupported,
	"transport.ErrVersion": transport.ErrVersion, "transport.ErrTooLarge": transport.ErrTooLarge,
	"transport.ErrMalformed": transport.ErrMalformed,
}

const maxFault = 16 << 10 // bytes of an error's text

func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{Text: err.Error()}
	if len(f.Text) > maxFault {
		f.Text = f.Text[:maxFault] + "…"
	}
	for name, condition := range conditions {
		if errors.Is(err, condition) {
			f.Is = append(f.Is, name)
		}
	}
	return f
}

// error returns nil for no fault.
func (f *fault) error() error {
	if f == nil {
		return nil
	}
	return &remoteError{*f}
}

// A remoteError is an error that came about on another host.
type remoteError struct{ fault fault }

func (e *remoteError) Error() string { return e.fault.Text }

// Is finds the conditions that the error had where it came about.
func (e *remoteError) Is(target error) bool {
	for _, name := range e.fault.Is {
		if conditions[name] == target {
			return true
		}
	}
	return false
}

func encodeCommand(c process.Command) []byte {
	c.Argument, c.Host = nil, ""
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // it is data
	}
	return text
}

func decodeCommand(text []byte) (c process.Command, err error) {
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("host: a command that cannot be read: %w", err)
	}
	return c, nil
}
