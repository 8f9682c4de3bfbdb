package process

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzReport: whatever a process writes to its error file is an exception, or is told in its first words (E20).
func FuzzReport(f *testing.F) {
	for _, text := range []string{
		`{"message": {"message": "ValueError: no", "extraInfo": {"py_callstack": "…", "timestamp": "1700000000"}}}`,
		`{"message": "disk is full", "timestamp": 17.5}` + "\n" + `{"message": "pkg.Error: a\nb"}`,
		`{"message": ""}`, `{"message": null, "timestamp": 1e999}`, `[1]`, `{"message": `, "caf\xe9", " \n",
	} {
		f.Add([]byte(text), uint8(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, at uint8) {
		var r report
		r.Write(text[:min(int(at), len(text))])
		r.Write(text[min(int(at), len(text)):])
		x, unread := r.exception()
		switch {
		case len(strings.TrimSpace(string(text))) == 0:
			if x != nil || unread != "" {
				t.Errorf("of nothing comes %+v, %q", x, unread)
			}
		case (x == nil) == (unread == ""):
			t.Errorf("%+v, and %q", x, unread)
		case x != nil && (x.Type+x.Message == "" || x.Time < 0 || !utf8.ValidString(x.Type+x.Message+x.Traceback)):
			t.Errorf("%+v", x)
		case !utf8.ValidString(unread) || len(unread) > 8*reportHead:
			t.Errorf("%d bytes: %q", len(unread), unread)
		}
	})
}
