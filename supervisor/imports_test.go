package supervisor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/go-muster/muster/"

// arrows are those of docs/design.md §3: what the packages of each tree of ours may import of ours, besides their own
// tree. A tree stands before those that it is part of. Whoever is not listed may be imported by nobody.
var arrows = []struct {
	tree string
	may  []string
}{
	{"transport/worker", []string{"transport"}},
	{"transport", nil},
	{"actors/process/processtest", []string{"actors/process", "transport", "transport/worker"}},
	{"actors/process", []string{"transport"}},
	{"actors/host", []string{"actors", "actors/process", "transport", "transport/worker", "internal"}},
	{"actors", []string{"actors/process", "transport"}},
	{"supervisor", []string{"actors", "actors/process", "transport", "transport/worker", "internal"}},
	{"internal", nil},
}

// treeOf returns the number of a package's tree, -1 for none.
func treeOf(pkg string) int {
	return slices.IndexFunc(arrows, func(a struct {
		tree string
		may  []string
	},
	) bool {
		return pkg == a.tree || strings.HasPrefix(pkg, a.tree+"/")
	})
}

func TestImports(t *testing.T) {
	all := imports(t)
	for pkg, direct := range all {
		from := treeOf(pkg)
		for _, other := range direct {
			other, ours := strings.CutPrefix(other, module)
			to := treeOf(other)
			switch {
			case !ours || from == to && from >= 0, from < 0 && strings.HasPrefix(other, main(pkg)+"/internal/"): // a command may have packages
			case to < 0:
				t.Errorf("%s imports %s, which nobody may", pkg, other)
			case from >= 0 && !slices.Contains(arrows[from].may, arrows[to].tree):
				t.Errorf("%s imports %s", pkg, other)
			}
		}
	}
	for _, pkg := range []string{"transport", "transport/worker", "transport/worker/python", "actors/process"} {
		for _, linked := range reach(all, pkg) {
			if strings.Contains(linked, "protoactor") {
				t.Errorf("%s links %s", pkg, linked)
			}
		}
	}
	for pkg := range all {
		if !strings.HasPrefix(pkg, "examples/") && treeOf(pkg) < 0 {
			continue
		}
		for _, linked := range reach(all, pkg) {
			if strings.HasPrefix(linked, "gonum.org/") { // the charts of bench/compare
				t.Errorf("%s links %s", pkg, linked)
			}
		}
	}
	if !slices.ContainsFunc(reach(all, "supervisor"), func(p string) bool { return strings.Contains(p, "protoactor") }) {
		t.Error("even the supervisor does not link the engine: the list is wrong")
	}
}

// TestImportsOfHosts: who has one machine pays for no network. Only what imports actors/host links gRPC.
func TestImportsOfHosts(t *testing.T) {
	all := imports(t)
	const grpc, hosts = "google.golang.org/grpc", "actors/host"
	for pkg := range all {
		if strings.Contains(pkg, ".") || pkg == hosts || strings.HasPrefix(pkg, hosts+"/") {
			continue // not ours, or of hosts
		}
		linked := reach(all, pkg)
		if slices.Contains(linked, grpc) && !slices.ContainsFunc(linked, func(p string) bool { return strings.HasPrefix(p, module+hosts) }) {
			t.Errorf("%s links gRPC without any need", pkg)
		}
	}
	for _, pkg := range []string{"supervisor", "transport/worker", "examples/hello"} {
		if _, is := all[pkg]; !is || slices.Contains(reach(all, pkg), grpc) {
			t.Errorf("%s links gRPC, or is not there", pkg)
		}
	}
	if !slices.Contains(reach(all, hosts+"/internal/engine"), grpc) {
		t.Error("even the engine does not link gRPC: the list is wrong")
	}
}

// main returns the command that a package of its own belongs to.
func main(pkg string) string {
	command, _, _ := strings.Cut(pkg, "/internal/")
	return command
}

// imports returns what each package that this module needs imports. Ours have short names.
func imports(t *testing.T) map[string][]string {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	const format = "{{if not .Standard}}{{.ImportPath}} {{join .Imports ` `}}{{end}}"
	list := exec.Command(goTool, "list", "-deps", "-f", format, "./...")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		all[strings.TrimPrefix(words[0], module)] = words[1:]
	}
	return all
}

// reach returns all that a package links.
func reach(all map[string][]string, pkg string) []string {
	var found []string
	var visit func(string)
	visit = func(pkg string) {
		for _, other := range all[pkg] {
			if !slices.Contains(found, other) {
				found = append(found, other)
				visit(strings.TrimPrefix(other, module))
			}
		}
	}
	visit(pkg)
	return found
}

// TestPure: the machine and what it decides with have no engine, no system, no clock and no lock.
func TestPure(t *testing.T) {
	may := []string{
		"bytes", "cmp", "errors", "fmt", "math", "slices", "strings", "time", module + "actors/process", module + "transport",
	}
	for _, name := range []string{
		"machine.go", "cells.go", "ladder.go", "table.go", "strategy.go", "failure.go", "event.go", "terms.go",
		"deliberate.go", "start.go", "liveness.go", "phases.go", "members.go", "describe.go", "lost.go", "room.go",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			if path, _ := strconv.Unquote(spec.Path.Value); !slices.Contains(may, path) || spec.Name != nil {
				t.Errorf("%s imports %s", name, spec.Path.Value)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if _, is := n.(*ast.GoStmt); is {
				t.Errorf("%s starts a goroutine", name)
			}
			if s, is := n.(*ast.SelectorExpr); is && impure(s) {
				t.Errorf("%s uses %v.%s", name, s.X, s.Sel.Name)
			}
			return true
		})
	}
}

// impure names what package time has besides values, and process besides data.
func impure(s *ast.SelectorExpr) bool {
	pkg, _ := s.X.(*ast.Ident)
	if pkg == nil || pkg.Obj != nil {
		return false
	}
	switch pkg.Name {
	case "time":
		return !slices.Contains([]string{"Time", "Duration", "Millisecond", "Second", "Minute"}, s.Sel.Name)
	case "process":
		return !slices.Contains([]string{"ID", "Exit", "Command", "Signal", "ByStranger", "Room", "HostLostError", "ErrHostLost"}, s.Sel.Name)
	}
	return false
}
