package host

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

// secret is a message whose text is a peer's.
type secret struct{ said *bool }

func (s secret) String() string {
	*s.said = true
	return "forged\nline"
}

// TestDeadLettersAreSilent: what is sent to an actor that is no more is in no log, and is not even made into text.
func TestDeadLettersAreSilent(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	system := newSystem()
	defer system.Shutdown()
	dead, said := 0, false
	system.EventStream.Subscribe(func(m any) {
		if _, is := m.(*actor.DeadLetterEvent); is {
			dead++
		}
	})
	for range 5 {
		system.Root.Send(actor.NewPID(system.Address(), "nobody"), secret{&said})
	}
	if dead != 5 || said || log.Len() > 0 {
		t.Errorf("%d dead letters, made into text: %v, in the log: %s", dead, said, log.String())
	}
}
