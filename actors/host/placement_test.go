package host

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process"
)

// TestPlacement: ranks are contiguous on their hosts, packed or spread; who stays keeps his numbers.
func TestPlacement(t *testing.T) {
	hosts := []berth{{"a", "10.0.0.1", 4}, {"b", "10.0.0.2", 2}, {"c", "10.0.0.3", 4}}
	before, _ := arrange(hosts, 8, nil, nil, false)
	for _, c := range []struct {
		name   string
		hosts  []berth
		size   int
		keep   string // by rank: "a a b - -"
		spread bool
		want   string // host.node.local/locals by rank
	}{
		{"pack", hosts, 8, "", false, "a.0.0/4 a.0.1/4 a.0.2/4 a.0.3/4 b.1.0/2 b.1.1/2 c.2.0/2 c.2.1/2"},
		{"pack leaves hosts empty", hosts, 3, "", false, "a.0.0/3 a.0.1/3 a.0.2/3"},
		{"spread", hosts, 6, "", true, "a.0.0/2 a.0.1/2 b.1.0/2 b.1.1/2 c.2.0/2 c.2.1/2"},
		{"spread over what is there", hosts, 9, "", true, "a.0.0/4 a.0.1/4 a.0.2/4 a.0.3/4 b.1.0/2 b.1.1/2 c.2.0/3 c.2.1/3 c.2.2/3"},
		{"one is restarted", hosts, 8, "a a a a b - c c", false, "a.0.0/4 a.0.1/4 a.0.2/4 a.0.3/4 b.1.0/2 b.1.1/2 c.2.0/2 c.2.1/2"},
		{"b is lost", []berth{hosts[0], hosts[2]}, 8, "a a a a b b c c", false,
			"a.0.0/4 a.0.1/4 a.0.2/4 a.0.3/4 c.2.2/4 c.2.3/4 c.2.0/4 c.2.1/4"},
		{"b is lost, and d has come", []berth{hosts[0], {"d", "10.0.0.4", 2}, hosts[2]}, 8, "a a a a b b c c", false,
			"a.0.0/4 a.0.1/4 a.0.2/4 a.0.3/4 d.1.0/2 d.1.1/2 c.2.0/2 c.2.1/2"},
		{"everything anew after b is lost", []berth{hosts[0], hosts[2]}, 8, "", false,
			"a.0.0/4 a.0.1/4 a.0.2/4 a.0.3/4 c.1.0/4 c.1.1/4 c.1.2/4 c.1.3/4"},
		{"a pin", hosts, 3, "c - -", false, "c.0.0/1 a.1.0/2 a.1.1/2"},
	} {
		keep := strings.Fields(strings.ReplaceAll(c.keep, "-", "."))
		for i := range keep {
			keep[i] = strings.Trim(keep[i], ".")
		}
		places, err := arrange(c.hosts, c.size, keep, before, c.spread)
		var got []string
		for _, p := range places {
			got = append(got, fmt.Sprintf("%s.%d.%d/%d", p.Host, p.Node, p.Local, p.Locals))
		}
		if text := strings.Join(got, " "); text != c.want || err != nil {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, text, c.want)
		}
	}
	if _, err := arrange(hosts, 11, nil, nil, false); !errors.Is(err, process.ErrNoRoom) ||
		!strings.HasSuffix(err.Error(), "11 ranks, 10 places on 3 hosts") {
		t.Errorf("too many: %v", err)
	}
}
