package transport_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/go-muster/muster/transport"
)

// samples are frames of three kinds: one that comes ten times in a second, one of the user's, one that comes once.
func samples() map[string]transport.Message {
	return map[string]transport.Message{
		"heartbeat": &transport.Heartbeat{Seq: 1000, Time: 1 << 60},
		"mail":      &transport.Mail{ID: 7, Topic: "score", Value: make([]byte, 64)},
		"exception": &transport.Exception{
			Type: "ValueError", Message: "no learning rate", Traceback: strings.Repeat("  File \"train.py\", line 6, in <module>\n", 20),
		},
	}
}

// BenchmarkEncode is a message on its way out: the frame's body.
func BenchmarkEncode(b *testing.B) {
	for name, m := range samples() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := transport.EncodeMessage(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecode is a body on its way in, the validator included.
func BenchmarkDecode(b *testing.B) {
	for name, m := range samples() {
		body, err := transport.EncodeMessage(m)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := transport.DecodeMessage(m.Kind(), body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkValidate is the validator alone, on a value with many small parts and on one with few large ones.
func BenchmarkValidate(b *testing.B) {
	for name, v := range map[string]any{"numbers": make([]int, 10_000), "bytes": make([]byte, 100_000)} {
		body, err := transport.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := transport.Validate(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A replay is a link on which the same frames come again and again.
type replay struct {
	bytes.Reader
	frames []byte
}

func (r *replay) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err == io.EOF {
		r.Reset(r.frames)
		n, err = r.Reader.Read(b)
	}
	return n, err
}

func (*replay) Write(b []byte) (int, error) { return len(b), nil }
func (*replay) Close() error                { return nil }

// BenchmarkRecv is a message from the link, header and all, without the system.
func BenchmarkRecv(b *testing.B) {
	for name, m := range samples() {
		body, err := transport.EncodeMessage(m)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			conn := transport.NewConn(&replay{frames: transport.AppendFrame(nil, m.Kind(), 0, body)})
			for b.Loop() {
				if _, err := conn.Recv(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
