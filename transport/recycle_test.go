package transport_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-muster/muster/transport"
)

// TestNewMail: a message whose value lies where its frame will be is the same on the wire, sent alone or beside others, and once more.
func TestNewMail(t *testing.T) {
	for _, size := range []int{0, 1, 4091, 4092, 65000, 70000, 256<<10 - 400, 256 << 10, 1 << 20} {
		for _, like := range []transport.Mail{
			{}, {Topic: "t"}, {ID: 1, Topic: strings.Repeat("t", 256)}, {ID: math.MaxInt, Reply: math.MaxInt, Topic: strings.Repeat("t", 256)},
			{Reply: 7, Error: "both"}, {Topic: strings.Repeat("t", 300)},
		} {
			value := bytes.Repeat([]byte("v"), size)
			m, err := transport.NewMail(like.Topic, value)
			if err != nil {
				t.Fatal(err)
			}
			m.ID, m.Reply, m.Error = like.ID, like.Reply, like.Error
			like.Value, _ = transport.Marshal(value)
			want := send(t, &like)
			if !bytes.Equal(send(t, m, m), slices.Concat(want, want)) {
				t.Errorf("%d bytes, %d of topic: not the frame of a message of one's own", size, len(like.Topic))
			}
			if len(want) < transport.MaxFrame && !bytes.Equal(sendTogether(t, m, m), slices.Concat(want, want)) {
				t.Errorf("%d bytes: beside others it is another frame", size)
			}
			m.Value = []byte("other")
			like.Value = m.Value
			if !bytes.Equal(send(t, m), send(t, &like)) {
				t.Errorf("%d bytes: the value was replaced, and the old one was sent", size)
			}
			transport.Release(m)
		}
	}
}

func sendTogether(t *testing.T, messages ...transport.Message) []byte {
	t.Helper()
	m := &memory{}
	if err := transport.NewConn(m).SendAll(messages...); err != nil {
		t.Fatal(err)
	}
	return m.out.Bytes()
}

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
