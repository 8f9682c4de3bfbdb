package main

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// What is installed from a clone runs anywhere: it asks for no loader and no library.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds launch anew")
	}
	processtest.Check(t)
	if directive := regexp.MustCompile(`(?m)^(replace|exclude)\b.*`).FindString(readText(t, "../../go.mod")); directive != "" {
		t.Errorf("go install …@latest refuses a module that has %q", directive)
	}
	bin := t.TempDir()
	install := exec.Command("go", "install", ".")
	install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+bin)
	if out, err := install.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs the go command:", err)
	} else if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path := filepath.Join(bin, "launch")
	binary, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, section := range []string{".dynamic", ".interp"} {
		if binary.Section(section) != nil {
			t.Errorf("the binary has a section %s", section)
		}
	}
	out, err := exec.Command(path, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "launch ") {
		t.Errorf("%q, %v", out, err)
	}
	out, err = exec.Command(path, "--", "sh", "-c", "echo runs").Output()
	if err != nil || string(out) != "[0] runs\n" {
		t.Errorf("%q, %v", out, err)
	}
}
