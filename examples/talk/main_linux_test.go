package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }

var program = processtest.Helper("talk", main)

// TestTalk: three ranks divide the text, say so in any order, and answer in the order in which they are asked.
func TestTalk(t *testing.T) {
	processtest.Check(t)
	c := processtest.Command(t, program)
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines[:min(3, len(lines))])
	want := []string{
		"rank 0 says: 5 of [5 6 6] words are mine", "rank 1 says: 6 of [5 6 6] words are mine",
		"rank 2 says: 6 of [5 6 6] words are mine", `"the": 4`, `"fox": 2`, `"cat": 0`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("it prints\n%s", out)
	}
}
