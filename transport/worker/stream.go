package worker

import (
	"context"
	"fmt"
	"io"

	"github.com/go-muster/muster/transport"
)

// A StreamFunction is the handle of a registered function with an argument of type A and bytes without end as its result.
// Its zero value names nothing.
type StreamFunction[A any] struct{ name string }

// Name returns the name the function is registered under.
func (f StreamFunction[A]) Name() string { return f.name }

// Stream registers a function whose result is what it writes to out, of any size: supervisor.MapTo takes it as it comes, and
// a writer that it gives it to which does not keep up holds the function back. Call it while the program initialises; it
// panics when the name is empty or taken.
func Stream[A any](name string, fn func(ctx context.Context, me Info, argument A, out io.Writer) error) StreamFunction[A] {
	register(name, entry{wantsData: true, run: func(ctx context.Context, me Info, argument []byte) ([]byte, error) {
		var a A
		if err := transport.Unmarshal(argument, &a); err != nil {
			return nil, fmt.Errorf("worker: the argument of %q: %w", name, err)
		}
		out := &partWriter{office: theOffice.Load()}
		if err := fn(ctx, me, a, out); err != nil {
			return nil, err
		}
		return nil, out.flush()
	}})
	return StreamFunction[A]{name}
}

// A partWriter sends what is written to it in pieces of a size that is worth a message.
type partWriter struct {
	office *office
	buf    []byte
}

// Write keeps or sends b.
func (w *partWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if w.buf == nil {
			w.buf = make([]byte, 0, transport.MaxPart)
		}
		room := min(transport.MaxPart-len(w.buf), len(b))
		w.buf, b, n = append(w.buf, b[:room]...), b[room:], n+room
		if len(w.buf) == transport.MaxPart {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// flush sends what is left, and be it nothing: that a result is empty must be told, too.
func (w *partWriter) flush() error {
	err := w.office.part(w.buf)
	w.buf = w.buf[:0]
	return err
}

// part sends a piece of the result once there is credit for it.
func (o *office) part(piece []byte) error {
	p := &transport.Part{Value: piece}
	if err := o.credit.Await(context.Background(), p.Cost()); err != nil {
		return err
	}
	return o.conn.Send(p)
}

// parts sends all but the last piece of a large value, which it returns.
func (o *office) parts(value []byte) ([]byte, error) {
	for len(value) > transport.MaxPart {
		if err := o.part(value[:transport.MaxPart]); err != nil {
			return nil, err
		}
		value = value[transport.MaxPart:]
	}
	return value, nil
}
