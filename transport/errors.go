package transport

import (
	"errors"
	"fmt"
)

var (
	// ErrTooLarge is the condition of a frame or message over its limit. As nothing after it can be trusted, the link
	// is broken.
	ErrTooLarge = errors.New("transport: larger than the protocol allows")
	// ErrVersion is the condition of two sides with no protocol version in common.
	ErrVersion = errors.New("transport: no protocol version in common")
	// ErrMalformed is the condition of a message body that is not the msgpack it should be.
	ErrMalformed = errors.New("transport: malformed message")
)

// A TruncatedError says that the stream ended inside a message: the worker died while it was reporting.
type TruncatedError struct {
	Kind Kind   // what was being sent, 0 when not even the header arrived
	Body []byte // the part of the body that did arrive
}

// Error returns what was cut off and after how many bytes.
func (e *TruncatedError) Error() string {
	if e.Kind == 0 {
		return "transport: the stream ended inside a frame header"
	}
	return fmt.Sprintf("transport: the stream ended inside a message (%v, %d bytes arrived)", e.Kind, len(e.Body))
}

// A MessageError says that one message was dropped because its body could not be decoded. The stream goes on after it.
type MessageError struct {
	Kind Kind
	Err  error // wraps ErrMalformed
}

// Error returns the kind of the dropped message and what was wrong with it.
func (e *MessageError) Error() string { return fmt.Sprintf("%v (%v dropped)", e.Err, e.Kind) }

// Unwrap returns what was wrong with the message.
func (e *MessageError) Unwrap() error { return e.Err }
