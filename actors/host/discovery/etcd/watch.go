package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/go-muster/muster/actors/host/discovery"
)

const (
	look  = time.Second            // between two lists when nothing changes
	burst = 100 * time.Millisecond // between two lists when much does: a thousand arrivals are not a thousand lists
)

// Watch implements [discovery.Provider]. Keys that are no members are passed over.
//
// It returns an error if the role is none, and what the store refuses: the user name, the password, the permission to read the
// keys of the role.
func (p *Provider) Watch(ctx context.Context, role discovery.Role, f func([]discovery.Member)) error {
	if role != discovery.Root && role != discovery.Host {
		return fmt.Errorf("etcd: the members to watch are of role %q or %q, not %q", discovery.Root, discovery.Host, role)
	}
	return p.with(ctx, func(s *session) error {
		w := &watcher{session: s, prefix: p.under(role), bell: make(chan struct{}, 1)}
		defer w.hush()
		seen := view{grace: p.config.Grace}
		ticks := time.NewTicker(look)
		defer ticks.Stop()
		for {
			records, err := w.list(ctx)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil && final(err):
				return err
			case err != nil:
				seen.outOfReach()
			case seen.listed(records, time.Now()):
				f(seen.members())
			}
			w.wait(ctx, ticks.C)
		}
	})
}

// A watcher lists the keys of a role, and knows when to do so again.
type watcher struct {
	*session
	prefix  string
	listed  time.Time // when the last list began
	through int64     // the store's revision at the last list
	bell    chan struct{}
	ended   chan struct{} // closed when nobody listens for changes any more; nil when nobody does
	cancel  context.CancelFunc
}

// list returns the records of all keys there are, as of one moment.
func (w *watcher) list(ctx context.Context) (records map[string]record, err error) {
	w.listed = time.Now()
	var found *clientv3.GetResponse
	err = w.try(ctx, func(ctx context.Context) (err error) {
		found, err = w.Get(ctx, w.prefix, clientv3.WithPrefix())
		return err
	})
	if err != nil {
		return nil, err
	}
	w.hear(found.Header.Revision)
	records = make(map[string]record, len(found.Kvs))
	for _, kv := range found.Kvs {
		var r record
		id := strings.TrimPrefix(string(kv.Key), w.prefix)
		if json.Unmarshal(kv.Value, &r) == nil && r.ID == id && r.Check() == nil {
			r.created = kv.CreateRevision
			records[id] = r
		}
	}
	return records, nil
}

// hear sees to it that changes after a revision ring the bell. A watch may have ended, because its revision was compacted, and
// waits for what never comes if the store was restored to an earlier one.
func (w *watcher) hear(revision int64) {
	if revision < w.through {
		w.hush()
	}
	w.through = revision
	if w.ended != nil {
		return
	}
	ctx, cancel := context.WithCancel(w.Ctx())
	w.ended, w.cancel = make(chan struct{}), cancel
	go w.ring(ctx, revision+1, w.ended)
}

// ring runs until its watch ends.
func (w *watcher) ring(ctx context.Context, from int64, ended chan<- struct{}) {
	defer close(ended)
	for range w.Watch(ctx, w.prefix, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		select {
		case w.bell <- struct{}{}:
		default: // it will be listed anyway
		}
	}
}

// hush ends the watch, if there is one, and returns when its goroutine has.
func (w *watcher) hush() {
	if w.ended != nil {
		w.cancel()
		<-w.ended
		w.ended = nil
	}
}

// wait returns when it is time for another list, or when ctx is done.
func (w *watcher) wait(ctx context.Context, ticks <-chan time.Time) {
	select {
	case <-w.bell:
		pause(ctx, burst-time.Since(w.listed))
	case <-w.ended: // a list, and then a watch from there
		w.hush()
		pause(ctx, burst-time.Since(w.listed))
	case <-ticks:
	case <-ctx.Done():
	}
}
