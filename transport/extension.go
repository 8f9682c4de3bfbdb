package transport

import (
	"encoding/binary"
	"fmt"
)

// Where the decoder expects a map and meets an extension, v5.4.1 passes over the extension's header and takes what is in it for
// the map. The walk has seen bytes there, not values: so ten bytes could ask for 4 G entries after all, and whatever followed
// would be read from places that the walk never looked at. No extension with such content may reach the decoder.

func isExtension(c byte) bool { return c >= 0xc7 && c <= 0xc9 || c >= 0xd4 && c <= 0xd8 }

// stripExtensions makes binary values of the extensions in a well-formed message, each as long as before: no key that we know
// holds one, and a key that we do not know may hold what it likes.
func stripExtensions(b []byte) {
	for pos := 0; pos < len(b); {
		n, _, _ := step(b[pos:])
		if isExtension(b[pos]) {
			putBinary(b[pos : pos+n])
		}
		pos += n
	}
}

// putBinary makes all of b one binary value.
func putBinary(b []byte) {
	switch n := len(b); {
	case n-2 <= 0xff:
		b[0], b[1] = 0xc4, byte(n-2)
	case n-3 <= 0xffff:
		b[0] = 0xc5
		binary.BigEndian.PutUint16(b[1:], uint16(n-3))
	default:
		b[0] = 0xc6
		binary.BigEndian.PutUint32(b[1:], uint32(n-5))
	}
}

const timestamp = -1 // the one type of extension that msgpack itself defines

// plainExtensions returns a copy of a well-formed value with its timestamps in the form of 96 bits: what is in one of those
// begins as a small number, and cannot be taken for a map. It returns an error for any other extension.
func plainExtensions(b []byte) ([]byte, error) {
	out := make([]byte, 0, len(b)+len(b)/2)
	for pos := 0; pos < len(b); {
		n, _, _ := step(b[pos:])
		if !isExtension(b[pos]) {
			out = append(out, b[pos:pos+n]...)
			pos += n
			continue
		}
		head, size, _ := shape(b[pos:])
		seconds, nanoseconds, ok := readTimestamp(b[pos+head : pos+n])
		if kind := int8(b[pos+head-1]); kind != timestamp || !ok {
			return nil, fmt.Errorf("%w at byte %d: an extension of type %d with %d bytes: of extensions only timestamps are read",
				ErrMalformed, pos, kind, size)
		}
		out = append(out, 0xc7, 12, 0xff)
		out = binary.BigEndian.AppendUint32(out, nanoseconds)
		out = binary.BigEndian.AppendUint64(out, seconds)
		pos += n
	}
	return out, nil
}

// readTimestamp reads the three forms of a timestamp.
func readTimestamp(b []byte) (seconds uint64, nanoseconds uint32, ok bool) {
	switch len(b) {
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), 0, true
	case 8:
		both := binary.BigEndian.Uint64(b)
		seconds, nanoseconds = both&(1<<34-1), uint32(both>>34)
	case 12:
		nanoseconds, seconds = binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:])
	default:
		return 0, 0, false
	}
	return seconds, nanoseconds, nanoseconds < 1e9
}
