package transport_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-muster/muster/transport"
)

// TestLimits: a reader does not rely on the writer to keep within the limits of docs/protocol.md.
func TestLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("学", n) }
	for _, tt := range []struct {
		name  string
		text  string
		limit int
		back  func(text string) string
	}{
		{"sdk", long(100), 64, func(s string) string { return through(t, &transport.Hello{SDK: s}).SDK }},
		{"progress", long(100), 256, func(s string) string { return through(t, &transport.Progress{Text: s}).Text }},
		{"dump", long(100_000), 256 << 10, func(s string) string { return through(t, &transport.Dump{Text: s}).Text }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.back(tt.text)
			if len(got) > tt.limit || len(got) < tt.limit-8 || !utf8.ValidString(got) || !strings.Contains(got, "…") {
				t.Errorf("%d bytes: %.40q … %q", len(got), got, got[max(0, len(got)-40):])
			}
			if again := tt.back(got); again != got {
				t.Errorf("cut again: %d bytes", len(again))
			}
			if exact := strings.Repeat("x", tt.limit); tt.back(exact) != exact {
				t.Error("a text that just fits is cut")
			}
			if got := tt.back("a\xffb"); got != "a\uFFFDb" {
				t.Errorf("invalid text became %q", got)
			}
		})
	}
}

// through returns what a reader makes of a message.
func through[M transport.Message](t *testing.T, m M) M {
	t.Helper()
	return receive(t, reading(send(t, m))).(M)
}
