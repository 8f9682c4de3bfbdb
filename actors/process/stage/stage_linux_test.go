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
)

func number(n int) *int { return &n }

// TestWrap: no settings, no stage; otherwise the settings travel whole.
func TestWrap(t *testing.T) {
	path, argv, err := Wrap("/bin/x", []string{"x", "y"}, Settings{})
	if path != "/bin/x" || !slices.Equal(argv, []string{"x", "y"}) || err != nil {
		t.Errorf("%s %q %v", path, argv, err)
	}
	all := Settings{CPUs: []int{1}, Nodes: []int{0}, Nice: number(0), OOMScoreAdj: number(-1), Stdin: "p",
		Limits: map[string]uint64{"as": math.MaxUint64}}
	path, argv, err = Wrap("/bin/x", []string{"x", "y"}, all)
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
		{CPUs: []int{0}}, {Nodes: []int{0}}, {Nice: number(0)}, {OOMScoreAdj: number(0)}, {Stdin: "p"},
		{Limits: map[string]uint64{"core": 0}},
	} {
		if s.Empty() {
			t.Errorf("settings %d are lost: %+v", i, s)
		}
	}
	if n := reflect.TypeFor[Settings]().NumField(); n != 6 {
		t.Errorf("%d settings, of which 6 are tested", n)
	}
}

// TestCheck: all that is wrong is said at once, and what is right is not.
func TestCheck(t *testing.T) {
	if err := (Settings{Nice: number(19), OOMScoreAdj: number(1000), Limits: map[string]uint64{"core": 0}}).Check(); err != nil {
		t.Error(err)
	}
	err := Settings{Nice: number(-21), OOMScoreAdj: number(-1001), CPUs: []int{-1, 5000}, Nodes: []int{-1, 9999},
		Limits: map[string]uint64{"memory": 1, "nofile": math.MaxUint64}}.Check()
	if !errors.Is(err, ErrSettings) {
		t.Errorf("%v", err)
	}
	for _, part := range []string{"nice -21", "adj -1001", "cpu -1:", "cpu 5000", "node -1", "node 9999", `"memory"`, "limit nofile"} {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("%q is not in %q", part, err)
		}
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

// TestStage: a program, or 126 and the reason; every limit can be set as low as the program itself can bear.
func TestStage(t *testing.T) {
	for _, test := range []struct {
		settings, program, want string
		code                    int
	}{
		{"{}", "/bin/echo", "b c\n", 0},
		{`{"limits":{"as":16777216,"data":4194304,"nproc":1,"nofile":4,"core":0,"stack":1048576,"fsize":0}}`, "/bin/true", "", 0},
		{"{}", "/nowhere", "muster: cannot set the process up: exec /nowhere: no such file or directory\n", 126},
		{"nonsense", "/bin/echo", "muster: cannot set the process up: invalid character", 126},
		{`{"nodes":[63]}`, "/bin/echo", "muster: cannot set the process up: numa nodes [63]: ", 126},
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
		if out, code := onStage(t, `{"limits":{"as":16777216}}`, "/bin/true", "true"); code != 0 {
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
	if root := os.Geteuid() == 0; root && why != "fs.nr_open" || !root && most != now.Max {
		t.Errorf("%d, %s", most, why)
	}
}
