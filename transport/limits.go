package transport

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// The limits of docs/protocol.md. A writer keeps within them, a reader enforces them.
const (
	// MaxFrame is the largest body of one frame, in bytes. A longer one breaks the link.
	MaxFrame = 1 << 20
	// MaxMessage is the largest sum of unfinished messages on one connection, in bytes.
	MaxMessage = 64 << 20

	maxText       = 64 << 10 // bytes of one text; a longer one keeps both ends
	maxFrames     = 128      // stack frames of one exception
	maxChain      = 16       // depth of causes, contexts and members together
	maxUnwrap     = 10_000   // links of a chain of Go errors that are followed to its end
	maxExceptions = 128      // exceptions in one tree
	maxNotes      = 64       // notes, and attributes, of one exception; variables of one frame
	maxBases      = 32       // base classes of one exception
	maxAttribute  = 1 << 10  // bytes of one attribute's text, of one variable's, and of one base class's name
	maxLocals     = 1 << 10  // variables in one tree; 64 of one frame
	maxValue      = 64 << 10 // bytes of the value of an error of a registered type; a longer one is dropped

	maxSDK      = 64        // bytes of the name of a worker's SDK
	maxProgress = 256       // bytes of the text of a progress; a longer one keeps its beginning
	maxDump     = 256 << 10 // bytes of a dump; a longer one keeps both ends

	maxDepth    = 64      // nesting of one message's msgpack containers
	maxElements = 1 << 18 // containers' elements in one message; the largest exception within the limits has 186 000
)

// Limit cuts the name of the SDK down to the limit of docs/protocol.md.
func (h *Hello) Limit() { cutEnd(&h.SDK, maxSDK) }

// Limit cuts the count and the text down to the limits of docs/protocol.md.
func (p *Progress) Limit() {
	p.Count = min(p.Count, math.MaxInt64)
	cutEnd(&p.Text, maxProgress)
}

func (p *Progress) check() error {
	if p.Count > math.MaxInt64 { // as the decoder makes of a negative number
		return fmt.Errorf("%w: a count out of range", ErrMalformed)
	}
	return nil
}

// Limit cuts the text down to the limit of docs/protocol.md, by leaving out its middle.
func (d *Dump) Limit() { cutMiddle(&d.Text, maxDump) }

// cutMiddle shortens a text to a limit by leaving out its middle, and reports whether it did: the first and the last lines
// of an error matter most.
func cutMiddle(s *string, limit int) bool {
	toValid(s)
	if len(*s) <= limit {
		return false
	}
	const marker = "\n… left out …\n"
	half := (limit - len(marker)) / 2
	*s = strings.ToValidUTF8((*s)[:half], "") + marker + strings.ToValidUTF8((*s)[len(*s)-half:], "")
	return true
}

// cutEnd shortens a text of one line to a limit.
func cutEnd(s *string, limit int) {
	toValid(s)
	if len(*s) > limit {
		const marker = "…"
		*s = strings.ToValidUTF8((*s)[:limit-len(marker)], "") + marker
	}
}

func toValid(s *string) {
	if !utf8.ValidString(*s) {
		*s = strings.ToValidUTF8(*s, "\uFFFD")
	}
}
