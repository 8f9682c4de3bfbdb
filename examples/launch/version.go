package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/go-muster/muster/actors/process"
)

func versionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what this machine allows",
		Long:  "Print the version, the commit it was built from, and the containment that ranks get on this machine.",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return printVersion(stdout) },
	}
}

// printVersion prints what a report of a bug has to say.
func printVersion(w io.Writer) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	_, err := fmt.Fprintf(w, "launch       %s\ncommit       %s\ngo           %s %s/%s\ncontainment  %s\n",
		orUnknown(info.Main.Version), commit(info), runtime.Version(), runtime.GOOS, runtime.GOARCH, process.Local().Containment())
	return err
}

// commit is what the binary was built from, with a mark when the tree had changes.
func commit(info *debug.BuildInfo) string {
	known := map[string]string{}
	for _, s := range info.Settings {
		known[s.Key] = s.Value
	}
	text := orUnknown(known["vcs.revision"])
	if at := known["vcs.time"]; at != "" {
		text += " of " + at
	}
	if known["vcs.modified"] == "true" {
		text += ", with changes"
	}
	return text
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// musterVersion is what root and agents tell each other of themselves.
func musterVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text := orUnknown(info.Main.Version)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && text == "(devel)" {
			text += " " + s.Value[:min(len(s.Value), 12)]
		}
	}
	return text
}
