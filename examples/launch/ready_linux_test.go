package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
)

// ports returns the beginning of two free ports' numbers, which end in 0 and 1.
func ports(t *testing.T) string {
	t.Helper()
	for prefix := 2000 + os.Getpid()%1000; prefix < 3200; prefix++ { // below those that the system hands out
		zero, err0 := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d0", prefix))
		one, err1 := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d1", prefix))
		if err0 == nil {
			zero.Close()
		}
		if err1 == nil {
			one.Close()
		}
		if err0 == nil && err1 == nil {
			return fmt.Sprint(prefix)
		}
	}
	t.Fatal("no two free ports")
	return ""
}

// --ready tells when any command is ready; a group runs once all of its ranks are.
func TestReady(t *testing.T) {
	port := ports(t)
	server := "exec python3 -m http.server --bind 127.0.0.1 " + port + "$RANK"
	for _, tt := range []struct{ ready, script string }{
		{"http://127.0.0.1:" + port + "$RANK/", server},
		{"tcp:127.0.0.1:" + port + "${LOCAL_RANK}", server},
		{"line:^serving [0-9]+$", "echo serving 1; exec sleep 1000"},
		{"fd", "echo >&$MUSTER_READY_FD; exec sleep 1000"},
	} {
		t.Run(tt.ready, func(t *testing.T) {
			events := tmp(t, "events")
			t.Setenv("LAUNCH_READY", tt.ready)
			c := start(t, "-n", "2", "--output", "none", "--events", events, "sh", "-c", tt.script)
			processtest.Eventually(t, "the group runs", func() bool {
				text, _ := os.ReadFile(events)
				return strings.Contains(string(text), `"running"`)
			})
			c.signal(unix.SIGINT)
			c.wants(130)
			if n := strings.Count(readText(t, events), `"event":"ready"`); n != 2 {
				t.Errorf("%d ranks were ready:\n%s", n, readText(t, events))
			}
		})
	}
}

// A rank that does not become ready has the time of --start-timeout; one that can no longer has failed at once.
func TestNotReady(t *testing.T) {
	for name, args := range map[string][]string{
		"not ready in": {"--start-timeout", "300ms", "--ready", "line:^never$", "sh", "-c", "echo here; exec sleep 1000"},
		"closed its readiness descriptor before it was ready": {"--ready", "fd", "sh", "-c", "exec 4>&-; exec sleep 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, args...)
			if c.end() == 0 || !strings.Contains(c.stderr.String(), name) {
				t.Errorf("%s", c.stderr.String())
			}
		})
	}
}

// A variable that a rank will not have is told before anything starts; one of those that each rank has is none.
func TestReadyVariables(t *testing.T) {
	c := start(t, "-n", "2", "--ready", "tcp:localhost:$NO_PORT", "sleep", "1000")
	if c.wants(2); c.stderr.String() != "launch: bad readiness probe: the rank's environment has no $NO_PORT\n" {
		t.Errorf("%s", c.stderr.String())
	}
}

// A dry run shows what says ready.
func TestReadyDryRun(t *testing.T) {
	processtest.Check(t)
	code, stdout, stderr := here(t, "--dry-run", "--ready", "tcp:127.0.0.1:80$RANK", "sleep", "1")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "\nrank 0       ready by tcp:127.0.0.1:80$RANK\n") {
		t.Errorf("exit status %d, %q, %s", code, stderr, stdout)
	}
}

// --speaks waits for the word of a command that is neither a function nor Python.
func TestSpeaks(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		ready  int
	}{
		"it does":     {`printf '\0\0\0\1\3\0\200' >&3`, 1},
		"it does not": {`:`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			events := tmp(t, "events")
			start(t, "--speaks", "--events", events, "sh", "-c", tt.script).wants(0)
			if n := strings.Count(readText(t, events), `"event":"ready"`); n != tt.ready {
				t.Errorf("%d ranks were ready:\n%s", n, readText(t, events))
			}
		})
	}
}
