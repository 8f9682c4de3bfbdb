package supervisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

// Map runs a registered function once for each argument, each in a rank of its own, and returns the results by rank.
// The spec's Ranks may be empty (this binary is executed again), or hold one command for each argument, whose Env and
// Dir are kept. A restart runs the ranks that are restarted again with the same arguments.
//
// It returns Run's errors, [ErrSpec] when the numbers do not fit or an argument cannot be encoded, and one that wraps
// transport.ErrMalformed when a result is not an R.
func Map[A, R any](ctx context.Context, s Spec, fn worker.Function[A, R], arguments []A, opts ...Option) ([]R, error) {
	s.Ranks = append([]process.Command(nil), s.Ranks...)
	if len(s.Ranks) == 0 {
		s.Ranks = Repeat(len(arguments), process.Command{})
	}
	if len(s.Ranks) != len(arguments) {
		return nil, fmt.Errorf("%w: %d arguments for %d ranks", ErrSpec, len(arguments), len(s.Ranks))
	}
	for rank := range s.Ranks {
		argument, err := transport.Marshal(arguments[rank])
		if err != nil {
			return nil, fmt.Errorf("%w: the argument of rank %d: %w", ErrSpec, rank, err)
		}
		s.Ranks[rank] = call(s.Ranks[rank], fn.Name(), argument)
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
	}
	return results, nil
}
