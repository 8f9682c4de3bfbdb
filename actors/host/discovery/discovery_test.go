package discovery_test

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/host/discovery"
)

// A member that others could not reach is refused before anything is dialled, and told why.
func TestCheck(t *testing.T) {
	good := discovery.Member{Role: discovery.Host, Name: "a", Addr: "a.example:7071", ID: "a-1"}
	for _, tc := range []struct {
		what   string
		change func(*discovery.Member)
		want   string
	}{
		{"good", func(*discovery.Member) {}, ""},
		{"IPv6", func(m *discovery.Member) { m.Addr = "[fd00::1]:7071" }, ""},
		{"no name", func(m *discovery.Member) { m.Name = "" }, ""},
		{"role", func(m *discovery.Member) { m.Role = "agent" }, `role is "root" or "host", not "agent"`},
		{"no id", func(m *discovery.Member) { m.ID = "" }, `id must be a word`},
		{"slash", func(m *discovery.Member) { m.ID = "a/b" }, `id must be a word without a slash, not "a/b"`},
		{"no port", func(m *discovery.Member) { m.Addr = "a.example" }, `must be HOST:PORT, not "a.example"`},
		{"port 0", func(m *discovery.Member) { m.Addr = "a:0" }, `must be 1 to 65535, not "0"`},
		{"port", func(m *discovery.Member) { m.Addr = "a:70710" }, `must be 1 to 65535, not "70710"`},
		{"no host", func(m *discovery.Member) { m.Addr = ":7071" }, `as others reach it, not ":7071"`},
		{"any host", func(m *discovery.Member) { m.Addr = "0.0.0.0:7071" }, `as others reach it`},
		{"any host, IPv6", func(m *discovery.Member) { m.Addr = "[::]:7071" }, `as others reach it`},
	} {
		m := good
		tc.change(&m)
		switch err := m.Check(); {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.what, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: got %v, want %q", tc.what, err, tc.want)
		}
	}
}

// A list that is known beforehand is shown once, by role and in order, until its reader has enough.
func TestStatic(t *testing.T) {
	list, err := discovery.Static(
		discovery.Member{Role: discovery.Host, Addr: "b:1"},
		discovery.Member{Role: discovery.Root, Addr: "r:1"},
		discovery.Member{Role: discovery.Host, Addr: "a:1"},
	)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var shown [][]discovery.Member
	err = list.Watch(ctx, discovery.Host, func(hosts []discovery.Member) {
		shown = append(shown, hosts)
		cancel()
	})
	want := []discovery.Member{{Role: discovery.Host, Addr: "b:1", ID: "b:1"}, {Role: discovery.Host, Addr: "a:1", ID: "a:1"}}
	if err != nil || len(shown) != 1 || !slices.Equal(shown[0], want) {
		t.Errorf("got %v, %v, want %v once", shown, err, want)
	}
	if err := list.Register(ctx, want[0]); err != nil {
		t.Error(err)
	}
	if err := list.Register(ctx, discovery.Member{}); err == nil {
		t.Error("a member that is nobody was registered")
	}
	if _, err := discovery.Static(discovery.Member{Role: discovery.Host, Addr: "a"}); err == nil {
		t.Error("an address without a port was accepted")
	}
}

// A scripted provider shows what the test wants.
type scripted struct {
	discovery.Provider
	views chan []discovery.Member
	err   error
}

func (s scripted) Watch(_ context.Context, _ discovery.Role, f func([]discovery.Member)) error {
	for view := range s.views {
		f(view)
	}
	return s.err
}

// The last root to register is the one to join, each of them is told of once, and only the newest if nobody listened.
func TestLatest(t *testing.T) {
	root := func(id, addr string) discovery.Member {
		return discovery.Member{Role: discovery.Root, ID: id, Addr: addr}
	}
	one, two, twoAgain := root("1", "one:1"), root("2", "two:1"), root("3", "two:1")
	s := scripted{views: make(chan []discovery.Member), err: errors.New("refused")}
	addrs, wait := discovery.Latest(t.Context(), s, discovery.Root)
	show := func(members ...discovery.Member) { s.views <- members }
	next := func(want string) {
		t.Helper()
		if addr := <-addrs; addr != want {
			t.Errorf("told %q, want %q", addr, want)
		}
	}
	show()
	show(one)
	next("one:1")
	show(one)      // as before
	show(one, two) // the first one is dead, and not yet dropped
	next("two:1")
	show(two)
	show(two, twoAgain) // another life at the same address
	next("two:1")
	show(one)
	show()
	show(two)
	close(s.views)
	if err := wait(); err != s.err {
		t.Errorf("wait returned %v, want what Watch did", err)
	}
	next("two:1")
	if addr, open := <-addrs; open {
		t.Errorf("told %q after the end", addr)
	}
}

// Who finds hosts without a store links neither its client nor gRPC.
func TestLinksNoStore(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "github.com/go-muster/muster/actors/host/discovery").Output()
	if err != nil {
		t.Skip("go list does not run here:", err)
	}
	for line := range strings.Lines(string(out)) {
		if pkg := strings.TrimSpace(line); strings.Contains(pkg, "grpc") || strings.Contains(pkg, "go.etcd.io") {
			t.Errorf("discovery links %s", pkg)
		}
	}
}
