package host_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/host"
	"github.com/go-muster/muster/actors/host/certs"
	"github.com/go-muster/muster/actors/host/internal/engine"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// certified makes certificates for hosts on the loopback interface, by a CA of their own.
func certified(t *testing.T, names ...string) (all []*tls.Config) {
	t.Helper()
	dir := t.TempDir()
	var hosts []string
	for _, n := range names {
		hosts = append(hosts, n+",127.0.0.1")
	}
	if _, err := certs.Create(dir, hosts, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		c, err := certs.Load(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// listenTo opens a pool without agents.
func listenTo(t *testing.T, c *tls.Config) *host.Pool {
	t.Helper()
	pool, err := host.Open(host.Config{Listen: "127.0.0.1:0", TLS: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// TestNoRoot: an agent says at once what keeps it from its root, and at the end as well. It does not go on where that will never
// change, unless it is to stay.
func TestNoRoot(t *testing.T) {
	processtest.Check(t)
	ours, theirs := certified(t, "root", "a"), certified(t, "a")
	secure, plain := listenTo(t, ours[0]).Addr(), listenTo(t, nil).Addr()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	// A root that can be reached and does not answer may not reach this host, whose address is told.
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	t.Cleanup(system.Shutdown)
	mute, err := engine.Start(system, engine.Config{Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mute.Stop)
	for name, row := range map[string]struct {
		root     string
		with     *tls.Config
		patience time.Duration
		stay     bool
		want     error
		text     string
	}{
		"nobody":               {nobody.Addr().String(), ours[1], 3 * time.Second, false, host.ErrNoRoot, "nobody listens there"},
		"a plaintext root":     {plain, ours[1], 3 * time.Second, false, host.ErrNoRoot, "it does not speak TLS: start both with certificates, or both without"},
		"a plaintext agent":    {secure, nil, 3 * time.Second, false, host.ErrNoRoot, "it speaks TLS, and we have no certificate"},
		"mute":                 {mute.Address(), nil, 7 * time.Second, false, host.ErrNoRoot, "its answer does not come: it has to reach this host at 127.0.0.1:"},
		"another CA":           {secure, theirs[0], 0, false, host.ErrRefused, "was issued by another CA than ours"},
		"another CA, and stay": {secure, theirs[0], 3 * time.Second, true, host.ErrNoRoot, "was issued by another CA than ours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits until its patience is over
			var log bytes.Buffer
			err := host.Serve(t.Context(), host.AgentConfig{
				Join: row.root, TLS: row.with, Name: "a", Patience: row.patience, Stay: row.stay,
				Launcher: process.LocalWith(process.Layers{}), Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.root) || !strings.Contains(err.Error(), row.text) {
				t.Errorf("%v, want %v with %q", err, row.want, row.text)
			}
			if n := strings.Count(log.String(), "cannot be joined yet"); row.want == host.ErrNoRoot && n != 1 {
				t.Errorf("it is told %d times:\n%s", n, log.String())
			}
		})
	}
}

// TestNoRootNamesTheRefusal: what the root says against a host for now is in the error of a patience that is over.
func TestNoRootNamesTheRefusal(t *testing.T) {
	processtest.Check(t)
	pool := open(t, host.Config{}, "a")
	err := host.Serve(t.Context(), host.AgentConfig{
		Join: pool.Addr(), Name: "a", Patience: 2 * time.Second, Launcher: process.LocalWith(process.Layers{}),
	})
	if !errors.Is(err, host.ErrNoRoot) || !strings.Contains(err.Error(), "it refuses this host: there is a host a already") {
		t.Error(err)
	}
}

// TestAwaitTellsWhoWasTurnedAway: a root that waits for hosts says whose connection it did not take.
func TestAwaitTellsWhoWasTurnedAway(t *testing.T) {
	processtest.Check(t)
	ours, theirs := certified(t, "root", "a"), certified(t, "a")
	for want, with := range map[string]*tls.Config{
		"127.0.0.1 was turned away: it has no certificate":             {RootCAs: ours[1].RootCAs},
		"127.0.0.1 was turned away: it does not trust our certificate": theirs[0],
	} {
		pool := listenTo(t, ours[0])
		conn, err := tls.Dial("tcp", pool.Addr(), with)
		if err == nil {
			_, _ = conn.Read(make([]byte, 1)) // until it is closed
			conn.Close()
		}
		late := fmt.Errorf("late")
		processtest.Eventually(t, want, func() bool {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(late)
			_, err := pool.Await(ctx, 1, 1, 0)
			return errors.Is(err, late) && strings.Contains(err.Error(), want)
		})
	}
}
