package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// cramped starts more ranks than it has descriptors for, some of which cannot be started anyway.
var cramped = processtest.Helper("cramped", func() {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}); err != nil {
		fmt.Println(err)
		return
	}
	spec := supervisor.Spec{Ranks: supervisor.Repeat(100, process.Command{Args: []string{"true"}})}
	spec.Ranks[3].Args = []string{"no-such-program"}
	spec.Ranks[4].Args = []string{"no-such-program"}
	spec.Ranks[5].Args = []string{"/tmp"}
	spec.Ranks[6].Stdin = "/no/such/file"
	g, err := supervisor.Start(context.Background(), spec)
	fmt.Println("started:", g != nil)
	for _, condition := range []error{supervisor.ErrSpec, exec.ErrNotFound, fs.ErrPermission, fs.ErrNotExist, syscall.EMFILE} {
		fmt.Println(condition, errors.Is(err, condition))
	}
	fmt.Println(err)
})

// TestPreflight: one message tells everything that is wrong, and nothing was started.
func TestPreflight(t *testing.T) {
	processtest.Check(t)
	out, err := output(t, processtest.Command(t, cramped))
	if err != nil || !strings.HasPrefix(out, "started: false\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"supervisor: bad spec true", "executable file not found in $PATH true", "permission denied true",
		"file does not exist true", "too many open files true",
		"rank 3: process: \"no-such-program\" is not in PATH", "rank 5: process: /tmp is a directory",
		"rank 6: process: standard input", "100 ranks need ", "raise ulimit -n to at least ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not tell %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "rank 4") {
		t.Errorf("it tells twice:\n%s", out)
	}
}

// output runs a helper to its end.
func output(t *testing.T, c process.Command) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.Args[0], c.Args[1:]...)
	cmd.Env = append(cmd.Environ(), c.Env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
