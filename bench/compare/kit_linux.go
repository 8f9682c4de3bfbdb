package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/go-muster/muster/bench/compare/internal/results"
)

//go:embed programs
var programs embed.FS

// A kit is what contenders are made of, in a directory of its own.
type kit struct {
	dir                          string
	launch, subject, rank, spawn string
	quick                        bool
	root                         string // of this module
}

func (k *kit) program(name string) string { return filepath.Join(k.dir, name) }

// build makes a kit. The directory of the module is where the go command is asked.
func build(ctx context.Context, dir string, quick bool) (*kit, error) {
	root, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-muster/muster")
	if err != nil {
		return nil, fmt.Errorf("the comparison is built from this repository, so run it there: %w", err)
	}
	k := &kit{dir: dir, quick: quick, root: root}
	k.launch, k.subject, k.rank, k.spawn = k.program("launch"), k.program("subject"), k.program("rank"), k.program("spawn")
	if err := unpack(dir); err != nil {
		return nil, err
	}
	for _, argv := range [][]string{
		{"go", "build", "-C", root, "-o", k.launch, "./examples/launch"},
		{"go", "build", "-C", root, "-o", k.subject, "./bench/compare/subject"},
		{"cc", "-O2", "-o", k.rank, k.program("rank.c")},
		{"cc", "-O2", "-o", k.spawn, k.program("spawn.c")},
	} {
		if _, err := output(ctx, argv...); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// unpack writes the programs that are not built.
func unpack(dir string) error {
	return fs.WalkDir(programs, "programs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := programs.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, d.Name()), text, 0o700)
	})
}

// output runs a command of the preparations, and returns what it has printed, without the last newline.
func output(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// A need is what contenders may need from the machine, and how to ask for its version.
type need struct {
	name    string
	apt     string // the package of Debian
	version []string
	lacks   string // why it is missing when it cannot be installed
}

const parallelStart = `import sys, torch.multiprocessing.spawn as s
sys.exit(0 if hasattr(s, "ENV_VAR_PARALLEL_START") else "none")`

var needs = []need{
	{name: "python3", apt: "python3", version: []string{python3, "--version"}},
	{name: "mpich", apt: "mpich", version: []string{"mpiexec.hydra", "--version"}},
	{name: "openmpi", apt: "openmpi-bin", version: []string{"orterun", "--version"}},
	{name: "torch", apt: "python3-torch", version: []string{python3, "-c", "import torch; print(torch.__version__)"}},
	{name: "torch's parallel start", version: []string{python3, "-c", parallelStart}, lacks: "it came with torch 2.6"},
	{name: "parallel", apt: "parallel", version: []string{"parallel", "--version"}},
	{name: "supervisor", apt: "supervisor", version: []string{"supervisord", "--version"}},
	{name: "erlang", apt: "erlang-base", version: []string{"erl", "-noshell", "-eval", `io:format("OTP ~s~n", [erlang:system_info(otp_release)]), halt().`}},
}

// look says who is there, and installs who is not when that is allowed.
func look(ctx context.Context, install bool) (peers []results.Peer, have map[string]bool, err error) {
	have = map[string]bool{}
	for _, n := range needs {
		peer := n.peer(ctx)
		if peer.Missing != "" && install && n.apt != "" {
			if err := aptInstall(ctx, n.apt); err != nil {
				return nil, nil, err
			}
			peer = n.peer(ctx)
		}
		peers, have[n.name] = append(peers, peer), peer.Missing == ""
	}
	return peers, have, nil
}

func (n need) peer(ctx context.Context) results.Peer {
	out, err := output(ctx, n.version...)
	switch {
	case err == nil:
		return results.Peer{Name: n.name, Version: versionIn(out)}
	case n.apt == "":
		return results.Peer{Name: n.name, Missing: n.lacks}
	}
	return results.Peer{Name: n.name, Missing: fmt.Sprintf("not installed: apt-get install %s, or --install", n.apt)}
}

// versionIn is the line that tells the version, or else the first.
func versionIn(out string) string {
	first, _, _ := strings.Cut(out, "\n")
	for line := range strings.Lines(out) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "Version" {
			return strings.TrimSpace(value)
		}
	}
	return first
}

func aptInstall(ctx context.Context, name string) error {
	argv := []string{"apt-get", "install", "-q", "-y", "--no-install-recommends", name}
	if os.Getuid() != 0 {
		argv = append([]string{"sudo"}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	return nil
}
