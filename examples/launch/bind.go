package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A place is where a rank runs: on which processors, with memory of which NUMA nodes.
type place struct{ cpus, nodes []int }

// A topology is what the kernel tells of the machine, as far as we may use it.
type topology struct {
	system  string // a directory such as /sys/devices/system
	allowed []int
}

// bindings returns the place of each rank, nil for anywhere.
func bindings(how string, ranks int) ([]place, error) {
	if how == "none" || how == "" {
		return nil, nil
	}
	return topology{system: "/sys/devices/system", allowed: allowed()}.bindings(how, ranks)
}

func (t topology) bindings(how string, ranks int) ([]place, error) {
	switch how {
	case "core":
		return t.byCore(ranks)
	case "numa":
		return t.byNode(ranks)
	}
	var places []place
	for _, list := range strings.Split(how, ":") {
		cpus, ok := parseSet(list)
		if !ok {
			return nil, usage("--bind %q: write none, core, numa, or the processors of each rank, such as 0-3:4-7", how)
		}
		places = append(places, place{cpus: cpus})
	}
	if len(places) != ranks {
		return nil, usage("--bind %q: it has %d lists for %d ranks: write one for each, with a colon between", how, len(places), ranks)
	}
	return places, nil
}

// byCore gives each rank one core, with all its hardware threads that we may use.
func (t topology) byCore(ranks int) ([]place, error) {
	cores := map[int][]int{} // by their first thread
	for _, cpu := range t.allowed {
		first := cpu
		path := filepath.Join(t.system, "cpu", "cpu"+strconv.Itoa(cpu), "topology", "thread_siblings_list")
		if threads := readSet(path); len(threads) > 0 {
			first = threads[0]
		}
		cores[first] = append(cores[first], cpu)
	}
	if ranks > len(cores) {
		return nil, usage("--bind core: %d ranks and %d cores that launch may use: start fewer ranks, or bind to numa or a list",
			ranks, len(cores))
	}
	var places []place
	for _, cpus := range cores {
		places = append(places, place{cpus: cpus})
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.cpus[0], b.cpus[0]) })
	return places[:ranks], nil
}

// byNode spreads the ranks over the NUMA nodes, neighbours on the same one.
func (t topology) byNode(ranks int) ([]place, error) {
	var nodes []place
	dirs, _ := filepath.Glob(filepath.Join(t.system, "node", "node[0-9]*"))
	withMemory := readSet(filepath.Join(t.system, "node", "has_memory"))
	for _, dir := range dirs {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), "node"))
		cpus := slices.DeleteFunc(readSet(filepath.Join(dir, "cpulist")), func(cpu int) bool { return !slices.Contains(t.allowed, cpu) })
		if err != nil || len(cpus) == 0 {
			continue
		}
		node := place{cpus: cpus}
		if slices.Contains(withMemory, n) {
			node.nodes = []int{n}
		}
		nodes = append(nodes, node)
	}
	if len(nodes) == 0 {
		return nil, usage("--bind numa: this machine shows no NUMA nodes: bind to core or a list")
	}
	slices.SortFunc(nodes, func(a, b place) int { return cmp.Compare(a.cpus[0], b.cpus[0]) })
	places := make([]place, ranks)
	for rank := range places {
		places[rank] = nodes[rank*len(nodes)/ranks]
	}
	return places, nil
}

// allowed lists the processors that launch may use.
func allowed() []int {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			cpus, _ := parseSet(strings.TrimSpace(list))
			return cpus
		}
	}
	return nil
}

// readSet reads a set of numbers from a file, nil where there is none.
func readSet(path string) []int {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	numbers, _ := parseSet(strings.TrimSpace(string(text)))
	return numbers
}
