package etcd

import (
	"context"
	"encoding/json"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/go-muster/muster/actors/host/discovery"
)

// A record is the value of a member's key.
type record struct {
	discovery.Member
	// Left says that the member went on purpose. Its key stays until its lease ends, so that every reader sees why it goes.
	Left bool `json:"left,omitempty"`

	created int64 // the store's revision when the key was put
}

// Register implements [discovery.Provider]. A member that went with its lease, or was deleted by hand, registers again with the
// same id. It takes up to a second longer than ctx if the store can not be told that the member leaves.
//
// Besides a member that fails its Check it returns what the store refuses: the user name, the password, the permission to write
// and read the member's key.
func (p *Provider) Register(ctx context.Context, m discovery.Member) error {
	if err := m.Check(); err != nil {
		return err
	}
	return p.with(ctx, func(s *session) error {
		r := &registration{session: s, key: p.under(m.Role) + m.ID, record: record{Member: m}}
		for ctx.Err() == nil {
			if err := r.enter(ctx); err != nil {
				return err
			}
			if err := r.stay(ctx); err != nil {
				return err
			}
		}
		r.leave(ctx)
		return nil
	})
}

// A registration is one member's key and the lease that it has at the moment.
type registration struct {
	*session
	key    string
	record record
	lease  clientv3.LeaseID // 0 before the first
	stream pb.Lease_LeaseKeepAliveClient
	end    context.CancelFunc // of the stream
}

// enter takes a lease and puts the key under it, as soon as the store is in reach.
func (r *registration) enter(ctx context.Context) error {
	return r.insist(ctx, func(ctx context.Context) error {
		granted, err := r.Grant(ctx, int64(r.provider.config.TTL.Seconds()))
		if err != nil {
			return err
		}
		r.lease = granted.ID // before the key: it may be put although we are not told
		return r.put(ctx)    // an unused lease ends by itself
	})
}

func (r *registration) put(ctx context.Context) error {
	value, err := json.Marshal(r.record)
	if err != nil {
		return err
	}
	_, err = r.Put(ctx, r.key, string(value), clientv3.WithLease(r.lease))
	return err
}

// stay returns nil when the lease is lost, when the key is gone, or when ctx is done. The lease is renewed every third of its
// time; whether the key still stands is looked up as often.
func (r *registration) stay(ctx context.Context) error {
	defer r.hangUp()
	for present := true; present; {
		pause(ctx, r.provider.config.TTL/3)
		if ctx.Err() != nil {
			return nil
		}
		err := r.insist(ctx, func(ctx context.Context) (err error) {
			if present, err = r.renew(ctx); err != nil || !present {
				return err
			}
			found, err := r.Get(ctx, r.key, clientv3.WithCountOnly())
			present = err != nil || found.Count > 0
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// renew asks for a renewal, on the stream that there is or on a new one, and reports whether the lease still lives. The
// client's own KeepAlive would stay with an endpoint that stands still until the lease has ended.
func (r *registration) renew(ctx context.Context) (alive bool, err error) {
	if r.stream == nil {
		var life context.Context
		life, r.end = context.WithCancel(r.Ctx())
		if r.stream, err = pb.NewLeaseClient(r.ActiveConnection()).LeaseKeepAlive(life); err != nil {
			r.hangUp()
			return false, err
		}
	}
	stop := context.AfterFunc(ctx, r.end)
	defer stop()
	err = r.stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(r.lease)})
	var renewed *pb.LeaseKeepAliveResponse
	if err == nil || err == io.EOF { // io.EOF: Recv knows why
		renewed, err = r.stream.Recv()
	}
	if err != nil {
		r.hangUp()
		return false, err
	}
	return renewed.TTL > 0, nil
}

// hangUp ends the stream, if there is one. The next renewal may reach another endpoint.
func (r *registration) hangUp() {
	if r.end != nil {
		r.end()
	}
	r.stream, r.end = nil, nil
}

// leave says that the member goes on purpose.
func (r *registration) leave(ctx context.Context) {
	if r.lease == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	r.record.Left = true
	_ = r.put(ctx) // its lease tells it otherwise, later
}
