package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }

var program = processtest.Helper("hosts", main)

// TestHosts: a root and two agents, each a process, count together.
func TestHosts(t *testing.T) {
	processtest.Check(t)
	start := func(args ...string) (io.Reader, func()) {
		c := processtest.Command(t, program)
		return launch(t, append(c.Args, args...), append(os.Environ(), c.Env...))
	}
	out, wait := start("root", "127.0.0.1:0", "2")
	lines := bufio.NewScanner(out)
	lines.Scan()
	_, addr, _ := strings.Cut(lines.Text(), " at ")
	_, waitA := start("agent", addr, "a")
	_, waitB := start("agent", addr, "b")
	var rest bytes.Buffer
	for lines.Scan() {
		rest.WriteString(lines.Text())
	}
	wait()
	waitA()
	waitB()
	if got := rest.String(); got != "17984 primes below 200000" {
		t.Errorf("%q", got)
	}
}

// TestUsage: what makes no sense is told.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"root", "127.0.0.1:0"}, {"root", "127.0.0.1:0", "none"}, {"agent", "127.0.0.1:0"}, {"agent", "127.0.0.1:0", "a", "/nosuch"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
func launch(t *testing.T, args, env []string) (out io.Reader, wait func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env, cmd.Stderr = env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return out, func() {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}
