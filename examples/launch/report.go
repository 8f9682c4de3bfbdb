package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/go-muster/muster/supervisor"
)

// checkReport finds out before anything starts whether a report can be written.
func checkReport(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usage("--report %s: it is a directory: name a file", path)
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return usage("--report %s: cannot write to its directory: %w", path, reason(err))
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// elsewhere writes a report that has no room where it belongs to the directory for temporary files, and says so.
func (s *sinks) elsewhere(r supervisor.Report) string {
	path := filepath.Join(os.TempDir(), r.Run+".report.json")
	if filepath.Dir(path) == filepath.Dir(s.report) || writeReport(path, r) != nil {
		return ""
	}
	return ": it is in " + path
}

// writeReport replaces the file in one step: a reader sees the old report or the whole new one.
func writeReport(path string, r supervisor.Report) error {
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false) // it is read by people: <module> is no \u003cmodule\u003e
	to.SetIndent("", "  ")
	if err := to.Encode(r); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text.Bytes())
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
