package process

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Conditions lists what the command sets up besides its program, directory and environment, each in a few words: "cpus 0-3",
// "limit nofile 1024", "memory 1073741824 bytes". A process that was started has all of it.
func (c Command) Conditions() (all []string) {
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if c.Stdin != "" {
		add("stdin %s", c.Stdin)
	}
	if len(c.Setup.CPUs) > 0 {
		add("cpus %s", spans(c.Setup.CPUs))
	}
	if len(c.Setup.Nodes) > 0 {
		add("memory of numa node %s", spans(c.Setup.Nodes))
	}
	if c.Setup.Nice != nil {
		add("nice %d", *c.Setup.Nice)
	}
	if c.Setup.OOMScoreAdj != nil {
		add("oom_score_adj %d", *c.Setup.OOMScoreAdj)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Setup.Limits)) {
		add("limit %s %v", name, c.Setup.Limits[name])
	}
	if c.Memory > 0 {
		add("memory %d bytes", c.Memory)
	}
	if c.PIDs > 0 {
		add("pids %d", c.PIDs)
	}
	if c.User != nil {
		add("user %d", *c.User)
	}
	if c.Group != nil {
		add("group %d", *c.Group)
	}
	if c.StopSignal != 0 {
		add("stopped by %s", signalText(c.StopSignal))
	}
	if c.Ready != nil {
		add("ready by %v", *c.Ready)
	}
	if c.DumpSignal != 0 {
		add("dumps at %s", signalText(c.DumpSignal))
	}
	return all
}

// signalText is the name of a signal, or else its number.
func signalText(s Signal) string {
	if name := signalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}

// spans writes a set of numbers as the kernel does: 0-3,8.
func spans(numbers []int) string {
	sorted := slices.Compact(slices.Sorted(slices.Values(numbers)))
	var parts []string
	for i := 0; i < len(sorted); i++ {
		first := i
		for i+1 < len(sorted) && sorted[i+1] == sorted[i]+1 {
			i++
		}
		part := strconv.Itoa(sorted[first])
		if i > first {
			part += "-" + strconv.Itoa(sorted[i])
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}
