package main

import (
	"strings"
	"testing"
)

// --dump-signal puts the stacks of a rank that has to be killed into the report, as a failure's and as a rank's, and says
// so (T25).
func TestDumpSignal(t *testing.T) {
	report := tmp(t, "report.json")
	deaf := tmp(t, "deaf")
	c := start(t, "-n", "2", "--grace", "100ms", "--dump-signal", "QUIT", "--env", "DEAF="+deaf, "--report", report, "python3", "-c", `
import os, signal, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def stuck():
    print("ready", flush=True)
    time.sleep(1000)
if os.environ["RANK"] == "0":
    open(os.environ["DEAF"], "w").close()
    stuck()
while not os.path.exists(os.environ["DEAF"]):
    time.sleep(.01)
threading.Thread(target=stuck).start()  # outlives the exception
raise ValueError("no learning rate")`)
	c.wants(1)
	c.stderr.await(t, 1, `launch: asked for its stacks before it was killed: (ranks 0, 1); see dump in --report\n`)
	r := readReport(t, report)
	if len(r.Failures) != 1 || r.Failures[0].Rank != 1 || !strings.Contains(r.Failures[0].Dump, "in stuck") {
		t.Errorf("failures %+v", r.Failures)
	}
	for rank, k := range r.Ranks {
		if !strings.Contains(k.Dump, "in stuck") || k.Exit.Signal != "SIGKILL" {
			t.Errorf("rank %d: %+v", rank, k)
		}
	}
}

// Without it a rank is killed at once.
func TestNoDumpSignal(t *testing.T) {
	report := tmp(t, "report.json")
	c := start(t, "--grace", "100ms", "--timeout", "1s", "--report", report, "sh", "-c", rude)
	c.wants(124)
	if text := c.stderr.String(); strings.Contains(text, "stacks") || strings.Contains(readText(t, report), `"dump"`) {
		t.Errorf("a dump that nobody asked for:\n%s", text)
	}
}

// Of a Python script that crashes, its stacks are shown (T27).
func TestCrashOfPython(t *testing.T) {
	c := start(t, "python3", "-c", "import os\ndef give_up(): os.abort()\ngive_up()")
	c.wants(134)
	c.stderr.await(t, 1, `rank 0 failed first .*: signal: aborted \(SIGABRT.*\)\n\n    its stacks, as it crashed:\n    (Fatal Python error: Aborted)\n`)
	if text := c.stderr.String(); !strings.Contains(text, "    File \"<string>\", line 2 in give_up\n") || strings.Contains(text, "was killed") {
		t.Errorf("stderr:\n%s", text)
	}
}
