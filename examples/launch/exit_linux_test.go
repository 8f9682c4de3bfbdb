package main

import (
	"strings"
	"testing"
)

const fails = `[ $RANK = 1 ] || exec sleep 1000; `

// The exit status says how the run ended, as a shell's does.
func TestExitStatus(t *testing.T) {
	deserter := file(t, "deserter.sh", "#!/bin/sh\nrm -f \"$0\"\nexit 5\n", 0o755)
	for name, test := range map[string]struct {
		code int
		args []string
		says string
	}{
		"all is well":        {0, []string{"-n", "2", "true"}, ""},
		"an exit code":       {3, []string{"-n", "2", "sh", "-c", fails + "exit 3"}, "exit status 3"},
		"a large exit code":  {255, []string{"sh", "-c", "exit 255"}, "exit status 255"},
		"of 128 and more":    {138, []string{"sh", "-c", "exit 138"}, "exit status 138"},
		"a SIGKILL":          {137, []string{"-n", "2", "sh", "-c", fails + "kill -9 $$"}, "signal: killed (SIGKILL)"},
		"a SIGTERM":          {143, []string{"-n", "2", "sh", "-c", fails + "kill $$"}, "signal: terminated (SIGTERM)"},
		"an exception":       {1, []string{"python3", "-c", "raise ValueError(3)"}, "ValueError: 3"},
		"sys.exit":           {7, []string{"python3", "-c", "import sys; sys.exit(7)"}, "exit status 7"},
		"sys.exit(text)":     {1, []string{"python3", "-c", "import sys; sys.exit('no data')"}, "no data"},
		"an interrupt":       {130, []string{"python3", "-c", "import os; os.kill(os.getpid(), 2); input()"}, "KeyboardInterrupt"},
		"the time is up":     {124, []string{"--timeout", "200ms", "sleep", "1000"}, "the group's time is up (200ms)"},
		"no module":          {1, []string{"-m", "no.such.module"}, "No module named"},
		"the restarts spent": {5, []string{"--max-restarts", "2", "sh", "-c", "exit 5"}, "2 of 2 restarts used"},
		"gone at a restart":  {127, []string{"--max-restarts", "1", deserter}, "no such file or directory"},
		"the first of two":   {4, []string{"-n", "2", "--grace", "1s", "sh", "-c", firstOfTwo}, "exit status 4"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, test.args...)
			c.wants(test.code)
			if !strings.Contains(c.stderr.String(), test.says) {
				t.Errorf("no %q", test.says)
			}
		})
	}
}

// firstOfTwo is a rank that exits with 4, and one that answers the stop with 6.
const firstOfTwo = `if [ $RANK = 1 ]; then trap "exit 6" TERM; sleep 1000 & wait; fi; exit 4`
