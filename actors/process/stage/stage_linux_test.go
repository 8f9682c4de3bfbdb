package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func number(n int) *int { return &n }

// TestWrap: no settings, no stage; otherwise the settings travel whole.
func TestWrap(t *testing.T) {
	path, argv, err := Wrap("/bin/x", []string{"x", "y"}, Plan{})
	if path != "/bin/x" || !slices.Equal(argv, []string{"x", "y"}) || err != nil {
		t.Errorf("%s %q %v", path, argv, err)
	}
	all := Settings{CPUs: []int{1}, Nodes: []int{0}, Nice: number(0), OOMScoreAdj: number(-1), Stdin: "p", Dir: "/",
		Limits: map[string]Limit{"as": Exactly(math.MaxUint64)}}
	path, argv, err = Wrap("/bin/x", []string{"x", "y"}, Plan{Settings: all})
	if err != nil || path != "/proc/self/exe" || len(argv) != 5 || !slices.Equal(argv[2:], []string{"/bin/x", "x", "y"}) {
		t.Fatalf("%s %q %v", path, argv, err)
	}
	var back Settings
	if err := json.Unmarshal([]byte(argv[1]), &back); err != nil || !reflect.DeepEqual(back, all) {
		t.Errorf("%+v, %v", back, err)
	}
}

// TestEmpty: each setting alone needs the stage.
func TestEmpty(t *testing.T) {
	for i, s := range []Settings{
		{CPUs: []int{0}}, {Nodes: []int{0}}, {Nice: number(0)}, {OOMScoreAdj: number(0)}, {Stdin: "p"}, {Dir: "."},
		{Limits: map[string]Limit{"core": {}}},
	} {
		if s.Empty() {
			t.Errorf("settings %d are lost: %+v", i, s)
		}
	}
	if n := reflect.TypeFor[Settings]().NumField(); n != 7 {
		t.Errorf("%d settings, of which 7 are tested", n)
	}
}

// TestCheck: all that is wrong is said at once, and what is right is not.
func TestCheck(t *testing.T) {
	if err := (Settings{Nice: number(19), OOMScoreAdj: number(1000), Limits: map[string]Limit{"core": {}}}).Check(); err != nil {
		t.Error(err)
	}
	err := Settings{Nice: number(-21), OOMScoreAdj: number(-1001), CPUs: []int{-1, 5000}, Nodes: []int{-1, 9999},
		Limits: map[string]Limit{"memory": Exactly(1), "nofile": Exactly(math.MaxUint64), "cpu": {Soft: 2, Hard: 1}}}.Check()
	if !errors.Is(err, ErrSettings) {
		t.Errorf("%v", err)
	}
	for _, part := range []string{"nice -21", "adj -1001", "cpu -1:", "cpu 5000", "node -1", "node 9999",
		`"memory"`, "limit nofile unlimited: ", "limit cpu 2:1: the soft"} {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
}

// TestCheckOfManyCPUs: a slip such as 0-4999 is one line, and no page.
func TestCheckOfManyCPUs(t *testing.T) {
	err := Settings{CPUs: []int{5000, 5001, 5002}}.Check()
	if want := "cpu 5000 and 2 more: this process may not use them"; strings.Count(fmt.Sprint(err), "cpu ") != 1 || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// onStage runs this test binary on the stage and returns what it becomes prints.
func onStage(t *testing.T, settings, program string, argv ...string) (string, int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{name, settings, program}, argv...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// tight is as little as a program can bear.
const tight = `{"limits":{"as":{"soft":16777216,"hard":16777216},"data":{"soft":4194304,"hard":4194304},
	"nproc":{"soft":1,"hard":1},"nofile":{"soft":4,"hard":4},"core":{},"stack":{"soft":1048576,"hard":1048576},"fsize":{}}}`

// TestStage: a program, or 126 and the reason; every limit can be set as low as the program itself can bear.
func TestStage(t *testing.T) {
	for _, test := range []struct {
		settings, program, want string
		code                    int
	}{
		{"{}", "/bin/echo", "b c\n", 0},
		{tight, "/bin/true", "", 0},
		{"{}", "/nowhere", "muster: cannot set the process up: exec /nowhere: no such file or directory\n", 126},
		{"nonsense", "/bin/echo", "muster: cannot set the process up: invalid character", 126},
		{`{"nodes":[63]}`, "/bin/echo", "muster: cannot set the process up: numa nodes [63]: ", 126},
		{`{"dir":"/bin"}`, "./echo", "b c\n", 0},
		{`{"dir":"/nowhere"}`, "/bin/echo", "muster: cannot set the process up: the working directory: chdir /nowhere: no such", 126},
		{`{"stdin":"/nowhere"}`, "/bin/echo", "muster: cannot set the process up: open standard input /nowhere: no such", 126},
	} {
		out, code := onStage(t, test.settings, test.program, "a", "b", "c")
		if code != test.code || !strings.HasPrefix(out, test.want) {
			t.Errorf("%s %s: %d %q", test.settings, test.program, code, out)
		}
	}
}

// TestTight: an address space below what this program has already does not end it before it is the other one.
func TestTight(t *testing.T) {
	for range 100 {
		if out, code := onStage(t, `{"limits":{"as":{"soft":16777216,"hard":16777216}}}`, "/bin/true", "true"); code != 0 {
			t.Fatalf("%d %s", code, out)
		}
	}
}

// TestCeiling: what setrlimit will not take.
func TestCeiling(t *testing.T) {
	most, why := ceiling(limits["nofile"])
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		t.Fatal(err)
	}
	if able := capable(unix.CAP_SYS_RESOURCE); able && why != "fs.nr_open" || !able && most != now.Max {
		t.Errorf("%d, %s", most, why)
	}
}

// TestCheckOfAPlan: another user may not be given more processes than we have, unless that user is root.
func TestCheckOfAPlan(t *testing.T) {
	p := Plan{As: &Identity{UID: 54321}, Settings: Settings{Limits: map[string]Limit{"nproc": {Hard: Unlimited}}}}
	most, ok := p.processes()
	if err := p.Check(); !ok || errors.Is(err, ErrSettings) != (most < Unlimited) {
		t.Errorf("%d: %v", most, err)
	}
	p.As.UID = 0
	if _, ok := p.processes(); ok {
		t.Error("root has a limit")
	}
}

// TestNicest: who may not lower it keeps what it has.
func TestNicest(t *testing.T) {
	if lowest := nicest(); lowest < -20 || lowest > 19 || os.Geteuid() == 0 && lowest > 0 {
		t.Errorf("%d", lowest)
	}
}

// TestEnvironment: what is meant for another user's program does nothing while the stage is ours, and reaches the program.
func TestEnvironment(t *testing.T) {
	env := []string{"MARK=1", "LD_PRELOAD=/evil", "_=x", "A=b=c"}
	p := Plan{Settings: Settings{CPUs: []int{0}}}
	if got := Environment(slices.Clone(env), "MARK=1", p); !slices.Equal(got, env) {
		t.Errorf("for our own: %q", got)
	}
	p.As = &Identity{UID: 7}
	got := Environment(env, "MARK=1", p)
	if !slices.Equal(got, []string{"MARK=1", "_LD_PRELOAD=/evil", "__=x", "_A=b=c"}) || !slices.Equal(unveil(got), env) {
		t.Errorf("for another user: %q", got)
	}
	if got := Environment(env, "", p); got[0] != "_MARK=1" {
		t.Errorf("%q", got)
	}
}
