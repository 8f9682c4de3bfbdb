package processtest

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// envMark is inherited by every process that a checked test starts, and by all that those start. The kernel keeps
// a process's environment as it was at its start, so the mark finds it wherever it has gone.
const envMark = "MUSTER_TEST_MARK"

// patience is how long what is about to end may take. It is long, because a loaded machine is no leak.
var patience = 20 * time.Second

var marks atomic.Int64

// Check verifies, when the test and its other cleanups are over, that nothing is left of it: no goroutine, no open
// descriptor, no zombie, and no process that was started during the test by whomever. What is about to end is waited for.
// Processes that are left are named and killed.
//
// Call it first thing in a test, so that it is the last to look. It sets an environment variable, so the test can not be
// parallel. Off Linux it looks for goroutines only.
func Check(t testing.TB) {
	t.Helper()
	if err := startPoller(); err != nil {
		t.Fatal("processtest:", err)
	}
	mark := fmt.Sprintf("%d.%d", os.Getpid(), marks.Add(1))
	t.Setenv(envMark, mark)
	routines := goleak.IgnoreCurrent()
	before := descriptors()
	t.Cleanup(func() {
		t.Helper()
		for _, leak := range []struct{ kind, list string }{
			{"processes", settle(func() string { return living(envMark + "=" + mark) })},
			{"zombies", settle(zombies)},
			{"descriptors", settle(func() string { return difference(before, descriptors()) })},
			{"goroutines", settle(func() string { return goroutines(routines) })},
		} {
			if leak.list != "" {
				t.Errorf("processtest: %s that outlive the test:\n%s", leak.kind, leak.list)
			}
		}
		killAll(envMark + "=" + mark)
	})
}

// startPoller makes the runtime open the descriptors that it keeps for good.
func startPoller() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	w.Close()
	return r.Close()
}

// settle returns what a look finds, once it finds nothing or does so for too long.
func settle(look func() string) (found string) {
	poll(func() bool {
		found = look()
		return found == ""
	})
	return found
}

// poll calls done again and again until it returns true or patience runs out, and returns what it returned last.
func poll(done func() bool) bool {
	if done() {
		return true
	}
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		<-ticker.C
		if done() {
			return true
		}
	}
	return false
}

// Eventually waits until done returns true, and fails the test when that takes too long: what says what was waited for.
// It asks again and again, and so is only for what tells nobody when it happens.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	if !poll(done) {
		t.Fatalf("processtest: after %v, still not: %s", patience, what)
	}
}

// goroutines lists those that were not there before. The threads that start processes live as long as the program.
func goroutines(before goleak.Option) string {
	err := goleak.Find(before, goleak.IgnoreAnyFunction("github.com/go-muster/muster/actors/process.spawner"))
	if err == nil {
		return ""
	}
	return err.Error()
}

// difference lists the descriptors that were opened, closed, or exchanged for others.
func difference(before, after map[string]string) string {
	var b strings.Builder
	for fd, now := range after {
		switch was := before[fd]; was {
		case now:
		case "":
			fmt.Fprintf(&b, "  descriptor %s was opened: %s\n", fd, now)
		default:
			fmt.Fprintf(&b, "  descriptor %s was %s and is %s\n", fd, was, now)
		}
	}
	for fd, was := range before {
		if after[fd] == "" {
			fmt.Fprintf(&b, "  descriptor %s was closed: %s\n", fd, was)
		}
	}
	return b.String()
}
