package supervisor

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/transport"
)

// E13: what a rank returned is in the report, nil told from nothing; what JSON cannot say, or is large, by its size alone.
func TestResultInReport(t *testing.T) {
	marshal := func(v any) []byte {
		b, err := transport.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	large := strings.Repeat("x", mostResult)
	for name, test := range map[string]struct {
		value []byte
		json  string
	}{
		"none":             {nil, ""},
		"nil":              {marshal(nil), "null"},
		"a map":            {marshal(map[string]any{"loss": 0.5, "<steps>": []int{1, -2}}), `{"<steps>":[1,-2],"loss":0.5}`},
		"large integers":   {marshal([]uint64{math.MaxUint64}), "[18446744073709551615]"},
		"bytes":            {marshal([]byte("abc")), `"YWJj"`},
		"a time":           {marshal(time.Unix(0, 0)), `"` + time.Unix(0, 0).Format(time.RFC3339) + `"`},
		"not a number":     {marshal(math.NaN()), ""},
		"keys of integers": {marshal(map[int]int{1: 2}), ""},
		"large":            {marshal(large), ""},
		"large as JSON":    {marshal(make([]byte, mostResult-1000)), ""},
		"no msgpack":       {[]byte{0xc1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := Report{Start: epoch, Outcome: Succeeded, Ranks: []RankReport{{Outcome: Succeeded}}}
			r.addResults([][]byte{test.value})
			if k := r.Ranks[0]; string(k.Result) != test.json || k.ResultBytes != len(test.value) {
				t.Errorf("%s, %d bytes", k.Result, k.ResultBytes)
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ReadReport(strings.NewReader(string(text)))
			if err != nil || again.Ranks[0].ResultBytes != len(test.value) || !equalJSON(again.Ranks[0].Result, test.json) {
				t.Errorf("read again: %+v, %v", again.Ranks, err)
			}
		})
	}
}

// equalJSON compares texts of which one has passed an encoder that escapes.
func equalJSON(a json.RawMessage, b string) bool {
	if len(a) == 0 || b == "" {
		return len(a) == len(b)
	}
	plain, err := plainJSON(a)
	return err == nil && strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(plain)) == b
}
