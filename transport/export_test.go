package transport

// Validate is the structural walk alone, without a decoder behind it.
func Validate(b []byte) error {
	_, err := validate(b, len(b))
	return err
}

// The limits that tests hold others to.
const (
	MaxText       = maxText
	MaxFrames     = maxFrames
	MaxChain      = maxChain
	MaxExceptions = maxExceptions
	MaxNotes      = maxNotes
	MaxBases      = maxBases
	MaxAttribute  = maxAttribute
	MaxLocals     = maxLocals
	MaxValue      = maxValue
	MaxDepth      = maxDepth
	MaxElements   = maxElements
)

// Forget has a message say no more what it lies in, for tests that compare.
func Forget(m Message) { keep(m, nil) }
