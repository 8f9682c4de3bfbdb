package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// A mux is a terminal in tmux, with a shell that has job control.
type mux struct {
	*testing.T
	socket string
}

// newMux starts one, and ends it with the test.
func newMux(t *testing.T, width, height int) *mux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("needs tmux (apt-get install tmux):", err)
	}
	processtest.Check(t)
	m := &mux{t, tmp(t, "tmux")}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the screen:\n%s", m.screen())
		}
		_, _ = m.tmux("kill-server")
	})
	if out, err := m.tmux("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height),
		"env", "PS1=$ ", "HISTFILE=", "bash", "--norc", "--noprofile"); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	return m
}

func (m *mux) tmux(args ...string) (string, error) {
	out, err := exec.Command("tmux", append([]string{"-S", m.socket}, args...)...).CombinedOutput()
	return string(out), err
}

// launch types a command line that says its exit status when it ends.
func (m *mux) launch(args ...string) {
	m.Helper()
	m.launchTo("/dev/tty", args...)
}

// launchTo is launch with its standard output in a file.
func (m *mux) launchTo(out string, args ...string) {
	m.Helper()
	c := prepare(m.T, nil, args...)
	var script strings.Builder
	for _, kv := range c.cmd.Env {
		if key, value, _ := strings.Cut(kv, "="); os.Getenv(key) != value && key != "NO_COLOR" {
			fmt.Fprintf(&script, "export %s=%s\n", key, quote(value))
		}
	}
	for _, word := range c.cmd.Args {
		script.WriteString(quote(word) + " ")
	}
	path := file(m.T, "run", script.String()+">"+out+"\necho status $?\n", 0o644)
	m.keys("clear; . "+path, "Enter")
}

// field is what the first group of an expression matches, once it does.
func (m *mux) field(expression string) string {
	m.Helper()
	return regexp.MustCompile(expression).FindStringSubmatch(m.await(expression))[1]
}

// restored checks that the terminal is set as a file says, and that it shows its first screen, with a cursor.
func (m *mux) restored(before string) {
	m.Helper()
	m.keys("clear; stty -a | diff "+before+" - && echo the same", "Enter")
	m.await(`(?m)^the same$`)
	if out, err := m.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}"); err != nil || out != "0 1\n" {
		m.Errorf("alternate screen and cursor: %q, %v", out, err)
	}
}

// keys types, keys by their names in tmux.
func (m *mux) keys(keys ...string) {
	m.Helper()
	if out, err := m.tmux(append([]string{"send-keys"}, keys...)...); err != nil {
		m.Fatalf("tmux: %v: %s", err, out)
	}
}

// screen is what one sees.
func (m *mux) screen() string {
	out, _ := m.tmux("capture-pane", "-p")
	return out
}

// await waits until the screen matches.
func (m *mux) await(expression string) string {
	m.Helper()
	re, seen := regexp.MustCompile(expression), ""
	processtest.Eventually(m, fmt.Sprintf("%q is on the screen", expression), func() bool {
		seen = m.screen()
		return re.MatchString(seen)
	})
	return seen
}
