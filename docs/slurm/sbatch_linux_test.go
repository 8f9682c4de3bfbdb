// Package slurm tries the batch script that docs/slurm.md explains, without a Slurm.
package slurm

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The script starts one agent on each node and the root in its own place: with what it was given as the command, under the
// names that the nodes have, and with the root's exit status. The srun and the launch here only write down how they were called.
func TestScript(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash here:", err)
	}
	dir, bin := t.TempDir(), t.TempDir()
	program(t, bin, "srun", `
		while [[ $1 == --* ]]; do echo "$1" >> "$CALLS/srun"; shift; done
		for node in n1 n2 n3; do SLURMD_NODENAME=$node "$@"; done
		: > "$CALLS/agents"`)
	program(t, bin, "launch", `
		if [ "$1" = agent ]; then echo "$@" >> "$CALLS/agent"; exit; fi
		read -r < "$CALLS/agents" # a pipe: the root ends after its agents have begun
		echo "grace=$LAUNCH_GRACE $*" > "$CALLS/root"
		exit 3`)
	if err := exec.Command("mkfifo", filepath.Join(dir, "agents")).Run(); err != nil {
		t.Fatal(err)
	}

	script := exec.CommandContext(t.Context(), bash, "-u", "train.sbatch", "train.py", "--epochs", "2 3")
	script.WaitDelay = time.Minute
	script.Env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "CALLS=" + dir,
		"SLURM_JOB_ID=7", "SLURM_SUBMIT_DIR=/home/u", "SLURMD_NODENAME=n1",
	}
	out, err := script.CombinedOutput()
	if script.ProcessState == nil || script.ProcessState.ExitCode() != 3 {
		t.Errorf("the script ended with %v, want the root's 3:\n%s", err, out)
	}
	called(t, dir, "root", "grace=20s --hosts 2:4 --per-host 4 --listen n1:7070 --certs /home/u/certs --max-restarts 10 "+
		"--report train-7.json -- train.py --epochs 2 3")
	called(t, dir, "agent",
		"agent --join n1:7070 --name n1 --listen n1:7071 --slots 4 --certs /home/u/certs",
		"agent --join n1:7070 --name n2 --listen n2:7071 --slots 4 --certs /home/u/certs",
		"agent --join n1:7070 --name n3 --listen n3:7071 --slots 4 --certs /home/u/certs")
	called(t, dir, "srun", "--no-kill", "--kill-on-bad-exit=0", "--wait=0", "--input=none")
}

// program writes an executable for bash.
func program(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/bash\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// called compares what a program has written down.
func called(t *testing.T, dir, name string, want ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(string(text)), "\n"); !slices.Equal(lines, want) {
		t.Errorf("%s was called with\n%q\nwant\n%q", name, lines, want)
	}
}
