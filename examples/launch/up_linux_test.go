package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// A rank fails and all of them train on from the checkpoint (T16).
func TestUpTrain(t *testing.T) {
	t.Setenv("RANKS", "2")
	t.Setenv("EPOCHS", "2")
	t.Setenv("CHECKPOINT", tmp(t, "digits.json"))
	c := start(t, "up", "groups/train.yaml", "--report", tmp(t, "report.json"))
	c.wants(0)
	c.stdout.await(t, 1, `\[0\] test accuracy 0\.[0-9]+ `)
	if d := readReport(t, c.report); d.Outcome != "succeeded" || d.WorldSize != 2 {
		t.Errorf("%+v", d)
	}
}

// Workers begin when the server is ready; one that fails is started again alone; the server is stopped when they are done.
func TestUpServe(t *testing.T) {
	t.Setenv("PORT", ports(t)+"0")
	c := start(t, "up", "groups/serve.yaml", "--report", tmp(t, "report.json"))
	c.wants(0)
	c.stdout.await(t, 2, `\[[12]\] worker [01] read [0-9]+ bytes\n`)
	d := readReport(t, c.report)
	if d.Restarts != 1 || len(d.Failures) != 1 || d.Failures[0].Rank != 2 || d.Failures[0].Exit.Code != 3 {
		t.Errorf("restarts %d, failures %+v", d.Restarts, d.Failures)
	}
	for rank, want := range []string{"stopped 0", "succeeded 0", "succeeded 1"} {
		if got := d.Ranks[rank].Outcome + " " + string(rune('0'+d.Ranks[rank].Generation)); got != want {
			t.Errorf("rank %d: %s, want %s", rank, got, want)
		}
	}
}

// Two roles with commands of their own, of which one decides when the group is done.
func TestUpMixed(t *testing.T) {
	spool := tmp(t, "spool")
	t.Setenv("SPOOL", spool)
	c := start(t, "up", "groups/mixed.json", "--report", tmp(t, "report.json"))
	c.wants(0)
	c.stdout.await(t, 1, `(?m)^\[trainer/0\] trains with 0 1$`)
	c.stdout.await(t, 1, `(?m)^\[trainer/1\] watches rank 0 of 4$`)
	var d struct {
		Name  string
		Ranks []struct {
			Role       string
			RoleRank   int `json:"role_rank"`
			Outcome    string
			Conditions []string
		}
	}
	if err := json.Unmarshal([]byte(readText(t, c.report)), &d); err != nil {
		t.Fatal(err)
	}
	if d.Name != "mixed" || len(d.Ranks) != 4 || d.Ranks[3].Role != "reader" || d.Ranks[3].RoleRank != 1 || d.Ranks[3].Outcome != "stopped" ||
		strings.Join(d.Ranks[3].Conditions, " ") != "nice 10 limit core 0" || d.Ranks[0].Conditions != nil {
		t.Errorf("%+v", d)
	}
}

// What ranks find: the file's variables, the role's, the command line's, which wins; and what stands for ${…} (T12: nothing else).
func TestUpSubstitutes(t *testing.T) {
	t.Setenv("SET", "it's")
	t.Setenv("LAUNCH_GRACE", "9s") // is for launch
	path := file(t, "sub.yaml", `
env: {A: file, B: "${rank}/${world_size}", C: file, EMPTY: "", COST: $$5}
output: raw
roles:
  one:
    ranks: 2
    command: [sh, -c, 'echo "${role}:${role_rank}/${role_world_size} ${env:SET} ${env:UNSET:-not set} $A $B $C<$EMPTY$LAUNCH_GRACE>$COST $RANK $${A}"']
    env: {A: role}
  two:
    command: echo two ${rank} ${local_rank} ${dir} ${run_id}
`, 0o644)
	c := start(t, "up", "--env", "C=line", path)
	c.wants(0)
	for _, want := range []string{
		"one:0/2 it's not set role 0/3 line<>$5 0 role\n", "one:1/2 it's not set role 1/3 line<>$5 1 role\n", "two 2 2 " + filepath.Dir(path) + " ",
	} {
		if !strings.Contains(c.stdout.String(), want) {
			t.Errorf("no %q in %q", want, c.stdout.String())
		}
	}
}

// A dry run shows what each rank runs: neighbours with the same command in one line, others in their own.
func TestUpDryRunOfEachRank(t *testing.T) {
	processtest.Check(t)
	path := file(t, "each.yaml", "roles:\n  a: {ranks: 2, command: 'echo ${rank}'}\n  b: {ranks: 3, command: true}\n  c: {commands: [true, [echo, b], [echo, b]]}\n", 0o644)
	code, stdout, _ := here(t, "up", "--dry-run", path)
	want := "a            rank 0: echo 0\na            rank 1: echo 1\nb            ranks 2-4: true\n" +
		"c            rank 5: true\nc            ranks 6, 7: echo b\n"
	if code != 0 || !strings.Contains(stdout, want) {
		t.Errorf("exit status %d, %s", code, stdout)
	}
}

// A flag wins over a variable, a variable over the file, a role over its group.
func TestUpPrecedence(t *testing.T) {
	processtest.Check(t)
	path := file(t, "group.yaml", `
grace: 1s
ranks: 3
nice: 1
command: "true"
max-restarts: 7
strategy: one-for-one
`, 0o644)
	t.Setenv("LAUNCH_GRACE", "2s")
	t.Setenv("LAUNCH_MAX_RESTARTS", "8")
	code, stdout, stderr := here(t, "up", path, "--dry-run", "--max-restarts", "9", "-n", "2", "--nice=5")
	for _, want := range []string{"\nworld size   2\n", "\ngrace        2s\n", "\nstrategy     one-for-one, 9 restarts\n", "\nrank 1       nice 5\n", "\ncommand      ranks 0, 1: true\n", "group        group\n"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit status %d, %q, no %q in\n%s", code, stderr, want, stdout)
		}
	}
}

// A rank may have a command of its own, and be one whose end ends the group.
func TestUpSignificant(t *testing.T) {
	path := file(t, "group.yaml", `
commands: [[sleep, "1000"], [sh, -c, echo rank $RANK ends]]
significant: 1
grace: 20s
`, 0o644)
	c := start(t, "up", path, "--report", tmp(t, "report.json"))
	c.wants(0)
	c.stdout.await(t, 1, `\[1\] rank 1 ends\n`)
	if d := readReport(t, c.report); d.Ranks[0].Outcome != "stopped" || d.Ranks[1].Outcome != "succeeded" {
		t.Errorf("%+v", d.Ranks)
	}
}

// Rules in the file decide, and say so with the file's lines.
func TestUpRules(t *testing.T) {
	for name, content := range map[string]string{
		"block.yaml": "max-restarts: 0\nrules:\n  - when: {exit: 3, generation: 0}\n    do: restart group\n    free: true\ncommand: [sh, -c, 'exit $((3-3*MUSTER_GENERATION))']\n",
		"flow.json":  `{"command": ["sh", "-c", "exit $((3-3*MUSTER_GENERATION))"], "rules": [{"when": {"exit": 3}, "do": "restart group", "free": true}], "grace": "9s"}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, "up", file(t, name, content, 0o644), "--report", tmp(t, "report.json"))
			c.wants(0)
			if d := readReport(t, c.report); d.Restarts != 1 {
				t.Errorf("%+v", d)
			}
		})
	}
}

// Everything that is wrong is told at once, in the order of the file, before anything starts.
func TestUpTellsEverything(t *testing.T) {
	processtest.Check(t)
	code, stdout, stderr := here(t, "up", "testdata/bad.yaml")
	if *update {
		if err := os.WriteFile("testdata/bad.golden", []byte(stderr), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readText(t, "testdata/bad.golden"); code != 2 || stdout != "" || stderr != want {
		t.Errorf("exit status %d, %q, stderr:\n%s\nwant:\n%s", code, stdout, stderr, want)
	}
}

// Mistakes that hide no others, each where it is.
func TestUpRefuses(t *testing.T) {
	processtest.Check(t)
	t.Chdir(t.TempDir())
	for content, want := range map[string]string{
		"":                                           "f.yaml:1:1: the file is empty: it must say what to run: write command, or roles",
		"[a]":                                        "f.yaml:1:1: the file must have keys: ",
		"ranks: 2":                                   "f.yaml:1:1: the file does not say what to run: write command, or commands for each rank",
		"command: echo 'a b'":                        "f.yaml:1:10: command: only a shell understands this text: write a list of words",
		"command: [[a]]":                             "f.yaml:1:11: command: each word is one value, here is a list",
		"command: &a [ls]":                           "f.yaml:1:10: command: write a text, or a list of words without anchors, aliases and tags",
		"command: {a: b}":                            "f.yaml:1:10: command: write a text, or a list of words, here are keys",
		"command: ls\nnproc-per-node: 2":             `f.yaml:2:1: the file has no key "nproc-per-node": did you mean ranks?`,
		"command: ls\nmax_restarts: 2":               `f.yaml:2:1: the file has no key "max_restarts": did you mean max-restarts?`,
		"command: ls\ncolour: red":                   "f.yaml:2:1: the file has no key \"colour\": it may have command, commands, ranks, restart, $schema, roles, rules, significant, shutdown and each flag that launch --help-all names\n",
		"command: ls\nredirects: 9":                  `f.yaml:2:12: redirects "9": write 1 for standard output`,
		"command: [a, \"${b\"]":                      `f.yaml:1:10: command: "${b" has no closing brace: write $${ for a dollar and a brace`,
		"command: ${env:NOT_THERE}":                  "f.yaml:1:10: command: the variable NOT_THERE is not set: write ${env:NOT_THERE:-DEFAULT} for when it is not",
		"command: ${RANK}":                           "f.yaml:1:10: command: there is no ${RANK}: write one of dir, local_rank, rank, role, role_rank, role_world_size, run_id, world_size or env:NAME, and $${RANK} for a shell's",
		"command: no-such-program":                   `f.yaml:1:10: "no-such-program" is not in PATH`,
		"command: no-such.py":                        "f.yaml:1:10: no-such.py: file does not exist",
		"command: a\ncommand: b":                     `f.yaml:2:1: the file cannot be read as YAML: mapping key "command" already defined at [1:1]`,
		"command: ls\nranks: 0":                      `f.yaml:2:8: ranks "0": give the number of ranks, from 1 to 65536, or auto, cpu or gpu`,
		"ranks: 3\ncommands: [ls]":                   "f.yaml:2:12: commands: there are 1 for 3 ranks: write one for each, or leave ranks out",
		"command: ls\nroles: {a: {command: ls}}":     "f.yaml:1:1: the file has roles: write command, commands and ranks in each of them",
		"roles:\n  a b: {command: ls}":               `f.yaml:2:18: the role "a b": write a name without blanks and slashes` + "\n",
		"roles:\n  a: {}":                            "f.yaml:2:3: the role a does not say what to run",
		"roles: {a: {command: ls, grace: 1s}}":       `f.yaml:1:26: the role a has no key "grace"`,
		"roles: {a: {command: ls}}\nsuccess: role:b": "f.yaml:2:10: success role:b: there is no such role",
		"roles: {a: {command: ls, restart: permanent}}\nsuccess: role:a": "f.yaml:2:10: success: rank 0 is permanent, and never ends well",
		"command: ls\nrestart: permanent\nsuccess: quorum:1":             "f.yaml:3:10: the quorum is 1, and only 0 ranks can end well",
		"command: ls\nsilence: 3s":                                       "f.yaml:2:10: silence 3s: say with heartbeat how often a rank is to break it",
		"command: ls\njournal: /no/such/directory":                       "f.yaml:2:10: journal /no/such/directory: cannot be written: no such file or directory",
		"command: ls\nsignificant: 3":                                    "f.yaml:2:14: significant: there is no rank 3 in a group of 1",
		"command: ls\nchdir: ${rank}-${env:NO:-}":                        "f.yaml:2:8: chdir 0-: there is no such directory",
		"command: ls\nexplain: x":                                        `f.yaml:2:1: the file has no key "explain"`,
		"command: ls\nenv: {A: &x 1}":                                    "f.yaml:2:10: env: write one value without anchors",
		"command: ls\nenv: &x {A: 1}":                                    "f.yaml:2:6: env: write one value",
		"command: ls\ngrace: [1s]":                                       "f.yaml:2:8: grace: write one value, here is a list",
		"command: ls\nrules: nowhere.yaml":                               "f.yaml:2:8: rules nowhere.yaml: cannot be read: no such file or directory",
		"command: ls\nrole: x/y":                                         `f.yaml:2:7: the role "x/y"`,
		"command: ls\nmax-restarts: 1\nwithin: 1h\ndecay: 1h":            "f.yaml:4:8: decay 1h0m0s: it stands in place of within: leave one out",
		"command: ls\n" + strings.Repeat("[", 40):                        "f.yaml:2:17: this is nested deeper than 16",
		"command: ls\nbackoff: " + strings.Repeat("9", 70000):            "f.yaml:1:1: the file has 70021 bytes, and at most 65536 are read",
		"{command: ls, rules: [{do: fail}, {do: fail}], grace: 1s}":      "f.yaml:1:35: this rule never matches: the one in line 1 matches everything",
	} {
		if err := os.WriteFile("f.yaml", []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := here(t, "up", "f.yaml")
		if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "launch: "+want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%.60s\n    exit status %d, %q\n    stderr %s    want   %s", content, code, stdout, stderr, want)
		}
	}
}

// What is wrong with the command line is no fault of the file.
func TestUpBadUsage(t *testing.T) {
	processtest.Check(t)
	good := file(t, "good.yaml", "roles: {a: {command: ls}}", 0o644)
	for args, want := range map[string]string{
		"up":                           "up: give one group file, as in launch up group.yaml\n",
		"up " + good + " ls":           "up: give one group file",
		"up /no/such":                  "up /no/such: cannot be read: no such file or directory\n",
		"up /":                         "up /: cannot be read: is a directory\n",
		"up " + good + " -n 2":         "--ranks 2: the roles of " + good + " say how many ranks they have\n",
		"up " + good + " --role b":     "--role b: the roles of " + good + " have names\n",
		"up " + good + " --memory 3X":  `--memory "3X": write bytes`,
		"up " + good + " --grace -1s":  "--grace -1s: a time cannot be negative\n",
		"up " + good + " --explain x":  "there is no flag --explain: did you mean --plain? (see launch up --help)\n",
		"up " + good + " --output all": `--output "all": choose prefix`,
	} {
		code, _, stderr := here(t, strings.Fields(args)...)
		if code != 2 || !strings.HasPrefix(stderr, "launch: "+want) {
			t.Errorf("%s: exit status %d, %s", args, code, stderr)
		}
	}
}

// --role names the ranks of a command line, which a prefix can show.
func TestRole(t *testing.T) {
	c := start(t, "-n", "2", "--role", "trainer", "--prefix", "<%R> ", "--success", "role:trainer", "sh", "-c", "echo $ROLE_NAME $ROLE_RANK of $ROLE_WORLD_SIZE")
	c.wants(0)
	c.stdout.await(t, 1, `(?m)^<trainer/0> trainer 0 of 2$`)
	c.stdout.await(t, 1, `(?m)^<trainer/1> trainer 1 of 2$`)
	if code, _, stderr := here(t, "--success", "role:reader", "--role", "trainer", "true"); code != 2 || !strings.Contains(stderr, "there is no such role") {
		t.Errorf("exit status %d, %s", code, stderr)
	}
}
