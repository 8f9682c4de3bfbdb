package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// What a slip is told: the whole line, before anything starts.
func TestMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"my-script": "#!/usr/bin/env python3\nprint(1)\n", "script.sh": "#!/bin/bash -e\n", "bare": "print(1)\n", "broken": "#!/no/such/python\n",
		"file": "", "bare.sh": "echo\n", "group.yaml": "ranks: 2\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod("broken", 0o755); err != nil {
		t.Fatal(err)
	}
	const see = " (see launch --help)"
	for line, want := range map[string]string{
		"--max-restart 3 true":       "there is no flag --max-restart: did you mean --max-restarts?" + see,
		"--max_restart=3 true":       "there is no flag --max_restart: did you mean --max-restarts?" + see,
		"completion tcsh":            "completion: name a shell: one of bash, zsh, fish, powershell",
		"completion":                 "completion: name a shell: one of bash, zsh, fish, powershell",
		"--nproc 4 true":             "there is no flag --nproc: did you mean --nproc-per-node?" + see,
		"--nproc_per_nod 4 true":     "there is no flag --nproc_per_nod: did you mean --nproc-per-node?" + see,
		"--nnode 1 true":             "there is no flag --nnode: did you mean --nnodes?" + see,
		"--logdir x true":            "there is no flag --logdir: did you mean --log-dir?" + see,
		"--standalon true":           "there is no flag --standalon: did you mean --standalone?" + see,
		"--rank 3 true":              "there is no flag --rank: did you mean --ranks?" + see,
		"--lr 0.1 train.py":          "there is no flag --lr: flags of the command go after it" + see,
		"-x true":                    "there is no flag -x: flags of the command go after it" + see,
		"--ranks":                    "--ranks: give it a value" + see,
		"-n":                         "-n: give it a value" + see,
		"--max-restarts x true":      `--max-restarts "x": must be an integer` + see,
		"--grace 5 true":             `--grace "5": must be a duration like "30s" or "5m"` + see,
		"--master-port 70000 true":   "--master-port 70000: give a port from 1 to 65535, or leave it out: launch finds a free one",
		"-n 0 true":                  `--ranks "0": give the number of ranks, from 1 to 65536, or auto, cpu or gpu`,
		"-n -1 true":                 `--ranks "-1": give the number of ranks, from 1 to 65536, or auto, cpu or gpu`,
		"-n x true":                  `--ranks "x": give the number of ranks, from 1 to 65536, or auto, cpu or gpu`,
		"-nproc_per_node=4 true":     `--ranks "proc_per_node=4": give the number of ranks; for the longer flag write --nproc_per_node=4`,
		"--strategy al-for-one true": `--strategy "al-for-one": choose one of all-for-one, one-for-one, rest-for-one, fail-fast, ignore`,
		"--rules none.yaml true":     "--rules none.yaml: cannot be read: no such file or directory",
		"--log-dir file true":        "--log-dir file/RUN: cannot be made: not a directory",
		"--log-dir /proc/x true":     "--log-dir /proc/x/RUN: cannot be made: no such file or directory",
		"my-script":                  `"my-script" is not in PATH (write ./my-script for the file here): executable file not found in $PATH`,
		"./my-script":                "./my-script is not executable (chmod +x ./my-script, or run python3 ./my-script): permission denied",
		"./script.sh":                "./script.sh is not executable (chmod +x ./script.sh, or run bash ./script.sh): permission denied",
		"./bare":                     "./bare is not executable (chmod +x ./bare, or run python3 ./bare): permission denied",
		"./bare.sh":                  "./bare.sh is not executable (chmod +x ./bare.sh, or run sh ./bare.sh): permission denied",
		"./group.yaml": "./group.yaml is not executable (chmod +x ./group.yaml, or run python3 ./group.yaml): permission denied" +
			" (did you mean launch up ./group.yaml?)",
		"group.yaml": `"group.yaml" is not in PATH (write ./group.yaml for the file here): executable file not found in $PATH` +
			" (did you mean launch up group.yaml?)",
		"helo":                 `"helo" is not in PATH: executable file not found in $PATH (did you mean launch help?)`,
		"-m pkg/train.py x":    "--module pkg/train.py: a module is named without .py, and with dots: write -m pkg.train, or leave -m out",
		"./broken":             `the interpreter "/no/such/python" of ./broken: no such file or directory`,
		"train.py":             "train.py: file does not exist",
		"python3.99 my-script": `"python3.99" is not in PATH: executable file not found in $PATH`,
	} {
		t.Run(line, func(t *testing.T) {
			processtest.Check(t)
			code, stdout, stderr := here(t, strings.Fields(line)...)
			got := runName.ReplaceAllString(stderr, "RUN")
			wantCode := exitUsage
			switch {
			case strings.Contains(want, "permission denied"):
				wantCode = exitCannot
			case strings.Contains(want, "not in PATH"), strings.Contains(want, "does not exist"), strings.Contains(want, "interpreter"):
				wantCode = exitMissing
			}
			if code != wantCode || stdout != "" || got != "launch: "+want+"\n" {
				t.Errorf("exit status %d, want %d; %q\n%s", code, wantCode, stdout, got)
			}
		})
	}
}

var runName = regexp.MustCompile(regexp.QuoteMeta(hostname()) + `-\d+-\d+`)

func hostname() string {
	name, _ := os.Hostname()
	return name
}

// A script needs neither -- nor to be executable, and what stands behind it is its own.
func TestScriptWithoutDashes(t *testing.T) {
	c := start(t, "testdata/argv.py", "-n", "7")
	c.wants(0)
	if want := "[0] ['testdata/argv.py', '-n', '7'] unbuffered\n"; c.stdout.String() != want {
		t.Errorf("%q", c.stdout.String())
	}
}

// More ranks than this process may have descriptors for: how many it would be, and what to raise.
func TestTooManyRanks(t *testing.T) {
	processtest.Check(t)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 2*maxRanks {
		t.Skipf("needs a limit of open files that %d ranks exceed: %d, %v", maxRanks, limit.Cur, err)
	}
	code, _, stderr := here(t, "-n", fmt.Sprint(limit.Cur/2), "true")
	if want := regexp.MustCompile(`^launch: \d+ ranks need \d+ file descriptors and \d+ of \d+ are free: raise ulimit -n to at least \d+`); code != exitUsage ||
		!want.MatchString(stderr) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit status %d, %q", code, stderr)
	}
}

// Bounds of memory that the machine does not have are told; they are no error.
func TestMoreMemoryThanThereIs(t *testing.T) {
	const meminfo = "MemTotal:       4194304 kB\nMemFree: 1 kB\nSwapTotal: 1048576 kB\n"
	for each, want := range map[uint64]string{
		2 << 30: "the ranks may use 6.0 GiB of memory together (--memory), and this machine has 5.0 GiB", 1 << 30: "", 0: "",
	} {
		spec := supervisor.Spec{Ranks: supervisor.Repeat(3, process.Command{Memory: each})}
		if got := overcommitted(spec, meminfo); got != want {
			t.Errorf("%d each: %q, want %q", each, got, want)
		}
		if got := overcommitted(spec, ""); got != "" { // not Linux
			t.Errorf("%q", got)
		}
	}
}

// Who watches ranks that cannot say how they are is told so; the run goes on.
func TestHeartbeatOfNobody(t *testing.T) {
	const says = "launch: no rank can say that it is alive, or how far it is (Python can, and with --speaks who speaks): " +
		"--heartbeat, --stall and --lag have no effect\n"
	for line, want := range map[string]bool{
		"--heartbeat 1s true": true, "--stall 1s true": true, "--lag 3 --plain python3 -c pass": true,
		"--heartbeat 1s python3 -c pass": false, "true": false,
	} {
		t.Run(line, func(t *testing.T) {
			c := startUnder(t, nil, strings.Fields(line)...)
			c.wants(0)
			if got := strings.Contains(c.stderr.String(), says); got != want {
				t.Errorf("%v, %s", got, c.stderr.String())
			}
		})
	}
}

// A directory that is there and not ours to write in.
func TestLogDirOfAnother(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("needs a user other than root, who may write anywhere")
	}
	processtest.Check(t)
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := here(t, "--log-dir", dir, "true")
	if got := runName.ReplaceAllString(stderr, "RUN"); code != exitUsage || got != "launch: --log-dir "+dir+"/RUN: cannot be made: permission denied\n" {
		t.Errorf("%d, %q", code, got)
	}
}
