package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// withTorch finds a Python that has PyTorch: the one on the PATH need not be the one that it was installed for.
var withTorch = sync.OnceValue(func() string {
	for _, python := range []string{interpreter(), "/usr/bin/python3"} {
		const look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
		if exec.Command(python, "-c", look).Run() == nil {
			return python
		}
	}
	return ""
})

func needTorch(t *testing.T) {
	t.Helper()
	if withTorch() == "" {
		t.Skip("needs a python3 with PyTorch")
	}
	t.Setenv("PYTHON_EXEC", withTorch())
}

// An unchanged DDP program: env:// over gloo, a rank that raises, and all of them again, who meet at another port.
func TestTorchTraining(t *testing.T) {
	needTorch(t)
	report := tmp(t, "report.json")
	c := start(t, "--standalone", "--nproc_per_node=2", "--max_restarts=1", "--report", report,
		"../train/torch/train_ddp.py", "--epochs", "1", "--floor", "0", "--fail-rank", "1", "--fail-epoch", "1")
	c.wants(0)
	c.stdout.await(t, 1, `\[0\] test accuracy 0\.\d+`)
	r := readReport(t, report)
	if r.Restarts != 1 || len(r.Failures) == 0 {
		t.Fatalf("report %+v", r)
	}
	if f := r.Failures[0]; f.Rank != 1 || f.Exception == nil || f.Exception.Message != "rank 1 fails in epoch 1" {
		t.Errorf("failure %+v", f)
	}
}

// The contract as torch sees it, without the SDK: launched by torchelastic, @record's file, and a port of the user's choice that
// rank 0 can listen on again after a restart.
func TestTorchContract(t *testing.T) {
	needTorch(t)
	port, report := freePort(t), tmp(t, "report.json")
	c := start(t, "--nproc-per-node", "2", "--max-restarts", "1", "--master-port", port, "--report", report,
		"--plain", "--", withTorch(), "testdata/torch_contract.py")
	c.wants(0)
	if got := strings.Count(c.stdout.String(), "] sum 3 of 2 at "+port+"\n"); got != 2 {
		t.Errorf("%d ranks have met: %s", got, c.stdout.String())
	}
	r := readReport(t, report)
	if r.Restarts != 1 || len(r.Failures) == 0 {
		t.Fatalf("report %+v", r)
	}
	if f := r.Failures[0]; f.Rank != 1 || f.Exception == nil || f.Exception.Type != "ValueError" || f.Exception.Message != "no learning rate" {
		t.Errorf("failure %+v", f)
	}
}

// With an agent's store no rank listens: all are clients of the one that somebody else has at MASTER_PORT.
func TestTorchAgentStore(t *testing.T) {
	needTorch(t)
	port := freePort(t)
	const agent = `import sys, torch.distributed as dist
store = dist.TCPStore("127.0.0.1", int(sys.argv[1]), None, True, wait_for_workers=False)
print("listens", flush=True)
sys.stdin.read()
print("keys", store.num_keys(), flush=True)`
	processtest.Check(t)
	cmd := exec.Command(withTorch(), "-c", agent, port)
	var out text
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		_ = cmd.Wait()
		if !strings.Contains(out.String(), "keys ") || strings.Contains(out.String(), "keys 0\n") || strings.Contains(out.String(), "keys 1\n") {
			t.Errorf("the ranks have met elsewhere: %s", out.String())
		}
	}()
	out.await(t, 1, "listens\n")
	c := startUnder(t, nil, "-n", "2", "--master-port", port, "--env", "TORCHELASTIC_USE_AGENT_STORE=True", "testdata/torch_contract.py")
	c.wants(0)
	if got := strings.Count(c.stdout.String(), "] sum 3 of 2 at "+port+"\n"); got != 2 {
		t.Errorf("%d ranks have met: %s", got, c.stdout.String())
	}
}

// freePort is a port of the range that no connection takes by itself.
func freePort(t *testing.T) string {
	t.Helper()
	for port := 20000 + os.Getpid()%10000; port < 32000; port++ {
		if l, err := net.Listen("tcp", fmt.Sprint(":", port)); err == nil {
			l.Close()
			return fmt.Sprint(port)
		}
	}
	t.Fatal("no free port")
	return ""
}

// What torchrun itself gives a rank, launch gives it, with the same value: but for what is the run's own (torch.md a6).
func TestContractOfTorchrunItself(t *testing.T) {
	needTorch(t)
	processtest.Check(t)
	dir := t.TempDir()
	script := file(t, "variables.py", `import json, os
json.dump(dict(os.environ), open(os.path.join(os.environ["OUT"], os.environ["RANK"]), "w"))
`, 0o644)
	variables := func(sub string) (rank1 map[string]string) {
		text := readText(t, dir+"/"+sub+"/1")
		if err := json.Unmarshal([]byte(text), &rank1); err != nil {
			t.Fatal(err)
		}
		return rank1
	}
	for _, sub := range []string{"torchrun", "launch"} {
		if err := os.Mkdir(dir+"/"+sub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	same := []string{"--nproc_per_node", "2", "--max_restarts", "3", "--role", "trainer", "--log_dir", dir + "/logs", "-r", "1", "-t", "1"}
	theirs := exec.Command(withTorch(), append(append([]string{"-m", "torch.distributed.run", "--master_port", freePort(t)}, same...), script)...)
	theirs.Env = append(os.Environ(), "OUT="+dir+"/torchrun")
	if out, err := theirs.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := startUnder(t, []string{"env", "OUT=" + dir + "/launch"}, append(same, script)...)
	c.wants(0)

	ours, compared := variables("launch"), 0
	for name, value := range variables("torchrun") {
		if os.Getenv(name) == value || name == "OUT" {
			continue
		}
		if name == "NCCL_ASYNC_ERROR_HANDLING" { // until PyTorch 2.2
			name = "TORCH_NCCL_ASYNC_ERROR_HANDLING"
		}
		compared++
		got, found := ours[name]
		switch name {
		case "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_ERROR_FILE", "TORCHELASTIC_USE_AGENT_STORE":
			if !found || got == "" {
				t.Errorf("no %s, which is %s under torchrun", name, value)
			}
		default:
			if got != value {
				t.Errorf("%s is %q, and %q under torchrun", name, got, value)
			}
		}
	}
	if compared < 15 {
		t.Errorf("torchrun gave only %d variables", compared)
	}
}
