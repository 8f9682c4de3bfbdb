package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }

var program = processtest.Helper("identifiers", main)

// Any number of ranks, also more than there are files, counts the same.
func TestIdentifiers(t *testing.T) {
	root := t.TempDir()
	for i := range 5 {
		path := filepath.Join(root, fmt.Sprint(i), fmt.Sprintf("file%d.go", i))
		source := "package p\n\nvar " + strings.Repeat("a, ", i) + "b int // not c\n"
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const want = "5 files, 180 bytes, 25 identifiers, 4 of them different\n" +
		"      10  a\n       5  b\n       5  int\n       5  p\n"
	for _, n := range []string{"1", "4", "7"} {
		t.Run("n="+n, func(t *testing.T) {
			processtest.Check(t)
			c := processtest.Command(t, program)
			cmd := exec.Command(c.Args[0], "-n", n, "-root", root)
			cmd.Env = append(os.Environ(), c.Env...)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if got := result(string(out), n); got != want {
				t.Errorf("%q, want %q of\n%s", got, want, out)
			}
		})
	}
}

// result is the output without the ranks' own lines, and without how many they were and how long it took.
func result(out, n string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "rank ") {
			head, _, _ := strings.Cut(line, " ("+n+" ranks, ")
			b.WriteString(strings.TrimSuffix(head, "\n") + "\n")
		}
	}
	return b.String()
}
