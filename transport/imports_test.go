package transport_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImports holds transport and the worker inside other people's processes to few modules: no actor library comes
// along.
func TestImports(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	list := exec.Command(goTool, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".", "./worker")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	allowed := []string{
		"github.com/go-muster/muster/transport", "github.com/vmihailenco/msgpack/v5", "github.com/vmihailenco/tagparser/v2",
		"golang.org/x/sys",
	}
	for _, path := range strings.Fields(string(out)) {
		if !within(path, allowed) {
			t.Errorf("%s is imported", path)
		}
	}
	if !strings.Contains(string(out), "github.com/go-muster/muster/transport/worker") {
		t.Errorf("the list is not that of the worker: %s", out)
	}
}

func within(path string, trees []string) bool {
	for _, tree := range trees {
		if path == tree || strings.HasPrefix(path, tree+"/") {
			return true
		}
	}
	return false
}
