package transport

import (
	"bytes"
	"fmt"
	"io"
	"reflect"

	"github.com/vmihailenco/msgpack/v5"
)

// Marshal returns the msgpack encoding of a value, in the shortest form of every integer. It returns the encoder's error for a
// value that msgpack cannot hold, such as a channel, and an error in place of a panic of the encoder or of the value's own methods.
func Marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	if err := encode(&buf, v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// encode runs under recover: values have methods of their own, and for some, such as an uintptr, the encoder has a panic.
func encode(w io.Writer, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("transport: encode %T: %v", v, p)
		}
	}()
	enc := msgpack.GetEncoder()
	enc.Reset(w)
	enc.UseCompactInts(true)
	enc.UseCompactFloats(false)
	enc.SetSortMapKeys(true)
	if err := enc.Encode(addressable(v)); err != nil {
		return fmt.Errorf("transport: encode %T: %w", v, err)
	}
	msgpack.PutEncoder(enc) // one that failed may hold anything
	return nil
}

// addressable returns a struct or an array as a pointer to a copy: the encoder refuses a field whose methods want its address, such
// as an url.URL, in one that has none.
func addressable(v any) any {
	given := reflect.ValueOf(v)
	if k := given.Kind(); k != reflect.Struct && k != reflect.Array {
		return v
	}
	copied := reflect.New(given.Type())
	copied.Elem().Set(given)
	return copied.Interface()
}

// Unmarshal decodes exactly one msgpack value into v, which must be a pointer. The bytes may come from anywhere: they
// pass a structural walk first, and a panic of the decoder becomes an error. A value nested deeper than 64 containers
// is refused, and so is an extension that is no timestamp. Errors wrap [ErrMalformed].
func Unmarshal(b []byte, v any) error {
	b, err := readable(b)
	if err != nil {
		return err
	}
	return decode(b, v)
}

// readable returns a value that may reach the decoder: b itself or, where it has extensions, a copy.
func readable(b []byte) ([]byte, error) {
	extensions, err := validate(b, len(b))
	if err == nil && extensions {
		b, err = plainExtensions(b)
	}
	return b, err
}

// decode decodes what may reach the decoder.
func decode(b []byte, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: decode %T: %v", ErrMalformed, v, p)
		}
	}()
	if err := msgpack.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: decode %T: %w", ErrMalformed, v, err)
	}
	return nil
}

// isMap reports whether a msgpack value is a map: the decoder would also take an array for a struct, or nil for nothing.
func isMap(b []byte) bool {
	return len(b) > 0 && (b[0]&0xf0 == 0x80 || b[0] == 0xde || b[0] == 0xdf)
}

// unmarshalMessage decodes a body, which it may change.
func unmarshalMessage(body []byte, m Message) error {
	extensions, err := validate(body, maxElements)
	if err != nil {
		return err
	}
	if extensions {
		stripExtensions(body)
	}
	if often, ok := m.(frequent); ok {
		return readFrequent(body, often)
	}
	return decode(body, m)
}

// EncodeMessage returns the body of a message, within the limits of docs/protocol.md: what somebody else's frames carry.
// It returns the encoder's error for a value that msgpack cannot hold.
func EncodeMessage(m Message) ([]byte, error) {
	if long, ok := m.(interface{ Limit() }); ok {
		long.Limit()
	}
	return Marshal(m)
}

// DecodeMessage returns the message of a kind whose body came from anywhere. It returns a *[MessageError] for a body that is
// malformed, out of range, or of a kind that this version does not know.
func DecodeMessage(k Kind, body []byte) (Message, error) {
	m, err := decodeMessage(k, body)
	if m == nil && err == nil {
		return nil, &MessageError{k, fmt.Errorf("%w: an unknown kind", ErrMalformed)}
	}
	return m, err
}

func decodeMessage(k Kind, body []byte) (Message, error) {
	m := newMessage(k)
	if m == nil {
		return nil, nil
	}
	if !isMap(body) {
		return nil, &MessageError{k, fmt.Errorf("%w: the body is not a map", ErrMalformed)}
	}
	if err := unmarshalMessage(body, m); err != nil {
		return nil, &MessageError{k, err}
	}
	if ranged, ok := m.(interface{ check() error }); ok {
		if err := ranged.check(); err != nil {
			return nil, &MessageError{k, err}
		}
	}
	if long, ok := m.(interface{ Limit() }); ok {
		long.Limit()
	}
	return m, nil
}
