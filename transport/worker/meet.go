package worker

import (
	"context"
	"fmt"

	"github.com/go-muster/muster/transport"
)

// Barrier returns when every rank of the group has called it, or when that cannot be any more: a rank has ended for good,
// or is in another of these calls. A rank that is started again takes its place anew. Each rank can be in one of Barrier,
// Broadcast and AllGather at a time. In a process that no supervisor started it returns at once.
//
// Errors: the context's cause; one that wraps [ErrRefused] and says which rank will not come; the link's.
func Barrier(ctx context.Context) error {
	o := theOffice.Load()
	if o == nil {
		return nil
	}
	return o.call(ctx, "barrier", nil, nil)
}

// AllGather is a Barrier to which every rank brings a value, and from which it takes those of all, by rank. The value is small:
// the encoding of all together is at most 1 MiB.
//
// Errors: those of Barrier, [ErrMessage] wrapped for a value that cannot be sent, and what transport.Unmarshal says of another
// rank's that is no T.
func AllGather[T any](ctx context.Context, value T) ([]T, error) {
	o := theOffice.Load()
	if o == nil {
		return []T{value}, nil
	}
	var encoded [][]byte
	if err := o.call(ctx, "gather", value, &encoded); err != nil {
		return nil, err
	}
	values := make([]T, len(encoded))
	for rank, v := range encoded {
		if err := transport.Unmarshal(v, &values[rank]); err != nil {
			return nil, fmt.Errorf("worker: the value of rank %d: %w", rank, err)
		}
	}
	return values, nil
}

// A broadcast is the argument of muster.broadcast.
type broadcast struct {
	From  int    `msgpack:"from"`
	Value []byte `msgpack:"value,omitempty"`
}

// Broadcast is a Barrier from which every rank takes the value that one of them, the rank called from, brings. What the
// others bring does not count. Errors are those of AllGather; [ErrRefused], too, where there is no such rank.
func Broadcast[T any](ctx context.Context, from int, value T) (T, error) {
	o := theOffice.Load()
	if o == nil {
		return value, nil
	}
	b := broadcast{From: from}
	if from == Environment().Rank {
		var err error
		if b.Value, err = transport.Marshal(value); err != nil {
			return value, fmt.Errorf("%w: %w", ErrMessage, err)
		}
	}
	var encoded []byte
	if err := o.call(ctx, "broadcast", b, &encoded); err != nil {
		return value, err
	}
	var got T
	err := transport.Unmarshal(encoded, &got)
	return got, err
}

// An item is the argument of muster.set and muster.get.
type item struct {
	Key   string `msgpack:"key"`
	Value []byte `msgpack:"value,omitempty"`
	Wait  bool   `msgpack:"wait,omitempty"`
}

// Set keeps a value under a key for all ranks to Get, in place of one that was there. What a rank has set is forgotten when
// the rank is started again. All that is set in a group is at most 64 MiB.
//
// Errors: the context's cause; [ErrMessage], [ErrRefused] and [ErrNoSupervisor] wrapped; the link's.
func Set(ctx context.Context, key string, value any) error {
	o := theOffice.Load()
	if o == nil {
		return ErrNoSupervisor
	}
	encoded, err := transport.Marshal(value)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return o.call(ctx, "set", item{Key: key, Value: encoded}, nil)
}

// Get returns the value that some rank has set under a key, and waits until one has. Errors are those of Set, and what
// transport.Unmarshal says of a value that is no T.
func Get[T any](ctx context.Context, key string) (T, error) {
	value, _, err := get[T](ctx, key, true)
	return value, err
}

// Lookup is Get that does not wait, and reports whether there is a value. Errors are those of Get.
func Lookup[T any](ctx context.Context, key string) (value T, ok bool, err error) {
	return get[T](ctx, key, false)
}

func get[T any](ctx context.Context, key string, wait bool) (value T, ok bool, err error) {
	o := theOffice.Load()
	if o == nil {
		return value, false, ErrNoSupervisor
	}
	var encoded []byte
	if err := o.call(ctx, "get", item{Key: key, Wait: wait}, &encoded); err != nil || encoded == nil {
		return value, false, err
	}
	err = transport.Unmarshal(encoded, &value)
	return value, err == nil, err
}

// call asks the supervisor itself.
func (o *office) call(ctx context.Context, what string, value, answer any) error {
	m, err := newMail(reserved+what, value)
	if err != nil {
		return err
	}
	return o.request(ctx, m, answer)
}
