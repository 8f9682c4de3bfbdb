package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// A watch measures contenders that run at the same time, and returns for each what its row wants, and what the further parts.
type watch func(ctx context.Context, t []*trial, window time.Duration) ([][]float64, error)

const idleTime = 10 * time.Second // of which the row's title speaks

// watchIdle: processor time and memory of who supervises, when all ranks of all contenders sleep. The supervisor is the command
// and all that it has started, but for the ranks, who have said which they are.
func watchIdle(ctx context.Context, trials []*trial, window time.Duration) ([][]float64, error) {
	if err := pause(ctx, window/5); err != nil { // until all that comes after a start is over
		return nil, err
	}
	before := make([][]usage, len(trials))
	for i, t := range trials {
		before[i] = t.supervisor()
	}
	if err := pause(ctx, window); err != nil {
		return nil, err
	}
	values := make([][]float64, len(trials))
	for i, t := range trials {
		spent, memory := used(before[i], t.supervisor())
		values[i] = []float64{spent.Seconds() * idleTime.Seconds() / window.Seconds(), memory}
	}
	return values, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// usage is what a process has used.
type usage struct {
	pid    int
	cpu    time.Duration
	memory float64 // bytes, of pages that are shared its part
}

func (t *trial) supervisor() []usage {
	ranks := pids(t.marks.all("ready"))
	all := []usage{usageOf(t.cmd.Process.Pid)}
	for _, p := range descendants(t.cmd.Process.Pid) {
		if !slices.Contains(ranks, p.pid) {
			all = append(all, usageOf(p.pid))
		}
	}
	return all
}

func used(before, after []usage) (cpu time.Duration, memory float64) {
	for _, u := range after {
		cpu, memory = cpu+u.cpu, memory+u.memory
	}
	for _, u := range before {
		cpu -= u.cpu
	}
	return max(0, cpu), memory
}

func usageOf(pid int) usage {
	u := usage{pid: pid}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, path := range threads {
		b, _ := os.ReadFile(path)
		if fields := bytes.Fields(b); len(fields) > 0 {
			ns, _ := strconv.ParseInt(string(fields[0]), 10, 64)
			u.cpu += time.Duration(ns)
		}
	}
	rollup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range bytes.Lines(rollup) {
		if value, ok := bytes.CutPrefix(line, []byte("Pss:")); ok {
			kib, _ := strconv.ParseFloat(string(bytes.Fields(value)[0]), 64)
			u.memory = kib * 1024
		}
	}
	return u
}
