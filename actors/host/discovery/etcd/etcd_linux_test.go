package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/go-muster/muster/actors/host/discovery"
	"github.com/go-muster/muster/actors/host/discovery/etcd"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// A reader watches the hosts of a cluster and keeps everything it is shown.
type reader struct {
	mu      sync.Mutex
	views   []string
	reports []error
	changed chan struct{} // closed and replaced by every view and report
}

func (r *reader) add(add func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add()
	if r.changed != nil {
		close(r.changed)
	}
	r.changed = make(chan struct{})
}

// wait returns when cond holds for what the reader was shown.
func (r *reader) wait(t *testing.T, what string, cond func(views []string, reports []error) bool) {
	t.Helper()
	late := time.After(patience)
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed, holds := r.changed, cond(r.views, r.reports)
		r.mu.Unlock()
		if holds {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s: not within %s; shown: %q, reported: %v", what, patience, r.views, r.reports)
		}
	}
}

// shows waits until the members shown are those.
func (r *reader) shows(t *testing.T, ids ...string) {
	t.Helper()
	want := strings.Join(ids, " ")
	r.wait(t, fmt.Sprintf("members %q", want), func(views []string, _ []error) bool {
		return len(views) > 0 && views[len(views)-1] == want
	})
}

// always fails the test if one of the views since the first that had the member lacks it.
func (r *reader) always(t *testing.T, id string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	has := func(view string) bool { return slices.Contains(strings.Fields(view), id) }
	first := slices.IndexFunc(r.views, has)
	if first < 0 || slices.ContainsFunc(r.views[first:], func(view string) bool { return !has(view) }) {
		t.Errorf("member %s was lost on the way: %q", id, r.views)
	}
}

func (r *reader) outOfReach(t *testing.T) {
	t.Helper()
	r.wait(t, "a report that the store is out of reach", func(_ []string, reports []error) bool {
		return len(reports) > 0 && errors.Is(reports[len(reports)-1], discovery.ErrUnreachable)
	})
}

func (r *reader) inReach(t *testing.T) {
	t.Helper()
	r.wait(t, "a report that the store is in reach again", func(_ []string, reports []error) bool {
		return len(reports) > 0 && reports[len(reports)-1] == nil
	})
}

// config is that of cluster "a", in which nobody is dropped before the end of a test, unless it left on purpose.
func (s *server) config() etcd.Config {
	return etcd.Config{Endpoints: []string{s.url}, Cluster: "a", TTL: 2 * time.Second, Grace: 2 * patience}
}

// run calls f until the test or the returned function ends it, which waits for f to return.
func run(t *testing.T, f func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	}()
	end = func() { cancel(); <-done }
	t.Cleanup(end)
	return end
}

func provider(t *testing.T, c etcd.Config) *etcd.Provider {
	t.Helper()
	p, err := etcd.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, c etcd.Config) *reader {
	r := &reader{}
	c.Report = func(err error) { r.add(func() { r.reports = append(r.reports, err) }) }
	p := provider(t, c)
	run(t, func(ctx context.Context) error {
		return p.Watch(ctx, discovery.Host, func(members []discovery.Member) {
			var ids []string
			for _, m := range members {
				ids = append(ids, m.ID)
			}
			slices.Sort(ids)
			r.add(func() { r.views = append(r.views, strings.Join(ids, " ")) })
		})
	})
	return r
}

func host(id string) discovery.Member {
	return discovery.Member{Role: discovery.Host, Name: id, Addr: id + ":7071", ID: id}
}

func register(t *testing.T, c etcd.Config, id string) (leave func()) {
	p := provider(t, c)
	return run(t, func(ctx context.Context) error { return p.Register(ctx, host(id)) })
}

// leases returns which lease each key is under.
func leases(t *testing.T, c *clientv3.Client) map[string]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	found, err := c.Get(ctx, "/muster/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{}
	for _, kv := range found.Kvs {
		all[string(kv.Key)] = kv.Lease
	}
	return all
}

// again waits until all keys there were are under another lease.
func again(t *testing.T, c *clientv3.Client, before map[string]int64) {
	t.Helper()
	processtest.Eventually(t, "all members under new leases", func() bool {
		now := leases(t, c)
		for key, lease := range before {
			if now[key] == 0 || now[key] == lease {
				return false
			}
		}
		return true
	})
}

// Ten members that start at once all see all ten, whatever comes between a list and its watch. Who leaves on purpose is gone
// at once: neither its lease nor its grace ends within the test.
func TestTenAtOnce(t *testing.T) {
	processtest.Check(t)
	s := serve(t)
	c := s.config()
	c.TTL = 2 * patience
	var ids []string
	var readers []*reader
	var leave func()
	for i := range 10 {
		ids = append(ids, fmt.Sprintf("h%d", i))
		readers = append(readers, read(t, c))
		leave = register(t, c, ids[i])
	}
	for _, r := range readers {
		r.shows(t, ids...)
	}
	leave()
	for _, r := range readers {
		r.shows(t, ids[:9]...)
	}
}

// An etcd that stands still for longer than all leases last loses no member: nobody can renew, all leases end, and everybody
// registers again with the same id.
func TestStall(t *testing.T) {
	processtest.Check(t)
	s := serve(t)
	c := s.config()
	r := read(t, c)
	members := []string{"h0", "h1", "h2", "h3"}
	for _, id := range members {
		register(t, c, id)
	}
	r.shows(t, members...)
	store := s.client()
	before := leases(t, store)

	stalled := time.NewTimer(6 * time.Second) // three times as long as a lease: the scenario, not a race
	wake := s.stall()
	r.outOfReach(t)
	<-stalled.C
	wake()
	r.inReach(t)
	again(t, store, before)
	register(t, c, "late") // who is shown with it has been listed since
	r.shows(t, append(members, "late")...)
	for _, id := range members {
		r.always(t, id)
	}
}

// A crash of etcd changes nothing that is shown, and a restart brings it back; so does one of an etcd that has lost everything.
func TestCrash(t *testing.T) {
	for _, loses := range []bool{false, true} {
		t.Run(fmt.Sprintf("loses=%t", loses), func(t *testing.T) {
			processtest.Check(t)
			s := serve(t)
			c := s.config()
			r := read(t, c)
			register(t, c, "h0")
			register(t, c, "h1")
			r.shows(t, "h0", "h1")

			s.kill()
			r.outOfReach(t)
			if loses {
				s.dir = t.TempDir()
			}
			s.start()
			r.inReach(t)
			store := s.client()
			processtest.Eventually(t, "both members in etcd", func() bool { return len(leases(t, store)) == 2 })
			register(t, c, "late")
			r.shows(t, "h0", "h1", "late")
			r.always(t, "h0")
			r.always(t, "h1")
		})
	}
}

// member is a host that nobody gives the time to say that it leaves.
var member = processtest.Helper("etcd member", func() {
	p, err := etcd.New(etcd.Config{Endpoints: []string{os.Getenv("MEMBER_ETCD")}, Cluster: "a", TTL: time.Second})
	if err == nil {
		err = p.Register(context.Background(), host("killed"))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
})

// A member that is killed is shown until its lease and the grace are over; one that lives stays.
func TestKilledMember(t *testing.T) {
	processtest.Check(t)
	command := processtest.Command(t, member)
	s := serve(t)
	command.Env = append(command.Env, "MEMBER_ETCD="+s.url)
	c := s.config()
	c.Grace = time.Second
	r := read(t, c)
	register(t, s.config(), "lives")
	told := &log{exited: make(chan struct{})}
	p, err := process.Local().Launch(process.ID{}, command, told)
	if err != nil {
		t.Fatal(err)
	}
	r.shows(t, "killed", "lives")
	p.Kill()
	<-told.exited
	r.shows(t, "lives")
	r.always(t, "lives")
	if left := leases(t, s.client()); len(left) != 1 {
		t.Errorf("the member was dropped before its lease: etcd has %v", left)
	}
}

// Neither a cluster whose name begins with ours, nor another role, nor what is no member, is seen.
func TestNeighbours(t *testing.T) {
	processtest.Check(t)
	s := serve(t)
	a, ab := s.config(), s.config()
	ab.Cluster = "ab"
	inA, inAB := read(t, a), read(t, ab)
	store := s.client()
	for key, value := range map[string]string{
		"/muster/a/host/junk":  "junk",
		"/muster/a/host/other": `{"role":"host","id":"x","addr":"x:1"}`,
		"/muster/a/host/no":    `{"role":"host","id":"no"}`,
		"/muster/a/hosts/far":  `{"role":"host","id":"far","addr":"far:1"}`,
	} {
		if _, err := store.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	root := host("root")
	root.Role = discovery.Root
	p := provider(t, a)
	run(t, func(ctx context.Context) error { return p.Register(ctx, root) })
	register(t, a, "x-a")
	register(t, ab, "x-ab")
	inA.shows(t, "x-a")
	inAB.shows(t, "x-ab")
	processtest.Eventually(t, "the root's key", func() bool { return leases(t, store)["/muster/a/root/root"] != 0 })
	register(t, a, "y")
	inA.shows(t, "x-a", "y")
}

// A lease that is revoked, and a key that is deleted, by hand: the member registers again, and nobody sees it go.
func TestLostLease(t *testing.T) {
	processtest.Check(t)
	s := serve(t)
	c := s.config()
	r := read(t, c)
	register(t, c, "h0")
	r.shows(t, "h0")
	store := s.client()
	for what, take := range map[string]func(key string, lease int64) error{
		"lease": func(_ string, lease int64) error {
			_, err := store.Revoke(t.Context(), clientv3.LeaseID(lease))
			return err
		},
		"key": func(key string, _ int64) error {
			_, err := store.Delete(t.Context(), key)
			return err
		},
	} {
		before := leases(t, store)
		for key, lease := range before {
			if err := take(key, lease); err != nil {
				t.Fatal(what, err)
			}
		}
		again(t, store, before)
	}
	register(t, c, "late")
	r.shows(t, "h0", "late")
	r.always(t, "h0")
}

// Who looks for a root finds the one that registered last, also while an older one that died is still there.
func TestLatestRoot(t *testing.T) {
	processtest.Check(t)
	s := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	addrs, wait := discovery.Latest(ctx, provider(t, s.config()), discovery.Root)
	root := func(id string) (leave func()) {
		m := host(id)
		m.Role = discovery.Root
		p := provider(t, s.config())
		return run(t, func(ctx context.Context) error { return p.Register(ctx, m) })
	}
	next := func(want string) {
		t.Helper()
		select {
		case addr := <-addrs:
			if addr != want {
				t.Errorf("told %q, want %q", addr, want)
			}
		case <-time.After(patience):
			t.Fatalf("not told %q within %s", want, patience)
		}
	}
	root("z")
	next("z:7071")
	leave := root("a")
	next("a:7071")
	leave()
	next("z:7071")
	cancel()
	if err := wait(); err != nil {
		t.Error(err)
	}
}
