package host

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/transport"
)

// TestVersions: root and agent speak the highest version that both do; where there is none both are told, with what to do, and the
// agent does not ask again.
func TestVersions(t *testing.T) {
	for name, row := range map[string]struct {
		root, agent span
		refused     string
	}{
		"the same":         {root: span{1, 1}, agent: span{1, 1}},
		"a newer agent":    {root: span{1, 1}, agent: span{1, 3}},
		"a newer root":     {root: span{1, 3}, agent: span{1, 1}},
		"a later agent":    {root: span{1, 1}, agent: span{2, 3}, refused: "it speaks versions 2 to 3, this root version 1: use the same release of Muster on both (test there)"},
		"a later root":     {root: span{2, 3}, agent: span{1, 1}, refused: "it speaks version 1, this root versions 2 to 3: use the same release of Muster on both (test there)"},
		"a nonsense agent": {root: span{1, 1}, agent: span{3, 0}, refused: "it speaks versions 3 to 0, this root version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var log journal
			w := newTown(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			w.pool.speaks = row.root
			a := newAgent(w.system, AgentConfig{
				Join: w.system.Address(), Name: "a", Reach: "a.test", Slots: 1, Launcher: actorstest.NewLauncher(t), Muster: "test", Stay: true,
			}, w.system.Address())
			a.speaks = row.agent
			if err := a.open("agent-a"); err != nil {
				t.Fatal(err)
			}
			h := w.reside(a)
			if row.refused == "" {
				if _, err := w.pool.Await(w.ctx, 1, 0, 0); err != nil {
					t.Error(err)
				}
				return
			}
			var err error
			select {
			case err = <-h.done:
				h.done <- nil // for who waits for it
			case <-w.ctx.Done():
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), row.refused) {
				t.Errorf("the agent is told: %v", err)
			}
			if want := "host a (" + w.system.Address() + ") was refused: " + row.refused; !strings.Contains(log.String(), want) {
				t.Errorf("the root is told: %s", log.String())
			}
		})
	}
}

// TestWelcomeOfAnotherVersion: a root that answers in a version that was not offered is not joined, and that is told.
func TestWelcomeOfAnotherVersion(t *testing.T) {
	var log journal
	a := newAgent(newSystem(), AgentConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))}, "")
	a.nonce = 7
	a.enter(&welcome{Version: 2, Nonce: 7, Lease: DefaultLease})
	if want := "it wants to speak version 2, with a lease of 10s: this host speaks version 1"; a.state != looking || !strings.Contains(log.String(), want) {
		t.Errorf("state %d, %s", a.state, log.String())
	}
	a.system.Shutdown()
}

// TestNewerMessages: what this version does not know is no fault, neither a message nor a key of one.
func TestNewerMessages(t *testing.T) {
	if _, err := decode([]byte{200, 0x80}); !errors.Is(err, errUnknown) {
		t.Errorf("a message of a newer version: %v", err)
	}
	body, err := transport.Marshal(map[string]any{"life": 7, "rank": 3, "newer": []string{"than", "this"}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(append([]byte{byte(codeLaunch)}, body...))
	if l, is := m.(*launch); err != nil || !is || l.Life != 7 || l.Rank != 3 {
		t.Errorf("a key of a newer version: %+v, %v", m, err)
	}
}

// A journal is a log that may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
