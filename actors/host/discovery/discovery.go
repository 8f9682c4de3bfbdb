// Package discovery is how the root and the hosts of a group find each other, where nobody was told the other's address.
//
//	store, err := etcd.New(etcd.Config{Endpoints: []string{"https://etcd:2379"}, Cluster: "train"})
//	…
//	go store.Register(ctx, discovery.Member{Role: discovery.Host, Name: "a", Addr: "a.example:7071", ID: id})
//	roots, wait := discovery.Latest(ctx, store, discovery.Root) // roots is for host.AgentConfig
//
// A [Provider] only says where somebody can be spoken to. That a host is lost is never concluded from here: the leases between
// root and host decide that, and they hold while the store of a Provider is down.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Role says what a [Member] is to the group.
type Role string

// The roles there are.
const (
	Root Role = "root" // the one that supervises
	Host Role = "host" // a machine that runs ranks
)

// A Member is somebody who can be spoken to.
type Member struct {
	Role Role   `json:"role"`
	Name string `json:"name,omitempty"` // for people, and to place ranks by; hosts have different ones
	Addr string `json:"addr"`           // HOST:PORT as the others must dial it
	// ID is one life of the member: chosen anew by each process, kept by it when it has to register again. It contains neither
	// slash nor space.
	ID string `json:"id"`
}

// Check returns an error that says what is wrong with a Member that is about to register.
func (m Member) Check() error {
	if m.Role != Root && m.Role != Host {
		return fmt.Errorf("discovery: a member's role is %q or %q, not %q", Root, Host, m.Role)
	}
	if m.ID == "" || strings.ContainsAny(m.ID, "/ \t\n") {
		return fmt.Errorf("discovery: a member's id must be a word without a slash, not %q", m.ID)
	}
	return checkAddr(m.Addr)
}

// checkAddr refuses what others could not dial.
func checkAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("discovery: a member's address must be HOST:PORT, not %q", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("discovery: the port of a member's address must be 1 to 65535, not %q", port)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return fmt.Errorf("discovery: a member's address must name the host as others reach it, not %q", addr)
	}
	return nil
}

// ErrUnreachable is the condition of a store that does not answer. A [Provider] waits for it, and reports it meanwhile.
var ErrUnreachable = errors.New("discovery: the store is out of reach")

// A Provider is a place where members meet. It may be used from several goroutines.
//
// A store that is out of reach is waited for. Only what can never work is an error: a member that fails its Check, credentials
// that are refused.
type Provider interface {
	// Register makes m known until ctx is done, and returns nil then; the others see it leave at once, if the store can still
	// be told.
	Register(ctx context.Context, m Member) error
	// Watch calls f with all members of a role, in the order in which they registered: once it knows them, even if there are
	// none, and after each change, always from the same goroutine and with a slice that f may keep. Who had to register again
	// keeps its place. It returns nil when ctx is done. What it shows does not change while the store is out of reach.
	Watch(ctx context.Context, role Role, f func([]Member)) error
}

// Latest returns a channel that tells where the member of a role that registered last can be spoken to, whenever that is
// another one: where a root has died and its successor is there already, it is the successor's. An address that nobody has
// taken gives way to the next. The channel is closed when ctx is done, or Watch has failed; wait returns its error then.
func Latest(ctx context.Context, p Provider, role Role) (addrs <-chan string, wait func() error) {
	out, done := make(chan string, 1), make(chan struct{})
	var failed error
	go func() {
		defer close(done)
		defer close(out)
		var told Member
		failed = p.Watch(ctx, role, func(members []Member) {
			if len(members) == 0 || members[len(members)-1] == told {
				return
			}
			told = members[len(members)-1]
			select {
			case <-out:
			default:
			}
			out <- told.Addr
		})
	}()
	return out, func() error { <-done; return failed }
}

// Static is a Provider for members that are known beforehand, in this order. Those without an ID have their address for one; Register makes
// nobody known. It returns an error if one of them fails its Check.
func Static(members ...Member) (Provider, error) {
	members = slices.Clone(members)
	for i := range members {
		if members[i].ID == "" {
			members[i].ID = members[i].Addr
		}
		if err := members[i].Check(); err != nil {
			return nil, err
		}
	}
	return static(members), nil
}

type static []Member

func (static) Register(ctx context.Context, m Member) error {
	if err := m.Check(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (s static) Watch(ctx context.Context, role Role, f func([]Member)) error {
	f(slices.DeleteFunc(slices.Clone([]Member(s)), func(m Member) bool { return m.Role != role }))
	<-ctx.Done()
	return nil
}
