package transport

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// An Exception is an error raised in a worker: a message on the wire, and in Go an error whose causes [errors.Is] and
// [errors.As] walk. The keys and their meaning are those of docs/protocol.md.
type Exception struct {
	Type       string            `msgpack:"type,omitempty" json:"type"`
	Module     string            `msgpack:"module,omitempty" json:"module,omitempty"`
	Message    string            `msgpack:"message,omitempty" json:"message"`
	Traceback  string            `msgpack:"traceback,omitempty" json:"traceback,omitempty"`
	Frames     []Frame           `msgpack:"frames,omitempty" json:"frames,omitempty"`
	Cause      *Exception        `msgpack:"cause,omitempty" json:"cause,omitempty"`
	Context    *Exception        `msgpack:"context,omitempty" json:"context,omitempty"`
	Suppressed bool              `msgpack:"suppressed,omitempty" json:"suppressed,omitempty"`
	Notes      []string          `msgpack:"notes,omitempty" json:"notes,omitempty"`
	Members    []*Exception      `msgpack:"members,omitempty" json:"members,omitempty"`
	Attributes map[string]string `msgpack:"attributes,omitempty" json:"attributes,omitempty"`
	Bases      []string          `msgpack:"bases,omitempty" json:"bases,omitempty"`
	Sentinel   string            `msgpack:"sentinel,omitempty" json:"sentinel,omitempty"`
	Registered string            `msgpack:"registered,omitempty" json:"registered,omitempty"`
	Value      []byte            `msgpack:"value,omitempty" json:"value,omitempty"`
	Truncated  bool              `msgpack:"truncated,omitempty" json:"truncated,omitempty"`

	// Who raised it and when (Unix nanoseconds of the worker's clock): on the outermost exception only.
	Rank       int    `msgpack:"rank,omitempty" json:"-"`
	Generation int    `msgpack:"generation,omitempty" json:"-"`
	PID        int    `msgpack:"pid,omitempty" json:"-"`
	Host       string `msgpack:"host,omitempty" json:"-"`
	Time       int64  `msgpack:"time,omitempty" json:"time,omitempty"`
}

// A Frame is one line of a traceback. Locals are the names of its variables with their values as text, when the worker was
// asked for them: see [EnvLocals].
type Frame struct {
	File     string            `msgpack:"file,omitempty" json:"file"`
	Line     int               `msgpack:"line,omitempty" json:"line"`
	Function string            `msgpack:"function,omitempty" json:"function"`
	Code     string            `msgpack:"code,omitempty" json:"code,omitempty"`
	Locals   map[string]string `msgpack:"locals,omitempty" json:"locals,omitempty"`
}

// Error returns the exception's last line as its language prints it: "ValueError: no learning rate", "panic: boom".
// Go's own carriers of mere text leave their type out.
func (e *Exception) Error() string {
	switch {
	case e.Type == "" || textTypes[e.Type]:
		return e.Message
	case e.Message == "":
		return e.Type
	}
	return e.Type + ": " + e.Message
}

// textTypes are the Go error types that say nothing beyond their text.
var textTypes = map[string]bool{
	"*errors.errorString": true, "*errors.joinError": true, "*fmt.wrapError": true, "*fmt.wrapErrors": true,
}

// Unwrap returns the cause, or else the context when it was not suppressed, and then the members of a group.
func (e *Exception) Unwrap() []error {
	var errs []error
	switch {
	case e.Cause != nil:
		errs = append(errs, e.Cause)
	case e.Context != nil && !e.Suppressed:
		errs = append(errs, e.Context)
	}
	for _, m := range e.Members {
		if m != nil {
			errs = append(errs, m)
		}
	}
	return errs
}

// Is reports whether the exception is the registered sentinel target, or one that is target by its own account, or was made
// from such an error of a registered type: see [RegisterError] and [RegisterErrorType].
func (e *Exception) Is(target error) bool {
	sentinel := sentinelNamed(e.Sentinel)
	return sentinel != nil && errors.Is(sentinel, target) || e.isConcrete(target)
}

// Limit cuts the exception down to the limits of docs/protocol.md and sets Truncated on each part that lost something.
func (e *Exception) Limit() { e.limit(1, &room{exceptions: maxExceptions - 1, locals: maxLocals}) }

// A room is what is left of the limits of a whole tree.
type room struct{ exceptions, locals int }

func (e *Exception) limit(depth int, left *room) {
	e.limitTexts()
	e.limitFrames(left)
	e.Cause = e.keep(e.Cause, depth, left)
	e.Context = e.keep(e.Context, depth, left)
	var members []*Exception
	for _, m := range e.Members {
		if m = e.keep(m, depth, left); m != nil {
			members = append(members, m)
		}
	}
	e.Members = members
}

// keep returns a copy of a related exception within the limits, nil when there is no room for it. As it is a copy,
// exceptions that go round in a circle become a tree, which can be encoded.
func (e *Exception) keep(x *Exception, depth int, left *room) *Exception {
	if x == nil {
		return nil
	}
	if depth >= maxChain || left.exceptions == 0 {
		e.Truncated = true
		return nil
	}
	left.exceptions--
	kept := *x
	kept.limit(depth+1, left)
	return &kept
}

func (e *Exception) limitTexts() {
	for _, s := range []*string{&e.Type, &e.Module, &e.Message, &e.Traceback, &e.Sentinel, &e.Registered, &e.Host} {
		e.cut(s, maxText)
	}
	if len(e.Value) > maxValue { // half of it is nothing
		e.Registered, e.Value, e.Truncated = "", nil, true
	}
	if len(e.Notes) > maxNotes {
		e.Notes, e.Truncated = e.Notes[:maxNotes], true
	}
	for i := range e.Notes {
		e.cut(&e.Notes[i], maxText)
	}
	e.limitBases()
	e.Attributes = e.limitMap(e.Attributes, maxNotes)
}

// limitFrames keeps the first and the last frames. Of variables, those of the innermost frames matter most.
func (e *Exception) limitFrames(left *room) {
	if len(e.Frames) > maxFrames {
		e.Frames = slices.Concat(e.Frames[:maxFrames/2], e.Frames[len(e.Frames)-maxFrames/2:])
		e.Truncated = true
	}
	e.Frames = slices.Clone(e.Frames) // the same exception may stand in a tree twice
	for i := len(e.Frames) - 1; i >= 0; i-- {
		f := &e.Frames[i]
		e.cut(&f.File, maxAttribute*4)
		e.cut(&f.Function, maxAttribute)
		e.cut(&f.Code, maxAttribute)
		f.Locals = e.limitMap(f.Locals, min(maxNotes, left.locals))
		left.locals -= len(f.Locals)
	}
}

// limitBases keeps the nearest base classes.
func (e *Exception) limitBases() {
	if len(e.Bases) > maxBases {
		e.Bases, e.Truncated = e.Bases[:maxBases], true
	}
	for i := range e.Bases {
		e.cut(&e.Bases[i], maxAttribute)
	}
}

// limitMap keeps so many entries of a map, in the order of their keys.
func (e *Exception) limitMap(all map[string]string, limit int) (kept map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if len(kept) == limit || len(k) > maxAttribute {
			e.Truncated = true
			continue
		}
		if kept == nil {
			kept = make(map[string]string)
		}
		v := all[k]
		e.cut(&v, maxAttribute)
		kept[strings.ToValidUTF8(k, "\uFFFD")] = v
	}
	return kept
}

// cut shortens a text to a limit by leaving out its middle.
func (e *Exception) cut(s *string, limit int) {
	if cutMiddle(s, limit) {
		e.Truncated = true
	}
}
