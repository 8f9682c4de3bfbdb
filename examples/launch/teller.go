package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/go-muster/muster/actors/host"
)

// A teller makes lines for people of what a pool or an agent logs. They are written by a goroutine: whoever does not read them must
// not hold up leases. It is a slog.Handler.
type teller struct {
	lines  chan string
	done   sync.WaitGroup
	mu     sync.RWMutex
	quiet  bool  // nothing is new any more
	astray error // why the store where launches and agents meet does not answer; nil when it does
	over   bool
}

// unread is how many lines wait for who reads them; those beyond are lost.
const unread = 1000

func newTeller(say func(format string, args ...any)) *teller {
	t := &teller{lines: make(chan string, unread)}
	t.done.Go(func() {
		for line := range t.lines {
			say("%s", line)
		}
	})
	return t
}

// say writes a line, soon.
func (t *teller) say(format string, args ...any) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.quiet {
		return
	}
	select {
	case t.lines <- fmt.Sprintf(format, args...):
	default:
	}
}

// reach says that the store where launches and agents meet does not answer, or does again.
func (t *teller) reach(err error) {
	t.mu.Lock()
	t.astray = err
	t.mu.Unlock()
	if err == nil {
		t.say("etcd answers again")
		return
	}
	t.say("--etcd: %s: it is waited for; see whether it runs there, or join without it (launch agent --join)", oneLine(err))
}

// strayed is what is added to the news that nobody was found, when that is why.
func (t *teller) strayed() string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.astray == nil {
		return ""
	}
	return "; --etcd: " + oneLine(t.astray)
}

// hush keeps back whatever comes from now on: that of an end that was told of.
func (t *teller) hush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.quiet = true
}

// end waits until all lines are written.
func (t *teller) end() {
	t.hush()
	t.mu.Lock()
	first := !t.over
	t.over = true
	t.mu.Unlock()
	if first {
		close(t.lines)
	}
	t.done.Wait()
}

// Enabled leaves out what is for who looks for a fault in Muster.
func (t *teller) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle writes a line.
func (t *teller) Handle(_ context.Context, r slog.Record) error {
	text := phrases[r.Message]
	if text == "" {
		text = r.Message
	}
	var parts []string
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case nil:
		case host.Host:
			parts = append(parts, describeHost(v))
		case error:
			parts = append(parts, oneLine(v))
		case string:
			parts = append(parts, v)
		case int64:
			parts = append(parts, count(int(v), strings.TrimSuffix(a.Key, "s")))
		default:
			parts = append(parts, fmt.Sprintf("%s %v", a.Key, v))
		}
		return true
	})
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	t.say("%s", text)
	return nil
}

// phrases are what pool and agent log, in words of the command line.
var phrases = map[string]string{
	"joined":           "joined the launch",
	"the root is left": "the launch is left",
	"the root is left, and its ranks are killed": "the launch is left, and what runs for it is killed",
	"the root is left when the ranks have ended": "the launch is left when what runs for it has ended",
	"the root cannot be joined yet":              "no launch can be joined yet",
}

// WithAttrs returns the same handler: nobody who logs here uses it.
func (t *teller) WithAttrs([]slog.Attr) slog.Handler { return t }

// WithGroup returns the same handler.
func (t *teller) WithGroup(string) slog.Handler { return t }
