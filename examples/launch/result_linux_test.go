package main

import (
	"strings"
	"testing"
)

// What a script reports with the module muster is in the report, by rank (E13).
func TestResult(t *testing.T) {
	report := tmp(t, "report.json")
	c := start(t, "-n", "2", "--report", report, "python3", "-c", `
import muster
rank = muster.info().rank
muster.report({"loss": 0.5, "rank": rank} if rank else None)
`)
	c.wants(0)
	text := strings.Join(strings.Fields(readText(t, report)), "")
	for _, want := range []string{`"result":null,"result_bytes":1`, `"result":{"loss":0.5,"rank":1},"result_bytes":21`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
