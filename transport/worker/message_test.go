package worker

import (
	"errors"
	"sync"
	"testing"

	"github.com/go-muster/muster/transport"
)

// asked returns a message as it comes from the link, and what the other side of that sees.
func asked(t *testing.T, id int, value any) (*Message, *transport.Conn) {
	t.Helper()
	ours, theirs, err := transport.Pair()
	if err != nil {
		t.Fatal(err)
	}
	sender, receiver := transport.NewConn(ours), transport.NewConn(theirs)
	t.Cleanup(func() { sender.Close(); receiver.Close() })
	mail, err := transport.NewMail("ask", value)
	if err != nil {
		t.Fatal(err)
	}
	mail.ID = id
	if err := sender.Send(mail); err != nil {
		t.Fatal(err)
	}
	m, err := receiver.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return &Message{Topic: mail.Topic, office: newOffice(receiver), id: id, mail: m.(*transport.Mail)}, sender
}

// A message that was decoded and answered is over: its memory is another's. Until then it is decoded as often as one likes.
func TestDecode(t *testing.T) {
	const question = "how far are you?"
	decode := func(m *Message, want error) {
		t.Helper()
		var text string
		if err := m.Decode(&text); !errors.Is(err, want) || want == nil && text != question {
			t.Errorf("decoded as %q, %v, not %v", text, err, want)
		}
	}
	t.Run("before the answer", func(t *testing.T) {
		m, _ := asked(t, 1, question)
		decode(m, nil)
		decode(m, nil)
		if err := m.Reply("far"); err != nil {
			t.Fatal(err)
		}
		decode(m, ErrAnswered)
	})
	t.Run("after the answer", func(t *testing.T) {
		m, _ := asked(t, 1, question)
		if err := errors.Join(m.Reply("far"), m.Decode(new(string))); err != nil {
			t.Fatal(err)
		}
		decode(m, ErrAnswered)
		if err := m.Fail(errors.New("twice")); !errors.Is(err, ErrMessage) {
			t.Errorf("a second answer: %v", err)
		}
	})
	t.Run("where no answer is wanted", func(t *testing.T) {
		m, _ := asked(t, 0, question)
		decode(m, nil)
		if err := m.Reply("far"); !errors.Is(err, ErrMessage) {
			t.Errorf("an answer: %v", err)
		}
		decode(m, nil)
	})
}

// What is being decoded is nobody else's, whoever answers in the meantime.
func TestDecodeWhileAnswered(t *testing.T) {
	question := make([]byte, 64<<10)
	for i := range question {
		question[i] = 'x'
	}
	for range 50 {
		m, sender := asked(t, 1, question)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				var got []byte
				if err := m.Decode(&got); err == nil && string(got) != string(question) {
					t.Error("decoded what was never sent")
				} else if err != nil && !errors.Is(err, ErrAnswered) {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if err := m.Reply("far"); err != nil {
				t.Error(err)
			}
			for range 4 { // whoever comes next gets the memory
				other, err := transport.NewMail("", make([]byte, 64<<10))
				if err != nil {
					t.Error(err)
				}
				transport.Release(other)
			}
		})
		all.Wait()
		if _, err := sender.Recv(); err != nil {
			t.Fatal(err)
		}
	}
}
