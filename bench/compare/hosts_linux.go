package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-muster/muster/bench/compare/internal/results"
)

// hostsPackage has the simulation of many machines: benchmarks whose names end in hosts=N, and which report what each deed took
// as a metric of their own, such as start-ms.
const hostsPackage = "./actors/host"

// hostDeeds are the rows that the simulation answers.
var hostDeeds = []results.Row{
	{Name: "hosts-start", Title: "Many hosts, simulated: start of 8 ranks on each of n", Unit: "s", Reference: "simulation"},
	{Name: "hosts-restart", Title: "Many hosts, simulated: one rank fails, all are restarted", Unit: "s", Reference: "simulation"},
	{Name: "hosts-stop", Title: "Many hosts, simulated: all are stopped", Unit: "s", Reference: "simulation"},
}

// hosts runs the simulation.
func hosts(ctx context.Context, k *kit, log io.Writer) ([]results.Row, error) {
	rounds, sizes := "2", "hosts=" // all of them
	if k.quick {
		rounds, sizes = "1", "hosts=10$"
	}
	fmt.Fprintln(log, "hosts: the simulation of", hostsPackage)
	out, err := output(ctx, "go", "test", "-C", k.root, "-run", "^$", "-bench", "Hosts/"+sizes, "-benchtime", "1x", "-count", rounds, hostsPackage)
	if err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	return simulated(out), nil
}

var hostsLine = regexp.MustCompile(`(?m)^Benchmark\w+/hosts=(\d+)(?:-\d+)?\s+\d+\s(.*)$`)

// simulated reads what go test has printed: a number and its unit, again and again.
func simulated(out string) []results.Row {
	var rows []results.Row
	for _, deed := range hostDeeds {
		metric := strings.TrimPrefix(deed.Name, "hosts-") + "-ms"
		for _, found := range hostsLine.FindAllStringSubmatch(out, -1) {
			n, _ := strconv.Atoi(found[1])
			if ms, ok := metricOf(strings.Fields(found[2]), metric); ok {
				deed.Rounds = append(deed.Rounds, results.Round{N: n, Probe: 1, Trials: []results.Trial{{Contender: "simulation", Value: ms / 1000}}})
			}
		}
		if len(deed.Rounds) > 0 {
			rows = append(rows, deed)
		}
	}
	return rows
}

func metricOf(fields []string, unit string) (float64, bool) {
	for i := 1; i < len(fields); i += 2 {
		if fields[i] == unit {
			value, err := strconv.ParseFloat(fields[i-1], 64)
			return value, err == nil
		}
	}
	return 0, false
}
