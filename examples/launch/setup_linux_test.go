package main

import (
	"fmt"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/actors/process/stage"
)

// sees runs two ranks that print something, and wants a line of it from each.
func sees(t *testing.T, script string, want [2]string, args ...string) *cli {
	t.Helper()
	c := start(t, append(append([]string{"-n", "2"}, args...), "--", "sh", "-c", script)...)
	c.wants(0)
	for rank, line := range want {
		if line = fmt.Sprintf("[%d] %s\n", rank, line); !strings.Contains(c.stdout.String(), line) {
			t.Errorf("no %q in %q", line, c.stdout.String())
		}
	}
	return c
}

func both(line string) [2]string { return [2]string{line, line} }

// Without --stdin a rank reads nothing, whatever launch could read (T23).
func TestStdinOfNobody(t *testing.T) {
	c := prepareChecked(t, "-n", "2", "sh", "-c", "cat; echo end")
	c.cmd.Stdin = strings.NewReader("launch's own\n")
	c.begin()
	c.wants(0)
	if out := c.stdout.String(); strings.Contains(out, "own") || strings.Count(out, "end\n") != 2 {
		t.Errorf("%q", out)
	}
}

// One rank gets launch's own, all of it, however late it reads (T23).
func TestStdinOfOneRank(t *testing.T) {
	const size = 5_000_000
	c := prepareChecked(t, "-n", "3", "--stdin", "1", "--", "sh", "-c", `[ $RANK != 1 ] || echo go; wc -c`)
	c.cmd.Stdin = strings.NewReader(strings.Repeat("x", size))
	c.begin()
	c.wants(0)
	for rank, want := range []int{0, size, 0} {
		c.stdout.await(t, 1, fmt.Sprintf(`\[%d\] %d\n`, rank, want))
	}
}

func TestStdinOfAFile(t *testing.T) {
	path := file(t, "input", "one\n", 0o644)
	sees(t, "cat", both("one"), "--stdin", path)
	if err := os.Rename(path, filepath.Join(filepath.Dir(path), "7")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(path))
	sees(t, "cat", both("one"), "--stdin", "./7", "--chdir", "/")
}

func prepareChecked(t *testing.T, args ...string) *cli {
	t.Helper()
	processtest.Check(t)
	return prepare(t, nil, args...)
}

// A rank is in the background of a terminal, where to read is to be stopped for good.
func TestStdinOfATerminal(t *testing.T) {
	c := prepareChecked(t, "--stdin", "0", "cat")
	c.cmd.Stdin = terminal(t)
	c.begin()
	c.wants(2)
	c.stderr.await(t, 1, `launch: --stdin 0: a rank is no foreground job and cannot read from the terminal: .*\n`)
}

// terminal opens one that nobody looks at.
func terminal(t *testing.T) *os.File {
	t.Helper()
	_, slave := newTerminal(t)
	return slave
}

const whichCPUs = `sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status`

// Each rank is where it is to be when it begins, and the report says where (T24).
func TestBind(t *testing.T) {
	cpus := allowed()
	if len(cpus) < 2 {
		t.Skip("needs two processors")
	}
	first, second := strconv.Itoa(cpus[0]), strconv.Itoa(cpus[1])
	report := tmp(t, "report.json")
	sees(t, whichCPUs, [2]string{second, first}, "--bind", second+":"+first, "--report", report)
	r := readReport(t, report)
	if !slices.Equal(r.Ranks[0].Conditions, []string{"cpus " + second}) || !slices.Equal(r.Ranks[1].Conditions, []string{"cpus " + first}) {
		t.Errorf("%+v", r.Ranks)
	}
	for _, how := range []string{"core", "numa"} {
		places, err := bindings(how, 2)
		if err != nil {
			t.Logf("--bind %s cannot be tried here: %v", how, err)
			continue
		}
		var want [2]string
		for rank, p := range places {
			want[rank] = strings.TrimPrefix(process.Command{Setup: stage.Settings{CPUs: p.cpus}}.Conditions()[0], "cpus ")
		}
		sees(t, whichCPUs, want, "--bind", how)
	}
}

// A machine of two nodes with two cores each, of two threads each; one thread is not ours, one node has no memory.
func TestTopology(t *testing.T) {
	dir := t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for cpu := range 8 {
		write(fmt.Sprintf("cpu/cpu%d/topology/thread_siblings_list", cpu), fmt.Sprintf("%d,%d", cpu%4, cpu%4+4))
	}
	write("node/node0/cpulist", "0-1,4-5")
	write("node/node1/cpulist", "2-3,6-7")
	write("node/node2/cpulist", "")
	write("node/has_memory", "0,2")
	machine := topology{system: dir, allowed: []int{0, 1, 2, 3, 4, 6, 7}}
	node0, node1 := place{[]int{0, 1, 4}, []int{0}}, place{cpus: []int{2, 3, 6, 7}}
	for name, test := range map[string]struct {
		how   string
		ranks int
		want  []place
		wrong string
	}{
		"cores":           {"core", 3, []place{{cpus: []int{0, 4}}, {cpus: []int{1}}, {cpus: []int{2, 6}}}, ""},
		"too few cores":   {"core", 5, nil, "5 ranks and 4 cores that launch may use"},
		"neighbours":      {"numa", 4, []place{node0, node0, node1, node1}, ""},
		"one rank":        {"numa", 1, []place{node0}, ""},
		"lists":           {"0-1,7:2", 2, []place{{cpus: []int{0, 1, 7}}, {cpus: []int{2}}}, ""},
		"a list too few":  {"0-1", 2, nil, "it has 1 lists for 2 ranks"},
		"a list too many": {"0:1:2", 2, nil, "it has 3 lists for 2 ranks"},
		"no list":         {"socket", 1, nil, "write none, core, numa, or the processors of each rank"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := machine.bindings(test.how, test.ranks)
			if !reflect.DeepEqual(got, test.want) || (err != nil) != (test.wrong != "") ||
				err != nil && !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	if _, err := (topology{system: t.TempDir(), allowed: []int{0}}).bindings("numa", 1); err == nil {
		t.Error("a machine without nodes")
	}
}

func TestPriorities(t *testing.T) {
	sees(t, `echo $(nice) $(cat /proc/self/oom_score_adj)`, both("7 600"), "--nice", "7", "--oom-score-adj", "600")
}

func TestLimits(t *testing.T) {
	sees(t, `echo $(ulimit -Sn) $(ulimit -Hn) $(ulimit -c) $(ulimit -v)`, both("128 256 0 1048576"),
		"--limit", "nofile=128:256", "--limit", "RLIMIT_CORE=0", "--limit", "as=1G")
}

// The chosen signal asks a rank to stop, and another one for its stacks before it is killed.
func TestChosenSignals(t *testing.T) {
	c := start(t, "--stop-signal", "usr2", "--", "sh", "-c", `trap "echo asked; exit 0" USR2; echo ready; while :; do sleep 0.1; done`)
	c.stdout.await(t, 1, "ready\n")
	c.signal(unix.SIGTERM)
	c.wants(143)
	c.stdout.await(t, 1, "asked\n")
	c = startUnder(t, nil, "--dump-signal", "SIGABRT", "--grace", "0", "--", "sh", "-c",
		`trap "echo stacks; exit 0" ABRT; trap "" TERM; echo ready; while :; do sleep 0.1; done`)
	c.stdout.await(t, 1, "ready\n")
	c.signal(unix.SIGTERM)
	c.wants(143)
	c.stdout.await(t, 1, "stacks\n")
}

func TestUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	who, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("needs the user nobody:", err)
	}
	const ids = `echo $(id -u) $(id -g)`
	sees(t, ids, both(who.Uid+" "+who.Gid), "--user", "nobody")
	sees(t, ids, both(who.Uid+" 54321"), "--user", who.Uid+":54321", "--nice", "-1")
}

// A variable that is spelt almost as one of ours is told of; somebody else's is not (T30).
func TestMisspeltVariable(t *testing.T) {
	t.Setenv("LAUNCH_MAX_RESTART", "3")
	t.Setenv("LAUNCH_NPROC_PER_NODE", "2")
	t.Setenv("LAUNCH_DARKLY_SDK_ID", "theirs")
	processtest.Check(t)
	code, _, stderr := here(t, "--dry-run", "true")
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	slices.Sort(lines)
	if want := []string{
		"launch: the variable LAUNCH_MAX_RESTART has no effect: did you mean LAUNCH_MAX_RESTARTS?",
		"launch: the variable LAUNCH_NPROC_PER_NODE has no effect: did you mean LAUNCH_RANKS?",
	}; code != 0 || !slices.Equal(lines, want) {
		t.Errorf("exit status %d, %q", code, lines)
	}
}

// A variable that the ranks do not inherit, unless --env gives them one.
func TestUnset(t *testing.T) {
	t.Setenv("MUSTER_TEST_A", "a")
	t.Setenv("MUSTER_TEST_B", "b")
	sees(t, `echo "${MUSTER_TEST_A-none} $MUSTER_TEST_B"`, both("none c"),
		"--unset", "MUSTER_TEST_A", "--unset", "MUSTER_TEST_B", "--env", "MUSTER_TEST_B=c")
}

// What launch itself sees is divided, or as many as it is told there are.
func TestGPUs(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "GPU-a,3,GPU-b,1")
	sees(t, `echo $CUDA_VISIBLE_DEVICES`, both("GPU-a,3,GPU-b,1"))
	sees(t, `echo $CUDA_VISIBLE_DEVICES`, [2]string{"GPU-a,3", "GPU-b,1"}, "--gpus", "2")
	sees(t, `echo $ROCR_VISIBLE_DEVICES`, [2]string{"0", "1"}, "--gpus", "1/4", "--gpu-variables", "ROCR_VISIBLE_DEVICES")
}

// Bounds hold, or nothing starts.
func TestBoundsOfARank(t *testing.T) {
	c := start(t, "--memory", "64M", "--pids", "30", "--", "sh", "-c",
		`cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/memory.max`)
	if c.end() == 2 && strings.Contains(c.stderr.String(), "no bounds of memory, pids") {
		t.Skip("needs a cgroup v2 with the controllers memory and pids:", c.stderr.String())
	}
	c.stdout.await(t, 1, `\[0\] 67108864\n`)
}

// A layer that is left out is not in the level, which is said in one line, and in the report.
func TestWithout(t *testing.T) {
	for layers, want := range map[string]string{"cgroup,watchdog,deathsig": "group", "cgroup,watchdog": "group+deathsig"} {
		report := tmp(t, "report.json")
		c := start(t, "--without", layers, "--report", report, "true")
		c.wants(0)
		if r := readReport(t, report); c.stderr.String() != "launch: containment "+want+"\n" || r.Containment != want {
			t.Errorf("%s: %q, %q", layers, c.stderr.String(), r.Containment)
		}
	}
}

// A prefix says as much as one wants to know.
func TestPrefix(t *testing.T) {
	host, _ := os.Hostname()
	c := start(t, "-n", "2", "--max-restarts", "1", "--prefix", "%h %r/%n@%g %s 100%% ", "--", "sh", "-c",
		"echo a; echo b >&2; exit $((1 - TORCHELASTIC_RESTART_COUNT))")
	c.wants(0)
	host = regexp.QuoteMeta(host)
	c.stdout.await(t, 1, `(?m)^`+host+` 1/2@1 stdout 100% a$`)
	c.stderr.await(t, 1, `(?m)^`+host+` 0/2@1 stderr 100% b$`)
	c = startUnder(t, nil, "--prefix", "", "echo", "plain")
	c.wants(0)
	if c.stdout.String() != "plain\n" {
		t.Errorf("%q", c.stdout.String())
	}
}

// Each flag is a variable, too: a flag wins, a repeated one has a line for each value, and the ranks see none of it.
func TestVariables(t *testing.T) {
	t.Setenv("LAUNCH_RANKS", "2")
	t.Setenv("LAUNCH_PREFIX", "(%r) ")
	t.Setenv("LAUNCH_ENV", "A=1 2\nB=3\n")
	t.Setenv("LAUNCH_NICE", "3")
	t.Setenv("LAUNCH_OTHER", "kept")
	c := start(t, "--nice", "4", "--", "sh", "-c", `echo "$A,$B,$(nice),$LAUNCH_OTHER,${LAUNCH_RANKS-none}"`)
	c.wants(0)
	for rank := range 2 {
		c.stdout.await(t, 1, fmt.Sprintf(`\(%d\) 1 2,3,4,kept,none\n`, rank))
	}
}

func TestBadVariable(t *testing.T) {
	processtest.Check(t)
	t.Setenv("LAUNCH_MAX_RESTARTS", "many")
	code, _, stderr := here(t, "true")
	if code != 2 || !strings.HasPrefix(stderr, "launch: LAUNCH_MAX_RESTARTS \"many\": must be an integer") {
		t.Errorf("%d, %q", code, stderr)
	}
}

// What a dry run says of each rank is what would be applied to it.
func TestDryRunOfSettings(t *testing.T) {
	processtest.Check(t)
	code, stdout, stderr := here(t, "-n", "2", "--dry-run", "--bind", "0:0", "--gpus", "1/2", "--nice", "5", "--oom-score-adj", "9",
		"--limit", "nofile=16:32", "--stop-signal", "INT", "--dump-signal", "3", "--stdin", "/dev/null", "--", "true")
	want := regexp.MustCompile(`\nrank 1 +stdin /dev/null; cpus 0; nice 5; oom_score_adj 9; limit nofile 16:32; stopped by SIGINT; ` +
		`dumps at SIGQUIT; CUDA_VISIBLE_DEVICES=1\n`)
	if code != 0 || stderr != "" || !want.MatchString(stdout) {
		t.Errorf("%d %q\n%s", code, stderr, stdout)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "17": 17, "17B": 17, "1K": 1 << 10, "2m": 2 << 20, "3Gi": 3 << 30, "4TiB": 4 << 40,
		strconv.FormatUint(math.MaxUint64, 10): math.MaxUint64} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "G", "-1", "1.5G", "1X", "1KK", "1GK", "99999999999T", "1 G", "i"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
}
