package main

import (
	"strings"
	"testing"
)

// What ends a group well, and how a rank may hang: each flag with real processes.
func TestTerms(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string // on standard error
	}{
		{"any", []string{"-n", "3", "--success", "any", "--", "sh", "-c", `[ $RANK = 1 ] || exec sleep 1000`}, 0, ""},
		{"one rank", []string{"-n", "2", "--success", "rank:0", "--", "sh", "-c", `[ $RANK = 0 ] || exec sleep 1000`}, 0, ""},
		{"a quorum", []string{"-n", "3", "--success", "quorum:2", "--", "sh", "-c", `[ $RANK -gt 0 ] || exec sleep 1000`}, 0, ""},
		{"a quorum in vain", []string{"-n", "2", "--success", "quorum:2", "--strategy", "ignore", "--", "sh", "-c", "exit $RANK"}, 0, ""},
		{"a lifetime", []string{"--lifetime", "100ms", "--", "sleep", "1000"}, 1, "the generation's time is up (100ms)"},
		{"too young", []string{"--max-restarts", "3", "--min-uptime", "1h", "--", "sh", "-c", "exit 7"}, 7, "a restart is worth while after 1h0m0s"},
		{"decay", []string{"--max-restarts", "1", "--decay", "1h", "--", "sh", "-c", "exit 7"}, 7, "each of which counts half after 1h0m0s"},
		{"order", []string{"-n", "2", "--ordered", "--ready", "line:ready", "--", "sh", "-c",
			`[ $RANK = 1 ] || { echo ready; exec sleep 1000; }; exit 9`}, 9, "rank 1 failed"},
		{"a stall", []string{"--heartbeat", "50ms", "--stall", "500ms", "--", "python3", "-c",
			"import muster, time\nmuster.progress(1)\ntime.sleep(1000)"}, 1, "no progress for 500ms, from 1\n\n    its stacks, as it hung:\n    "},
		{"a straggler", []string{"-n", "2", "--lag", "10", "--success", "rank:1", "--", "python3", "-c",
			"import muster, os, time\nmuster.progress(1)\nif os.environ['RANK'] == '1':\n  for n in range(40):\n" +
				"    muster.progress(100 + n)\n    time.sleep(0.05)\nelse:\n  time.sleep(1000)"}, 0, "lags behind: its progress is 1, the greatest is 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cli := start(t, c.args...)
			cli.wants(c.code)
			if text := cli.stderr.String(); !strings.Contains(text, c.says) {
				t.Errorf("no %q in\n%s", c.says, text)
			}
		})
	}
}
