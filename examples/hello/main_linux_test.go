package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }

var program = processtest.Helper("hello", main)

// Rank 2 panics in generation 0, and all four say hello in the next.
func TestHello(t *testing.T) {
	processtest.Check(t)
	c := processtest.Command(t, program)
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, &stderr)
	}
	text := string(out)
	for rank := range 4 {
		if line := fmt.Sprintf("hello from rank %d of 4, generation 1\n", rank); strings.Count(text, line) != 1 {
			t.Errorf("not once %q", line)
		}
	}
	if !strings.Contains(text, "rank 2@0: panic: boom -> restart (restart 1 of 1)\n") ||
		!strings.HasSuffix(text, "the group has ended well\n") {
		t.Error(text)
	}
	if !strings.Contains(stderr.String(), "panic: boom\n") {
		t.Errorf("standard error %q", &stderr)
	}
}
