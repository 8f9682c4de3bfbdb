package processtest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport/worker"
)

// envHelper names the helper that a test binary is to be.
const envHelper = "MUSTER_TEST_HELPER"

type helper struct {
	run  func()
	used bool
}

var (
	helpersMu sync.Mutex
	helpers   = map[string]*helper{}
)

// Helper registers a helper command and returns its name for [Command]. Call it while the program initialises, beside
// the tests that use the helper: a package variable is the usual place. It panics when the name is empty or taken.
//
// In the helper, os.Args[1:] are the arguments of the Command; it exits with code 0 when run returns.
func Helper(name string, run func()) string {
	helpersMu.Lock()
	defer helpersMu.Unlock()
	if name == "" || helpers[name] != nil {
		panic(fmt.Sprintf("processtest: the name %q of a helper is empty or taken", name))
	}
	helpers[name] = &helper{run: run}
	return name
}

// Command returns the Command that executes this test binary as a helper. It fails the test when there is none of that
// name.
func Command(t testing.TB, name string, args ...string) process.Command {
	t.Helper()
	helpersMu.Lock()
	defer helpersMu.Unlock()
	h := helpers[name]
	if h == nil {
		t.Fatalf("processtest: no helper %q", name)
	}
	h.used = true
	command := process.Reexec("", args...)
	command.Speaks = false
	command.Env = []string{envHelper + "=" + name}
	return command
}

// Main runs the tests and exits, or is the helper or the entry point for which the binary was executed again. Call it in
// TestMain and nothing after it. A helper that no test uses fails a run that is not -short and leaves no test out.
func Main(m *testing.M) {
	if name, asked := os.LookupEnv(envHelper); asked {
		os.Unsetenv(envHelper)
		runHelper(name)
	}
	worker.Main()
	quickExits()
	flag.Parse()
	code := m.Run()
	if idle := unused(); code == 0 && complete() && len(idle) > 0 {
		fmt.Fprintf(os.Stderr, "processtest: helpers that no test uses: %s\n", strings.Join(idle, ", "))
		code = 1
	}
	os.Exit(code)
}

func runHelper(name string) {
	h := helpers[name]
	if h == nil {
		fmt.Fprintf(os.Stderr, "processtest: no helper %q\n", name)
		os.Exit(1)
	}
	h.run()
	os.Exit(0)
}

// quickExits lets children that were built with the race detector end at once: by default each sleeps for a second, which
// a test takes for a process that does not want to die.
func quickExits() {
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
}

// complete reports whether the flags leave no test out.
func complete() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return !testing.Short()
}

func unused() []string {
	helpersMu.Lock()
	defer helpersMu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(helpers)), func(name string) bool { return helpers[name].used })
}
