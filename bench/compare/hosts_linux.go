package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-muster/muster/bench/compare/internal/results"
)

// hostsPackage has the simulation of many machines: benchmarks whose names end in hosts=N, and whose ns/op is what an order to
// all of them takes. Each becomes a row.
const hostsPackage = "actors/host"

// hosts runs the simulation where there is one, in rounds of its own.
func hosts(ctx context.Context, k *kit, log io.Writer) ([]results.Row, error) {
	if tests, _ := filepath.Glob(filepath.Join(k.root, hostsPackage, "*_test.go")); len(tests) == 0 {
		fmt.Fprintf(log, "hosts: there is no %s\n", hostsPackage)
		return nil, nil
	}
	rounds := "5"
	if k.quick {
		rounds = "1"
	}
	out, err := output(ctx, "go", "test", "-C", k.root, "-run", "^$", "-bench", "hosts=", "-benchtime", "5x", "-count", rounds, "./"+hostsPackage)
	if err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	return simulated(out), nil
}

var hostsLine = regexp.MustCompile(`(?m)^Benchmark(\w+)(?:/\S*)?/hosts=(\d+)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op`)

// simulated reads what go test has printed.
func simulated(out string) []results.Row {
	var rows []results.Row
	at := map[string]int{}
	for _, found := range hostsLine.FindAllStringSubmatch(out, -1) {
		name := "hosts-" + strings.ToLower(found[1])
		if _, ok := at[name]; !ok {
			at[name] = len(rows)
			rows = append(rows, results.Row{
				Name: name, Title: "Many machines, simulated: " + found[1], Unit: "s", Reference: "simulation",
			})
		}
		n, _ := strconv.Atoi(found[2])
		ns, _ := strconv.ParseFloat(found[3], 64)
		row := &rows[at[name]]
		row.Rounds = append(row.Rounds, results.Round{N: n, Probe: 1, Trials: []results.Trial{{Contender: "simulation", Value: ns / 1e9}}})
	}
	return rows
}
