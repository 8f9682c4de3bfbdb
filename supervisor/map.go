package supervisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-muster/muster/actors"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// Map runs a registered function once for each argument, each in a rank of its own, and returns the results by rank.
// The spec's Ranks may be empty (this binary is executed again), or hold one command for each argument, whose Env and
// Dir are kept. A restart runs the ranks that are restarted again with the same arguments.
//
// It returns Run's errors, [ErrSpec] when the numbers do not fit, an argument cannot be encoded, or the group is elastic (a group
// that shrinks would lose the arguments of the ranks that it cuts off), and one that wraps
// transport.ErrMalformed when a result is not an R.
func Map[A, R any](ctx context.Context, s Spec, fn worker.Function[A, R], arguments []A, opts ...Option) ([]R, error) {
	s, err := assign(s, fn.Name(), arguments)
	if err != nil {
		return nil, err
	}
	g, err := Start(ctx, s, opts...)
	if err != nil {
		return nil, err
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return decodeResults[R](g.Results())
}

// Call is Map for one argument, in one rank.
func Call[A, R any](ctx context.Context, s Spec, fn worker.Function[A, R], argument A, opts ...Option) (R, error) {
	results, err := Map(ctx, s, fn, []A{argument}, opts...)
	if err != nil {
		var none R
		return none, err
	}
	return results[0], nil
}

// A ResultWriter takes a result as it comes: see [MapTo].
type ResultWriter = actors.ResultWriter

// ErrResultLost is what a [ResultWriter] is closed with when its rank ended before its result was whole.
var ErrResultLost = actors.ErrResultLost

// MapTo is Map for functions whose results are bytes without end. Open is called with the first byte of a rank's result, on a
// goroutine of that rank; what it returns takes the bytes in order, on the same. It is closed with nil when that was all, and
// with another error, such as [ErrResultLost], when there will be no more: then what came is worth nothing, and a later life
// of the rank begins anew, with a writer of its own. A writer that blocks holds its rank back, and no other; a
// group that is stopped waits for it until the grace is over. One that fails or panics fails the rank. An *io.PipeWriter is a ResultWriter.
//
// It returns Run's errors, and [ErrSpec] as Map does.
func MapTo[A any](ctx context.Context, s Spec, fn worker.StreamFunction[A], arguments []A,
	open func(process.ID) (ResultWriter, error), opts ...Option,
) error {
	s, err := assign(s, fn.Name(), arguments)
	if err != nil {
		return err
	}
	return Run(ctx, s, append(opts, func(o *options) { o.result = open })...)
}

// assign gives each rank the function and its argument.
func assign[A any](s Spec, entry string, arguments []A) (Spec, error) {
	if s.Elastic.Fit {
		return s, fmt.Errorf("%w: Elastic: a group with Fit may shrink, and the arguments of the ranks that are cut off would be lost: "+
			"give Map and Call a group of fixed size, and leave Fit out", ErrSpec)
	}
	s.Ranks = append([]process.Command(nil), s.Ranks...)
	if len(s.Ranks) == 0 {
		s.Ranks = Repeat(len(arguments), process.Command{})
	}
	if len(s.Ranks) != len(arguments) {
		return s, fmt.Errorf("%w: %d arguments for %d ranks", ErrSpec, len(arguments), len(s.Ranks))
	}
	for rank := range s.Ranks {
		argument, err := transport.Marshal(arguments[rank])
		if err == nil && len(argument) > maxArgument {
			err = fmt.Errorf("it is %d bytes, the most is %d: let the ranks read it from a file", len(argument), maxArgument)
		}
		if err != nil {
			return s, fmt.Errorf("%w: the argument of rank %d: %w", ErrSpec, rank, err)
		}
		s.Ranks[rank] = call(s.Ranks[rank], entry, argument)
	}
	return s, nil
}

// maxArgument is what one message holds, in bytes, beside its keys.
const maxArgument = transport.MaxMessage - 64

func call(c process.Command, entry string, argument []byte) process.Command {
	reexec := process.Reexec(entry)
	reexec.Env, reexec.Dir, reexec.Argument = c.Env, c.Dir, argument
	return reexec
}

func decodeResults[R any](values [][]byte) ([]R, error) {
	results := make([]R, len(values))
	for rank, value := range values {
		if value == nil {
			return nil, fmt.Errorf("supervisor: rank %d: %w", rank, errors.New("it ended well without a result"))
		}
		if err := transport.Unmarshal(value, &results[rank]); err != nil {
			return nil, fmt.Errorf("supervisor: the result of rank %d: %w", rank, err)
		}
		values[rank] = nil // nobody else has the group: large results need not be there twice, but for one at a time
	}
	return results, nil
}
