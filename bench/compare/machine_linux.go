package main

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/bench/compare/internal/results"
)

// describe says on what kind of machine we are. It names neither the machine nor its paths.
func describe(ctx context.Context, k *kit) (results.Machine, error) {
	m := results.Machine{Processor: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(), System: "linux"}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(info) {
		if key, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(key) == "model name" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	var names unix.Utsname
	if unix.Uname(&names) == nil {
		release := strings.SplitN(unix.ByteSliceToString(names.Release[:]), ".", 3)
		m.System += " " + strings.Join(release[:min(2, len(release))], ".")
	}
	var system unix.Sysinfo_t
	if unix.Sysinfo(&system) == nil {
		m.MemoryGiB = int((system.Totalram*uint64(system.Unit) + 1<<29) >> 30)
	}
	plan, err := output(ctx, k.launch, "--dry-run", "--", "true")
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(plan) {
		if level, ok := strings.CutPrefix(line, "containment"); ok {
			m.Containment = strings.TrimSpace(level)
		}
	}
	return m, nil
}
