package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// The help fits on a screen, with the prompt behind it, has examples, and names only what is there.
func TestHelpFitsOnAScreen(t *testing.T) {
	processtest.Check(t)
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}} {
		code, stdout, stderr := here(t, args...)
		if n := strings.Count(stdout, "\n"); code != 0 || stderr != "" || n < 16 || n > 23 {
			t.Errorf("%q: exit status %d, %q, %d lines", args, code, stderr, n)
		}
		for line := range strings.Lines(stdout) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
				t.Errorf("%d columns: %q", n, line)
			}
		}
		if !strings.Contains(stdout, "\n  launch -n 4 -- python3 train.py --lr 0.1\n") {
			t.Errorf("no examples: %s", stdout)
		}
		all := map[string]bool{"--join": true} // of launch agent
		for _, s := range new(flags).sections() {
			for _, name := range regexp.MustCompile(`--([a-z-]+)`).FindAllString(s.FlagUsages(), -1) {
				all[name] = true
			}
		}
		for _, name := range regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(stdout, -1) {
			if name != "--lr" && !all[name] {
				t.Errorf("there is no %s", name)
			}
		}
	}
}

// The script for bash works where nothing but bash is installed, and in a group file's directory.
func TestBashCompletion(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash:", err)
	}
	processtest.Check(t)
	bin, env := shellFiles(t)
	script := file(t, "try", `PATH=`+quote(bin)+`:$PATH
source <(launch completion bash) || exit
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMPREPLY=()
__start_launch 2>/dev/null # compopt says that nobody has pressed a key
IFS=' '; echo "${COMPREPLY[*]}"
`, 0o644)
	for line, want := range map[string]string{
		"launch --strat":             "--strategy",
		"launch --strategy o":        "one-for-one",
		"launch --strategy=o":        "one-for-one",
		"launch -n 2 --success ":     "all any rank: role: quorum:",
		"launch repl":                "replay",
		"launch up group":            "group.yaml groups",
		"launch up groups/":          "groups/a.json",
		"launch --chdir g":           "groups",
		"launch completion z":        "zsh",
		"launch --ready tcp:1":       "127.0.0.1:", // bash takes what is behind the colon for a word
		"launch -n 2 -- python3 tr":  "",
		"launch -n 2 -- launch --st": "",
	} {
		cmd := exec.Command("bash", "--norc", "--noprofile", script, line)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
}

// shellFiles are those among which completions are tried. It returns the directory of a program launch, which runs this one.
func shellFiles(t *testing.T) (bin string, env []string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range []string{"group.yaml", "group.txt", "groups/a.json"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	helper := processtest.Command(t, program)
	return filepath.Dir(file(t, "launch", "#!/bin/sh\nexec "+quote(helper.Args[0])+` "$@"`+"\n", 0o755)), helper.Env
}

func TestFishCompletion(t *testing.T) {
	if _, err := exec.LookPath("fish"); err != nil {
		t.Skip("needs fish (apt-get install fish):", err)
	}
	processtest.Check(t)
	bin, env := shellFiles(t)
	for line, want := range map[string]string{
		"launch --strat":            "--strategy\tall-for-one, one-for-one, rest-for-one, fail-fast, ignore\n",
		"launch --strategy o":       "one-for-one\n",
		"launch up --strategy=o":    "--strategy=one-for-one\n",
		"launch repl":               "replay\tPrint what another",
		"launch up group":           "group.txt\ngroup.yaml\ngroups/\n", // in fish, files are files
		"launch --tee":              "--tee\tSTREAMS to files",
		"launch -n 2 -- echo group": "group.txt\ngroup.yaml\ngroups/\n",
	} {
		cmd := exec.Command("fish", "--no-config", "-c", "launch completion fish | source; complete -C "+quote(line))
		cmd.Env = append(append(os.Environ(), env...), "HOME="+t.TempDir(), "PATH="+bin+":"+os.Getenv("PATH"))
		if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%q: %q, %v, want %q", line, out, err, want)
		}
	}
}

// In zsh only a key on a terminal completes.
func TestZshCompletion(t *testing.T) {
	zsh, err := exec.LookPath("zsh")
	if err != nil {
		t.Skip("needs zsh (apt-get install zsh):", err)
	}
	bin, env := shellFiles(t)
	m := newMux(t, 100, 24)
	rc := "export PATH=" + quote(bin) + ":$PATH PS1='%% '\n"
	for _, kv := range env {
		rc += "export " + assignment(kv) + "\n"
	}
	rc += "autoload -U compinit; compinit -u -D; source <(launch completion zsh); cd " + quote(getwd(t)) + "; clear; echo here we are\n"
	m.keys("exec "+zsh+" -f", "Enter")
	m.keys(". "+file(t, "zshrc", rc, 0o644), "Enter")
	m.await(`(?m)\Ahere we are\n%$`)
	for typed, want := range map[string]string{
		"launch --strategy o": "launch --strategy one-for-one", "launch repl": "launch replay",
		"launch up group": "launch up group(.yaml)?\n.*group.yaml +groups/", "launch up --chdir g": "launch up --chdir groups/",
	} {
		m.keys(typed, "Tab")
		m.await(`(?m)^% ` + want)
		m.keys("C-u", "C-l")
		m.await(`\A%\n+\z`)
	}
}

func getwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestHelpOf(t *testing.T) {
	processtest.Check(t)
	for args, want := range map[string]string{
		"help flags":                   "The launcher itself:\n",
		"help replay":                  "launch replay JOURNAL",
		"help version":                 "containment that ranks get",
		"version --help":               "containment that ranks get",
		"completion --help":            "zsh",
		"completion bash":              "__start_launch",
		"completion zsh":               "#compdef launch",
		"completion fish":              "complete -c launch",
		"completion powershell":        "Register-ArgumentCompleter",
		"__complete --strategy one":    "one-for-one\n",
		"__complete --stop-signal Q":   "QUIT\n",
		"__complete replay --rules x":  "yaml\n",
		"__complete --chdir x":         ":16\n",
		"__complete re":                "replay\t",
		"__complete up x":              "yaml\n",
		"__complete up --success r":    "role:\n",
		"__complete help fl":           "flags\t",
		"__complete --max-rest":        "--max-restarts\t",
		"__complete -n 2 -- python3 x": ":0\n",
	} {
		if code, stdout, _ := here(t, strings.Fields(args)...); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit status %d, no %q in %q", args, code, want, stdout)
		}
	}
	if code, _, stderr := here(t, "help", "me"); code != 2 || !strings.Contains(stderr, "replay, restart, resume, status, stop, up, version") {
		t.Errorf("%d, %s", code, stderr)
	}
}

func TestVersion(t *testing.T) {
	processtest.Check(t)
	for _, arg := range []string{"version", "--version"} {
		code, stdout, stderr := here(t, arg)
		for _, want := range []string{runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, "\ncommit ", "\ncontainment "} {
			if code != 0 || stderr != "" || !strings.Contains(stdout, want) {
				t.Errorf("%s: exit status %d, %q, no %q in %q", arg, code, stderr, want, stdout)
			}
		}
	}
}

// A word of ours that is misspelt is a program that is not there; one that is not like ours is only that.
func TestMisspeltWord(t *testing.T) {
	processtest.Check(t)
	for word, want := range map[string]string{"replya": "did you mean launch replay?", "versio": "did you mean launch version?"} {
		if code, _, stderr := here(t, word, "x"); code != 127 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit status %d, %s", word, code, stderr)
		}
	}
	if code, _, stderr := here(t, "no-such-program"); code != 127 || strings.Contains(stderr, "did you mean") {
		t.Errorf("exit status %d, %s", code, stderr)
	}
}

// Programs may have our words for names: a flag or -- before them says so.
func TestWordsAsPrograms(t *testing.T) {
	bin := t.TempDir()
	echo, err := exec.LookPath("echo")
	if err != nil {
		t.Fatal(err)
	}
	c := prepareChecked(t, "--", "version", "of mine")
	if err := os.Symlink(echo, filepath.Join(bin, "version")); err != nil {
		t.Fatal(err)
	}
	c.cmd.Env = append(c.cmd.Env, "PATH="+bin+":/usr/bin:/bin")
	c.begin()
	c.wants(0)
	c.stdout.await(t, 1, `\[0\] of mine\n`)
}
