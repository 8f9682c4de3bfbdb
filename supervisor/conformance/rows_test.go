package conformance_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const top = "../.." // of the module

// TestRows: docs/conformance.md has every row once, each with tests that exist or with a reason; and no test cites a row that
// it does not have.
func TestRows(t *testing.T) {
	known := readSources(t)
	var found []string
	for _, row := range tableRows(t) {
		found = append(found, row.id)
		for _, name := range row.tests {
			if !known.tests[name] {
				t.Errorf("%s: there is no %s", row.id, name)
			}
		}
		reason, _, _ := strings.Cut(row.text, ":")
		if len(row.tests) == 0 && reason != "does not apply" && reason != "not built" {
			t.Errorf("%s has neither a test nor a reason: %q", row.id, row.text)
		}
	}
	want := allRows()
	if !slices.Equal(found, want) {
		for _, id := range slices.Concat(found, want) {
			if n := count1(found, id); n != 1 || !slices.Contains(want, id) {
				t.Errorf("%s stands there %d times", id, n)
			}
		}
		t.Error("the rows are not in their order")
	}
	for id, where := range known.cited {
		if !slices.Contains(want, id) {
			t.Errorf("%s cites %s, which no table has", where, id)
		}
	}
}

func count1(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// allRows lists what there has to be, in order.
func allRows() (ids []string) {
	for _, table := range []struct {
		format string
		rows   int
	}{{"O-%02d", 93}, {"S%02d", 16}, {"E%02d", 33}, {"T%d", 32}, {"G-%d", 9}, {"F-%02d", 38}} {
		for n := range table.rows {
			ids = append(ids, fmt.Sprintf(table.format, n+1))
		}
	}
	return ids
}

// A row is a line of a table.
type row struct {
	id, text string
	tests    []string
}

var (
	rowLine = regexp.MustCompile(`(?m)^\| ([A-Z]-?\d+) \| .* \| (.*) \|$`)
	// testName is a test with its package, or a transcript.
	testName = regexp.MustCompile("`([a-z]+\\.(?:Test|Benchmark|Fuzz)\\w+|\\w+\\.txt)`")
	// citation is the id of a row in a comment. Some things look like one: "G-" is never without a number, S and E have two.
	citation = regexp.MustCompile(`\b(?:O-\d+|S\d\d|E\d\d|T\d{1,2}|G-\d+|F-\d\d)\b`)
)

func tableRows(t *testing.T) (rows []row) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "docs/conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range rowLine.FindAllStringSubmatch(string(text), -1) {
		r := row{id: m[1], text: m[2]}
		for _, name := range testName.FindAllStringSubmatch(r.text, -1) {
			r.tests = append(r.tests, name[1])
		}
		rows = append(rows, r)
	}
	return rows
}

// Sources are what the tests of the module are called, and the rows that they cite.
type sources struct {
	tests map[string]bool
	cited map[string]string // where
}

func readSources(t *testing.T) sources {
	t.Helper()
	s := sources{map[string]bool{}, map[string]string{}}
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || entry.IsDir():
			return err
		case strings.HasSuffix(path, "_test.go"):
			return s.readTests(path)
		case strings.HasSuffix(path, ".txt") && filepath.Base(filepath.Dir(path)) == "testdata":
			return s.readTranscript(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sources) readTests(path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		if f, is := d.(*ast.FuncDecl); is {
			s.tests[filepath.Base(filepath.Dir(path))+"."+f.Name.Name] = true
		}
	}
	for _, group := range file.Comments {
		s.cite(path, group.Text())
	}
	return nil
}

func (s *sources) readTranscript(path string) error {
	text, err := os.ReadFile(path)
	s.tests[filepath.Base(path)] = true
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			s.cite(path, line)
		}
	}
	return err
}

func (s *sources) cite(path, text string) {
	for _, id := range citation.FindAllString(text, -1) {
		s.cited[id] = path
	}
}
