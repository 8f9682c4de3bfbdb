package transport_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/go-muster/muster/transport"
)

// TestBalance: a message goes while there is credit at all, whatever it costs; an answer always goes.
func TestBalance(t *testing.T) {
	var b transport.Balance
	spend := func(cost int, want bool) {
		t.Helper()
		if got := b.Spend(cost); got != want {
			t.Fatalf("Spend(%d) = %v", cost, got)
		}
	}
	spend(1, false)
	spend(0, true)
	b.Grant(10)
	spend(1000, true)
	spend(1, false)
	b.Grant(990)
	spend(1, false)
	b.Grant(1)
	spend(1, true)
	b.Grant(1 << 40) // whatever the other side says
	b.Grant(1 << 40)
	spend(transport.MaxMessage, true)
	spend(1, false)
}

// TestBalanceAwait: whoever waits goes when there is credit, and not before; a context or the end sets it free.
func TestBalanceAwait(t *testing.T) {
	var b transport.Balance
	ctx, cancel := context.WithCancelCause(context.Background())
	errEnough, errOver := errors.New("enough"), errors.New("over")
	cancel(errEnough)
	if err := b.Await(ctx, 1); err != errEnough {
		t.Fatalf("Await = %v", err)
	}
	var sent sync.WaitGroup
	for range 8 {
		sent.Go(func() {
			if err := b.Await(t.Context(), 3); err != nil {
				t.Errorf("Await = %v", err)
			}
		})
	}
	for range 8 {
		b.Grant(3)
	}
	sent.Wait()
	if b.Spend(1) {
		t.Error("credit is left over")
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if err := b.Await(t.Context(), 1); err != errOver {
			t.Errorf("Await = %v", err)
		}
	})
	b.Close(errOver)
	b.Close(errEnough) // the first counts
	waiting.Wait()
}

// TestMailOutOfRange: what no writer of ours sends is dropped, and the link stays.
func TestMailOutOfRange(t *testing.T) {
	for _, m := range []transport.Message{
		&transport.Mail{ID: -1}, &transport.Mail{Reply: -1},
		&transport.Mail{Value: bytes.Repeat([]byte{1}, transport.MaxMail+1)},
		&transport.Credit{Bytes: -1}, &transport.Credit{Bytes: transport.MaxMessage + 1},
		&transport.Part{Value: bytes.Repeat([]byte{1}, transport.MaxPart+1)},
	} {
		c := reading(cat(send(t, m), send(t, &transport.Ready{})))
		_, err := c.Recv()
		var dropped *transport.MessageError
		if !errors.As(err, &dropped) || !errors.Is(err, transport.ErrMalformed) || dropped.Kind != m.Kind() {
			t.Errorf("%v: %v", m.Kind(), err)
		}
		if next, err := c.Recv(); err != nil || next.Kind() != transport.KindReady {
			t.Errorf("%v: then %v, %v", m.Kind(), next, err)
		}
	}
}

// TestMailLimit: a topic and an error are cut, a value never is, and the longest of all fits into a frame.
func TestMailLimit(t *testing.T) {
	m := &transport.Mail{
		ID: 1<<63 - 1, Reply: 1<<63 - 1, Topic: strings.Repeat("点", 1000), Error: strings.Repeat("e", 1<<20),
		Value: bytes.Repeat([]byte{1}, transport.MaxMail),
	}
	m.Limit()
	if len(m.Topic) > 256 || len(m.Error) > 4<<10 || len(m.Value) != transport.MaxMail {
		t.Fatalf("a topic of %d bytes, an error of %d, a value of %d", len(m.Topic), len(m.Error), len(m.Value))
	}
	body, err := transport.Marshal(m)
	if err != nil || len(body) > transport.MaxFrame {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
}
