package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever a file of a stranger has in it is read or refused, with places that are in the file.
func FuzzGroupFile(f *testing.F) {
	seeds, err := filepath.Glob("groups/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(seeds, "testdata/bad.yaml", "rules.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("rules: [\ncommand: [a]")
	f.Add("\"rules\":\n- do: fail\n? {a: b}\n: c\nroles: {1: {command: ~}}\nenv: {? [a] : b}\n")
	f.Fuzz(func(t *testing.T, text string) {
		g := readGroupFile("f", []byte(text))
		if err := g.Err(); err == nil && len(g.roles) == 0 {
			t.Error("there is nothing to run, and nothing is said of it")
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1 // at most: in YAML a carriage return, too, ends a line
		for _, p := range problems(g.Err()) {
			if p.Line < 1 || p.Column < 1 || p.Line > lines || strings.Contains(p.Text, "%!") {
				t.Errorf("%v", p)
			}
		}
		if plain, err := (variables{"rank": "1"}).expand(text); err == nil && !strings.Contains(text, "$") && plain != text {
			t.Errorf("%q became %q", text, plain)
		}
	})
}
