package main

import (
	"os"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// docs/launch.md has all flags as they are (go test -run LaunchPage -update), and every key of a group file.
func TestLaunchPage(t *testing.T) {
	processtest.Check(t)
	const page, begin = "../../docs/launch.md", "$ launch --help-all\n"
	_, help, _ := here(t, "--help-all")
	before, after, found := strings.Cut(readText(t, page), begin)
	if !found {
		t.Fatalf("%s has no %q", page, begin)
	}
	_, rest, _ := strings.Cut(after, "\n```\n")
	now := before + begin + help + "```\n" + rest
	if *update {
		if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if readText(t, page) != now {
		t.Errorf("%s does not have the flags as they are: go test ./examples/launch -run LaunchPage -update", page)
	}
	ofGroup, ofRole := fileKeys()
	for _, key := range append(ofGroup, ofRole...) {
		if !strings.Contains(now, "`"+key+"`") && !strings.Contains(now, " --"+key) {
			t.Errorf("%s does not tell of the key %s", page, key)
		}
	}
}
