package watchdog

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestEarly: the watchdog begins before most of the program is initialised. That takes milliseconds of a processor in a program of
// some size, just when the ranks are started.
func TestEarly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	for _, late := range []string{"path/filepath", "runtime/debug"} {
		if slices.Contains(packages, late) {
			t.Errorf("it imports %s, which is initialised late", late)
		}
	}
	if !slices.Contains(packages, "golang.org/x/sys/unix") {
		t.Errorf("these are not its imports: %v", packages)
	}
}
