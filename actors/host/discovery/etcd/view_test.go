package etcd

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/go-muster/muster/actors/host/discovery"
)

// What readers show of the lists that they get, without a store or a clock.
func TestView(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		v := view{grace: 3 * time.Second}
		start := time.Now()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "out-of-reach" {
				v.outOfReach()
				return ""
			}
			var at string
			d.ScanArgs(t, "at", &at)
			now, err := time.ParseDuration(at)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			if !v.listed(records(d.CmdArgs[1:]), start.Add(now)) {
				return ""
			}
			return "shown:" + words(v.members())
		})
	})
}

func records(args []datadriven.CmdArg) map[string]record {
	all := map[string]record{}
	for i, arg := range args {
		id, left := strings.CutPrefix(arg.Key, "-")
		r := record{Member: discovery.Member{Role: discovery.Host, Name: id, ID: id}, Left: left, created: int64(i)}
		if len(arg.Vals) > 0 {
			r.Addr = arg.Vals[0]
		}
		all[id] = r
	}
	return all
}

func words(members []discovery.Member) (text string) {
	for _, m := range members {
		text += " " + m.ID
		if m.Addr != "" {
			text += "=" + m.Addr
		}
	}
	return text + "\n"
}
