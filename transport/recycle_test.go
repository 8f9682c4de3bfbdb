package transport_test

import (
	"bytes"
	"testing"

	"github.com/go-muster/muster/transport"
)

// TestRelease: memory that is used again belongs to one message at a time, and what was not released stays as it is.
func TestRelease(t *testing.T) {
	values := make([][]byte, 64)
	var wire []byte
	for i := range values {
		values[i] = bytes.Repeat([]byte{byte(i + 1)}, 5000+i%3*30000)
		wire = append(wire, send(t, &transport.Mail{Value: values[i]})...)
	}
	conn := reading(wire)
	held := map[int]*transport.Mail{}
	for i := range values {
		m, err := conn.Recv()
		if err != nil {
			t.Fatal(err)
		}
		held[i] = m.(*transport.Mail)
		if i%2 == 0 {
			transport.Release(held[i])
			transport.Release(held[i]) // once more is nothing
			delete(held, i)
		}
		out, err := transport.NewMail("x", values[i])
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		if err := transport.Unmarshal(out.Value, &got); err != nil || !bytes.Equal(got, values[i]) {
			t.Fatalf("the value of NewMail is %d bytes, %v", len(got), err)
		}
		transport.Release(out)
	}
	for i, m := range held {
		if !bytes.Equal(m.Value, values[i]) {
			t.Errorf("message %d was not released, and has changed", i)
		}
	}
	mine := &transport.Mail{Topic: "mine", Value: values[0]}
	if transport.Release(mine); mine.Topic != "mine" {
		t.Error("a message that came from nowhere was taken")
	}
}
