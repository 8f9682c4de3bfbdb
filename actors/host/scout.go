package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"

	"github.com/go-muster/muster/actors/host/internal/engine"
)

// A scout finds out why a root does not answer. Connections are tried for ever and without a word, as they have to be for a root
// that comes back; a look at one of them tells what is wrong. It is the agent's, but for what it does on its way.
type scout struct {
	probe   func(ctx context.Context, address string) (name string, err error)
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	out     bool
}

// A verdict is what a scout has found.
type verdict struct {
	root, name string
	err        error
}

func newScout(c *tls.Config) *scout {
	s := &scout{probe: func(ctx context.Context, address string) (string, error) { return engine.Probe(ctx, address, c) }}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// end waits until the scout is back.
func (s *scout) end() {
	s.cancel()
	s.running.Wait()
}

// explore sends the scout out when the root has not answered the Join before this one.
func (a *agent) explore() {
	answered := a.answered || a.tries == 0
	a.answered = false
	if a.scout == nil || a.scout.out || answered {
		return
	}
	s, root := a.scout, a.root
	s.out = true
	s.running.Go(func() {
		name, err := s.probe(s.ctx, root)
		a.tell(&verdict{root, name, err})
	})
}

// patientTries is how many Joins a root that is there may leave unanswered before that is strange.
const patientTries = 3

// judge tells what the scout has found, and ends an agent that can never be let in.
func (a *agent) judge(v *verdict) {
	a.scout.out = false
	if a.state != looking || v.root != a.root || a.answered {
		return
	}
	var why *engine.Refusal
	switch {
	case errors.As(v.err, &why) && why.Final() && !a.Stay && a.Join == v.root:
		a.finish(fmt.Errorf("%w (%s): %w", ErrRefused, v.root, v.err))
	case v.err != nil:
		a.hinder(v.err.Error())
	case a.tries > patientTries:
		a.hinder(fmt.Sprintf("it is there, but its answer does not come: it has to reach this host at %s", a.addr))
	default:
		a.hindrance = ""
	}
}

// hinder notes why there is no root yet, and tells when that is news.
func (a *agent) hinder(why string) {
	if a.hindrance != why {
		a.hindrance = why
		a.log("the root cannot be joined yet", "root", a.root, "reason", why)
	}
}

func (a *agent) sought() string {
	switch {
	case a.root == "":
		return "nobody has invited it, or told of one"
	case a.hindrance == "":
		return "it was sought at " + a.root
	}
	return "it was sought at " + a.root + ": " + a.hindrance
}
