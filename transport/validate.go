package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// validate walks one msgpack value without recursion or allocation and reports why it must not reach the decoder:
// v5.4.1 of the decoder trusts the lengths it reads, so that five bytes can ask for 64 GiB (and a fatal error, not a
// panic), and it recurses as deep as its input says. Each element takes a byte at least, so all containers together
// may never miss more of them than there are bytes left; elements is a further bound on their sum. It tells whether there are
// extensions: see stripExtensions.
func validate(b []byte, elements int) (extensions bool, err error) {
	var open [maxDepth]int // values still missing in each open container, outermost first
	depth, missing := 0, 1
	for pos := 0; ; {
		n, kids, err := step(b[pos:])
		if err != nil {
			return false, fmt.Errorf("%w at byte %d: %w", ErrMalformed, pos, err)
		}
		extensions = extensions || isExtension(b[pos])
		pos += n
		missing += kids - 1
		elements -= kids
		if missing > len(b)-pos && kids > 0 || elements < 0 {
			return false, fmt.Errorf("%w at byte %d: %d elements announced", ErrMalformed, pos, kids)
		}
		if kids > 0 {
			if depth == maxDepth {
				return false, fmt.Errorf("%w at byte %d: nested deeper than %d", ErrMalformed, pos, maxDepth)
			}
			open[depth] = kids
			depth++
			continue
		}
		for depth > 0 {
			if open[depth-1]--; open[depth-1] > 0 {
				break
			}
			depth--
		}
		if depth == 0 {
			return extensions, trailing(b, pos)
		}
	}
}

func trailing(b []byte, pos int) error {
	if pos < len(b) {
		return fmt.Errorf("%w at byte %d: trailing bytes", ErrMalformed, pos)
	}
	return nil
}

// step measures the value at the start of b: its own bytes without its elements, and the number of its elements.
func step(b []byte) (n, kids int, err error) {
	if len(b) == 0 {
		return 0, 0, errShort
	}
	head, size, kids := shape(b)
	if head == 0 {
		return 0, 0, fmt.Errorf("reserved code 0x%02x", b[0])
	}
	if head > len(b) || size > len(b)-head {
		return 0, 0, errShort
	}
	return head + size, kids, nil
}

var errShort = errors.New("value ends too early")

// shape returns the length of a value's header, of its payload, and the number of its elements. The header may be longer
// than b, in which case the other two mean nothing. A header of 0 is the one code that msgpack reserves.
func shape(b []byte) (head, size, kids int) {
	switch c := b[0]; {
	case c <= 0x7f, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3: // small ints, nil, booleans
		return 1, 0, 0
	case c <= 0x8f: // fixmap
		return 1, 0, 2 * int(c&0x0f)
	case c <= 0x9f: // fixarray
		return 1, 0, int(c & 0x0f)
	case c <= 0xbf: // fixstr
		return 1, int(c & 0x1f), 0
	case c == 0xc1:
		return 0, 0, 0
	case c <= 0xc6: // bin 8, 16, 32
		w := 1 << (c - 0xc4)
		return 1 + w, length(b, w), 0
	case c <= 0xc9: // ext 8, 16, 32, with a type byte
		w := 1 << (c - 0xc7)
		return 2 + w, length(b, w), 0
	case c <= 0xcb: // float 32, 64
		return 1, 4 << (c - 0xca), 0
	case c <= 0xcf: // uint 8 … 64
		return 1, 1 << (c - 0xcc), 0
	case c <= 0xd3: // int 8 … 64
		return 1, 1 << (c - 0xd0), 0
	case c <= 0xd8: // fixext 1 … 16, with a type byte
		return 2, 1 << (c - 0xd4), 0
	case c <= 0xdb: // str 8, 16, 32
		w := 1 << (c - 0xd9)
		return 1 + w, length(b, w), 0
	case c <= 0xdd: // array 16, 32
		w := 2 << (c - 0xdc)
		return 1 + w, 0, length(b, w)
	default: // map 16, 32
		w := 2 << (c - 0xde)
		return 1 + w, 0, 2 * length(b, w)
	}
}

// length reads the big-endian length of w bytes after the code, 0 when it is not all there. A length near 2³² is more
// than any buffer has; it is cut so that neither it nor twice of it overflows an int of 32 bits.
func length(b []byte, w int) int {
	if len(b) < 1+w {
		return 0
	}
	switch w {
	case 1:
		return int(b[1])
	case 2:
		return int(binary.BigEndian.Uint16(b[1:]))
	}
	return int(min(binary.BigEndian.Uint32(b[1:]), math.MaxInt32/2))
}
