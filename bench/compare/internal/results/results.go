// Package results holds what a comparison has measured, as it is written to a file, and what follows from it: medians, ratios,
// exponents, tables. It measures nothing.
package results

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-muster/muster/bench/compare/internal/stats"
)

// Results are those of one run on one machine.
type Results struct {
	Machine Machine `json:"machine"`
	Peers   []Peer  `json:"peers"`
	Rows    []Row   `json:"rows"`
}

// A Machine is what one has to know of it to judge a ratio.
type Machine struct {
	Processor   string `json:"processor"`
	Cores       int    `json:"cores"`
	MemoryGiB   int    `json:"memory_gib"`
	System      string `json:"system"` // such as linux 6.18
	Go          string `json:"go"`
	Containment string `json:"containment"` // what our contenders had
}

// A Peer is what contenders need from the machine.
type Peer struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Missing string `json:"missing,omitempty"` // why it could not take part
}

// A Row is one question, asked of several contenders.
type Row struct {
	Name      string  `json:"name"`
	Title     string  `json:"title"`
	Unit      string  `json:"unit"`      // s, s/s, B, B/s or 1/s
	Reference string  `json:"reference"` // the contender that ratios are relative to
	More      bool    `json:"more"`      // more is better
	Rounds    []Round `json:"rounds"`
}

// A Round is one trial of each contender, one after the other.
type Round struct {
	N      int     `json:"n"`     // ranks, or hosts
	Probe  float64 `json:"probe"` // seconds: see stats.Quiet
	Trials []Trial `json:"trials"`
}

// A Trial is one run of one contender. With an error it has no value.
type Trial struct {
	Contender string  `json:"contender"`
	Value     float64 `json:"value"`
	Error     string  `json:"error,omitempty"`
}

// Read reads what Write has written.
func Read(r io.Reader) (Results, error) {
	var all Results
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		return Results{}, fmt.Errorf("results: %w", err)
	}
	return all, nil
}

// Write writes JSON.
func (r Results) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// Over takes the rows of an earlier run that r has not measured itself, in the order of that run. Other peers or another machine
// make rows that stand for nothing side by side: an error.
func (r Results) Over(earlier Results) (Results, error) {
	rows, left := slices.Clone(r.Rows), false
	for at, row := range earlier.Rows {
		if _, again := r.Row(row.Name); !again {
			rows, left = slices.Insert(rows, min(at, len(rows)), row), true
		}
	}
	if left && (r.Machine != earlier.Machine || !slices.Equal(r.Peers, earlier.Peers)) {
		return r, errors.New("results: the earlier rows are of another machine or other peers: measure all rows")
	}
	r.Rows = rows
	return r, nil
}

// Row returns the row of that name.
func (r Results) Row(name string) (Row, bool) {
	i := slices.IndexFunc(r.Rows, func(row Row) bool { return row.Name == name })
	if i < 0 {
		return Row{}, false
	}
	return r.Rows[i], true
}

// A Cell is what is known of one contender at one size.
type Cell struct {
	Contender string
	N         int
	Value     stats.Summary
	Ratio     stats.Summary // to the reference, round by round
	Failed    int           // trials that ended with an error, of all rounds
	Error     string        // of the first of them
}

// Sizes are the row's n, in order.
func (r Row) Sizes() []int {
	var sizes []int
	for _, round := range r.Rounds {
		if !slices.Contains(sizes, round.N) {
			sizes = append(sizes, round.N)
		}
	}
	slices.Sort(sizes)
	return sizes
}

// Contenders are those who were tried, in order of appearance.
func (r Row) Contenders() []string {
	var names []string
	for _, round := range r.Rounds {
		for _, t := range round.Trials {
			if !slices.Contains(names, t.Contender) {
				names = append(names, t.Contender)
			}
		}
	}
	return names
}

// Kept says how many of a size's rounds count, of how many, and whether that had to be half of a noisy machine's.
func (r Row) Kept(n int) (kept, all int, noisy bool) {
	rounds, noisy := r.quiet(n)
	for _, round := range r.Rounds {
		if round.N == n {
			all++
		}
	}
	return len(rounds), all, noisy
}

func (r Row) quiet(n int) (kept []Round, noisy bool) {
	var rounds []Round
	var probes []float64
	for _, round := range r.Rounds {
		if round.N == n {
			rounds, probes = append(rounds, round), append(probes, round.Probe)
		}
	}
	keep, noisy := stats.Quiet(probes)
	for i, round := range rounds {
		if keep[i] {
			kept = append(kept, round)
		}
	}
	return kept, noisy
}

// Cell returns what the rounds that count say of a contender, and false when it was not tried at this size.
func (r Row) Cell(contender string, n int) (Cell, bool) {
	cell := Cell{Contender: contender, N: n}
	rounds, _ := r.quiet(n)
	var values, ratios []float64
	tried := false
	for _, round := range rounds {
		own, ok := round.trial(contender)
		if !ok {
			continue
		}
		tried = true
		if own.Error != "" {
			cell.Failed++
			cell.Error = cmp.Or(cell.Error, own.Error)
			continue
		}
		values = append(values, own.Value)
		if ref, ok := round.trial(r.Reference); ok && ref.Error == "" && ref.Value > 0 {
			ratios = append(ratios, own.Value/ref.Value)
		}
	}
	cell.Value, cell.Ratio = stats.Summarize(values), stats.Summarize(ratios)
	return cell, tried
}

func (r Round) trial(contender string) (Trial, bool) {
	i := slices.IndexFunc(r.Trials, func(t Trial) bool { return t.Contender == contender })
	if i < 0 {
		return Trial{}, false
	}
	return r.Trials[i], true
}

// Between returns how many times the other's value a contender's is, round by round: ratios of what was measured side by side.
func (r Row) Between(contender, other string, n int) stats.Summary {
	r.Reference = other
	cell, _ := r.Cell(contender, n)
	return cell.Ratio
}

// Growth fits a power law to a contender's medians.
func (r Row) Growth(contender string) (stats.Fit, bool) {
	var n, values []float64
	for _, size := range r.Sizes() {
		if cell, ok := r.Cell(contender, size); ok && cell.Value.N > 0 {
			n, values = append(n, float64(size)), append(values, cell.Value.Median)
		}
	}
	return stats.LogLog(n, values)
}
