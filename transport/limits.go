package transport

// The limits of docs/protocol.md. A writer keeps within them, a reader enforces them.
const (
	// MaxFrame is the largest body of one frame, in bytes. A longer one breaks the link.
	MaxFrame = 1 << 20
	// MaxMessage is the largest sum of unfinished messages on one connection, in bytes.
	MaxMessage = 64 << 20

	maxText       = 64 << 10 // bytes of one text; a longer one keeps both ends
	maxFrames     = 128      // stack frames of one exception
	maxChain      = 16       // depth of causes, contexts and members together
	maxExceptions = 128      // exceptions in one tree
	maxNotes      = 64       // notes, and attributes, of one exception
	maxBases      = 32       // base classes of one exception
	maxAttribute  = 1 << 10  // bytes of one attribute's text, and of one base class's name

	maxDepth    = 64      // nesting of one message's msgpack containers
	maxElements = 1 << 18 // containers' elements in one message; the largest exception within the limits has 180 000
)
