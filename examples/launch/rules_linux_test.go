package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// The rules of rules.yaml decide about ranks that really fail, and the report tells what they decided.
func TestRules(t *testing.T) {
	const exits3 = "import os, sys; sys.exit(3 if os.environ['MUSTER_GENERATION'] == '0' else 0)"
	for name, test := range map[string]struct {
		code     int
		restarts int
		args     []string
		says     string
	}{
		"exit 3 is free, once": {0, 1, []string{"python3", "-c", exits3},
			"exit status 3; rule 1, it asked for another try: a restart that does not count"},
		"and then it is no rule's": {3, 1, []string{"python3", "-c", "import sys; sys.exit(3)"},
			"decided: terminate (no restarts are allowed); exit status 3"},
		"a mistake fails at once": {1, 0, []string{"python3", "-c", "raise ValueError('no learning rate')"},
			"decided: terminate (rule 2, a mistake in the program: fail); exit status 1"},
		"so does one of a derived class": {1, 0, []string{"python3", "-c", "import json; json.loads('{')"},
			"decided: terminate (rule 2, a mistake in the program: fail); exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			report := tmp(t, "report.json")
			c := start(t, append([]string{"-n", "2", "--rules", "rules.yaml", "--report", report, "--"}, test.args...)...)
			c.wants(test.code)
			if r := readReport(t, report); r.Restarts != test.restarts {
				t.Errorf("%d restarts, want %d", r.Restarts, test.restarts)
			}
			if !strings.Contains(c.stderr.String(), test.says) {
				t.Errorf("no %q", test.says)
			}
		})
	}
}

// A rank that somebody else kills is started again, and --explain finds the same rule in the report of that.
func TestRulesForStrangers(t *testing.T) {
	report := tmp(t, "report.json")
	c := start(t, "--rules", "rules.yaml", "--report", report, "--", "sh", "-c",
		`[ $MUSTER_GENERATION = 1 ] || { echo pid $$; exec sleep 1000; }`)
	pid := atoi(t, c.stdout.await(t, 1, `pid (\d+)`)[0])
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.wants(0)
	const decided = "rule 4, killed from outside: restart 1 of 5"
	if says := "signal: killed (SIGKILL), not sent by us; " + decided; !strings.Contains(c.stderr.String(), says) {
		t.Errorf("no %q", says)
	}
	code, stdout, stderr := here(t, "--rules", "rules.yaml", "--explain", report)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "matches   rule 4, rules.yaml:") ||
		strings.Count(stdout, "("+decided+")") != 2 {
		t.Errorf("exit status %d, %s\n%s", code, stderr, stdout)
	}
}

// What --explain prints: one block for each failure that was decided upon.
func TestExplainRules(t *testing.T) {
	processtest.Check(t)
	code, stdout, stderr := here(t, "--rules", "rules.yaml", "--explain", "testdata/run.json", "--max-restarts", "9")
	if code != 0 || stderr != "" {
		t.Errorf("exit status %d, %s", code, stderr)
	}
	const path = "testdata/explain.golden"
	if *update {
		if err := os.WriteFile(path, []byte(stdout), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != stdout {
		t.Errorf("%v; it prints\n%s", err, stdout)
	}
}

// The budget of the flags is that of rules without one, and a file's own is its own.
func TestBudgetOfRules(t *testing.T) {
	processtest.Check(t)
	bare := file(t, "bare.yaml", "rules: [{do: restart group}]\n", 0o644)
	own := file(t, "own.yaml", "budget: {restarts: 2}\nrules: [{do: restart group}]\n", 0o644)
	for path, says := range map[string]string{bare: "restart 1 of 7", own: "restart 1 of 2"} {
		_, stdout, _ := here(t, "--rules", path, "--max-restarts", "7", "--explain", "testdata/run.json")
		if !strings.Contains(stdout, says) {
			t.Errorf("no %q in\n%s", says, stdout)
		}
	}
	_, stdout, _ := here(t, "--rules", bare, "--strategy", "fail-fast", "--dry-run", "true")
	if !strings.Contains(stdout, "\nstrategy     1 rule (no restarts), else fail-fast\n") {
		t.Error(stdout)
	}
	_, stdout, _ = here(t, "--rules", own, "--dry-run", "true")
	if !strings.Contains(stdout, "    TORCHELASTIC_MAX_RESTARTS=2\n") {
		t.Error(stdout)
	}
}

// The example is the one of the documentation.
func TestRulesInDocs(t *testing.T) {
	rules, err := os.ReadFile("rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/strategies.md")
	if err != nil || !strings.Contains(string(docs), "```yaml\n"+string(rules)+"```") {
		t.Errorf("%v: docs/strategies.md has not the text of rules.yaml", err)
	}
}
