package main

import (
	"strings"
	"testing"
)

// --locals, or its variable, shows what the variables were under each frame, and puts them into the report; without it
// nobody is told. What Python has printed without them is not shown once more.
func TestLocals(t *testing.T) {
	const script = "def step(rate, shard):\n    return rate / shard\nstep(rate=3, shard=0)\n"
	for name, test := range map[string]struct {
		wrapper, flags []string
		told           bool
	}{
		"the flag":     {nil, []string{"--locals"}, true},
		"the variable": {[]string{"env", "LAUNCH_LOCALS=true"}, nil, true},
		"neither":      {nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			report := tmp(t, "report.json")
			c := startUnder(t, test.wrapper, append(test.flags, "--report", report, "python3", file(t, "train.py", script, 0o644))...)
			c.wants(1)
			const shown = "\n        rate = 3\n        shard = 0\n"
			if text := c.stderr.String(); strings.Contains(text, shown) != test.told || strings.Contains(text, "[0]     rate = 3") ||
				strings.Contains(text, "the end of its standard error") {
				t.Errorf("stderr:\n%s", text)
			}
			const held = `"locals":{"rate":"3","shard":"0"}`
			if text := strings.Join(strings.Fields(readText(t, report)), ""); strings.Contains(text, held) != test.told {
				t.Errorf("report:\n%s", text)
			}
		})
	}
}
