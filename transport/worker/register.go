package worker

import (
	"context"
	"fmt"

	"github.com/go-muster/muster/transport"
)

// An entry is a registered function with its argument and result still encoded.
type entry struct {
	run       func(ctx context.Context, me Info, argument []byte) (result []byte, err error)
	wantsData bool // an Argument message comes before it may run
}

// entries is filled while the program initialises and only read afterwards.
var entries = map[string]entry{}

// Register names a function that process.Reexec can start as a rank. Call it while the program initialises; it panics
// when the name is empty or taken, as that is a mistake in the program.
func Register(name string, fn func(context.Context, Info) error) {
	register(name, entry{run: func(ctx context.Context, me Info, _ []byte) ([]byte, error) { return nil, fn(ctx, me) }})
}

// A Function is the handle of a registered function from A to R. Its zero value names nothing.
type Function[A, R any] struct{ name string }

// Name returns the name the function is registered under.
func (f Function[A, R]) Name() string { return f.name }

// Func registers a function with an argument and a result, which travel as msgpack, and returns its handle. An argument is at most
// 64 MiB, a result as large as the MaxResult of the supervisor's Spec; see [Stream] for more. Call it while the program initialises
// (a package variable is the usual place); it panics when the name is empty or taken.
func Func[A, R any](name string, fn func(context.Context, Info, A) (R, error)) Function[A, R] {
	register(name, entry{wantsData: true, run: func(ctx context.Context, me Info, argument []byte) ([]byte, error) {
		var a A
		if err := transport.Unmarshal(argument, &a); err != nil {
			return nil, fmt.Errorf("worker: the argument of %q: %w", name, err)
		}
		r, err := fn(ctx, me, a)
		if err != nil {
			return nil, err
		}
		return transport.Marshal(r)
	}})
	return Function[A, R]{name}
}

func register(name string, e entry) {
	if name == "" {
		panic("worker: an entry point needs a name")
	}
	if _, taken := entries[name]; taken {
		panic(fmt.Sprintf("worker: entry point %q is registered twice", name))
	}
	entries[name] = e
}
