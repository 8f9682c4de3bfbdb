package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }

var program = processtest.Helper("launch", main)

// patience bounds every wait. It is long, because a loaded machine is no failure.
const patience = time.Minute

// A cli is launch in a process of its own.
type cli struct {
	*testing.T
	cmd            *exec.Cmd
	stdout, stderr text
	report         string // the file after --report
}

// start starts launch. The test leaks nothing, whatever becomes of it.
func start(t *testing.T, args ...string) *cli {
	t.Helper()
	processtest.Check(t)
	return startUnder(t, nil, args...)
}

// startUnder is start through another program, for a test that has called processtest.Check.
func startUnder(t *testing.T, wrapper []string, args ...string) *cli {
	t.Helper()
	c := prepare(t, wrapper, args...)
	c.begin()
	return c
}

func prepare(t *testing.T, wrapper []string, args ...string) *cli {
	t.Helper()
	helper := processtest.Command(t, program)
	c := &cli{T: t}
	if i := slices.Index(args, "--report"); i >= 0 {
		c.report = args[i+1]
	}
	line := append(append(append([]string{}, wrapper...), helper.Args...), args...)
	c.cmd = exec.Command(line[0], line[1:]...)
	c.cmd.Env = append(os.Environ(), helper.Env...)
	c.cmd.Env = append(c.cmd.Env, "LAUNCH_RUN_DIR="+runDir(t))
	c.cmd.Env = append(c.cmd.Env, "PATH="+filepath.Dir(interpreter())+":"+os.Getenv("PATH"))
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// runDir is the directory of runs of a test.
func runDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("LAUNCH_RUN_DIR"); dir != "" {
		return dir
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LAUNCH_RUN_DIR", dir)
	return dir
}

// hangup lets SIGHUP mean to what is started here what it does elsewhere, although the tests may run under nohup: that it is ignored
// would be inherited, that it is heard is not.
var hangup = sync.OnceFunc(func() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
})

func (c *cli) begin() {
	c.Helper()
	hangup()
	if err := c.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		if c.Failed() {
			report, _ := os.ReadFile(c.report)
			c.Logf("report %s", report)
			c.Logf("%q\nstdout:\n%s\nstderr:\n%s", c.cmd.Args, c.stdout.String(), c.stderr.String())
		}
	})
}

// interpreter is Python itself: the python3 on the PATH may be a script of a version manager that takes longer
// to find Python than Python takes to start.
var interpreter = sync.OnceValue(func() string {
	path, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "python3"
	}
	return strings.TrimSpace(string(path))
})

// end waits for the end of launch and returns its exit status.
func (c *cli) end() int {
	c.Helper()
	late := time.AfterFunc(patience, func() { _ = c.cmd.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

// wants checks the exit status.
func (c *cli) wants(code int) {
	c.Helper()
	if got := c.end(); got != code {
		c.Errorf("exit status %d, want %d (%v)", got, code, c.cmd.ProcessState)
	}
}

func (c *cli) signal(s syscall.Signal) {
	c.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.Fatal(err)
	}
}

// A text is what is written to it. It can be waited on.
type text struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func (x *text) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.more != nil {
		close(x.more)
		x.more = nil
	}
	return x.buf.Write(b)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.buf.String()
}

// await waits until there are n pieces that match an expression and returns their first groups.
func (x *text) await(t *testing.T, n int, expression string) (found []string) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for re := regexp.MustCompile(expression); ; {
		x.mu.Lock()
		matches := re.FindAllStringSubmatch(x.buf.String(), -1)
		if x.more == nil {
			x.more = make(chan struct{})
		}
		more := x.more
		x.mu.Unlock()
		if len(matches) >= n {
			for _, m := range matches {
				found = append(found, m[len(m)-1])
			}
			return found
		}
		select {
		case <-more:
		case <-late.C:
			t.Fatalf("after %v, still not %d times %q in %q", patience, n, expression, x.String())
		}
	}
}

// handles are processes that were alive when they were opened: a number may go to another process, a handle does not.
type handles []int

// hold returns handles on living processes.
func hold(t *testing.T, pids []string) (all handles) {
	t.Helper()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(atoi(t, pid), 0)
		if err != nil {
			t.Fatalf("pid %s: %v", pid, err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		all = append(all, fd)
	}
	return all
}

// gone checks that the processes are there no longer, not even as zombies.
func (all handles) gone(t *testing.T) {
	t.Helper()
	for i, fd := range all {
		if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != unix.ESRCH {
			t.Errorf("process %d of %d is there: %v", i, len(all), err)
		}
	}
}

var levelLine = regexp.MustCompile(`launch: containment [a-z+]+\n`)

// withoutLevel is standard error without the one line that every run says at its start.
func withoutLevel(t *testing.T, stderr string) string {
	t.Helper()
	if n := len(levelLine.FindAllString(stderr, -1)); n != 1 {
		t.Errorf("the level of containment is said %d times", n)
	}
	return levelLine.ReplaceAllString(stderr, "")
}

// A document is a report, as far as the tests look at it.
type document struct {
	Run, Outcome         string
	Restarts, Generation int
	WorldSize            int `json:"world_size"`
	ExitCode             int `json:"exit_code"`
	Failures             []struct {
		Seq, Generation, Rank, PID int
		Kind, Host                 string
		Exception                  *exception
		StderrTail                 string `json:"stderr_tail"`
		Dump                       string
		Exit                       struct {
			Code   int
			Signal string
		}
	}
	Containment string
	Problems    []string
	Generations []struct{ Reason string }
	Ranks       []struct {
		Rank, Generation, PID int
		Outcome, Dump         string
		Conditions            []string
		Exit                  struct {
			Signal   string
			KilledBy string `json:"killed_by"`
		}
	}
}

type exception struct {
	Type, Module, Message, Traceback string
	Cause                            *exception
}

func readReport(t *testing.T, path string) (d document) {
	t.Helper()
	text := readText(t, path)
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return d
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tmp returns the path of a file in a directory of the test's own.
func tmp(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(t.TempDir(), name)
}

// file makes a file and returns its path.
func file(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := tmp(t, name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// here runs launch in this process, which must not start any other.
func here(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	before := faults(t)
	code = run(args, io.Writer(&out), io.Writer(&errs))
	if after := faults(t); after != before {
		t.Errorf("launch %q has started a process", args)
	}
	return code, out.String(), errs.String()
}

// faults counts the page faults of all children of this process that have ended: no process comes to be without one.
func faults(t *testing.T) int64 {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
		t.Fatal(err)
	}
	return u.Minflt + u.Majflt
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
