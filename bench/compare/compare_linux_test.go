package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/bench/compare/internal/results"
)

func TestMain(m *testing.M) { processtest.Main(m) }

// writer is where the comparison says what it does.
type writer struct{ t *testing.T }

func (w writer) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// TestRows asks every row of those who need nothing but Go, C and Python, once: each has to do the work, and to prove it.
func TestRows(t *testing.T) {
	for _, tool := range []string{"cc", "go", python3} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("the contenders are built and run with it:", err)
		}
	}
	k, err := build(t.Context(), t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	c := &comparison{kit: k, rounds: 1, limit: 2 * time.Minute, idle: 10 * time.Millisecond, log: writer{t}}
	for _, r := range rows {
		if len(r.quick) == 0 {
			continue // the same as another, with torch
		}
		t.Run(r.name, func(t *testing.T) {
			measured, err := c.ask(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range measured {
				if got := row.Contenders(); !slices.Contains(got, row.Reference) {
					t.Errorf("%s: %v, without its reference %s", row.Name, got, row.Reference)
				}
				for _, round := range row.Rounds {
					for _, trial := range round.Trials {
						if trial.Error != "" || trial.Value < 0 || trial.Value == 0 && row.Name != "idle-cpu" {
							t.Errorf("%s, n = %d: %+v", row.Name, round.N, trial)
						}
					}
				}
			}
		})
	}
}

// TestProof: what does not do the work is no result.
func TestProof(t *testing.T) {
	k := &kit{dir: t.TempDir(), quick: true}
	c := &comparison{kit: k, limit: time.Minute, log: writer{t}}
	shell := func(script string) contender {
		return contender{name: script, argv: func(*trial, []string) []string { return []string{"sh", "-c", script} }}
	}
	for _, test := range []struct {
		name string
		measure
		who  contender
		want string
	}{
		{"a process too few", measureLaunch, shell(`echo "done 1 0" >$COMPARE_MARKS`), "1 of 2 processes ran"},
		{"one process twice", measureLaunch, shell(`echo "done 1 0" >$COMPARE_MARKS; echo "done 1 0" >$COMPARE_MARKS`), "1 of 2 processes ran"},
		{"it fails", measureLaunch, shell("echo no such luck >&2; exit 4"), "exit status 4\nno such luck"},
		{"no rank is ready", measureReady, shell("true"), "0 of 2 ranks ran"},
		{"it ends before its ranks", measureFailure, shell(`echo "ready 1 0" >$COMPARE_MARKS`), "1 of 2 said \"ready\": the command has ended"},
		{
			"a line is torn", measureOutput,
			shell(`echo "begin 1 1" >$COMPARE_MARKS; echo "begin 2 1" >$COMPARE_MARKS; echo r1 0000r2 0000 ` + filler), "a torn line",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := row{work: func(*kit) []string { return []string{"", "lines", "10"} }, measure: test.measure}
			if value, err := c.one(t.Context(), r, test.who, 2); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, %v; want %q", value, err, test.want)
			}
		})
	}
	if left, _ := os.ReadDir(k.dir); len(left) > 0 {
		t.Errorf("trials left %v", left)
	}
}

func TestCheckLines(t *testing.T) {
	line := func(rank string, i int) string { return fmt.Sprintf("%s %08d %s\n", rank, i, filler) }
	whole := "[0] " + line("r7", 0) + line("r9", 0) + "[0] " + line("r7", 1) + line("r9", 1)
	each := 2 * len(line("r7", 0))
	if n, err := checkLines([]byte(whole), 2, each, false); err != nil || n != 2*each {
		t.Errorf("%d, %v", n, err)
	}
	for name, text := range map[string]string{
		"torn":       strings.Replace(whole, "abcd", "abc\nd", 1),
		"mixed":      strings.Replace(whole, "abcd", "abr9cd", 1),
		"lost":       strings.Replace(whole, line("r9", 0), "", 1),
		"cut off":    strings.TrimSuffix(whole, line("r9", 1)),
		"no newline": strings.TrimSuffix(whole, "\n"),
		"one rank":   line("r7", 0) + line("r7", 1),
		"two in one": strings.Replace(whole, "\n", "", 1),
	} {
		if n, err := checkLines([]byte(text), 2, each, false); err == nil {
			t.Errorf("%s: %d bytes were taken", name, n)
		}
	}
}

func TestDropped(t *testing.T) {
	all := []contender{{name: "good"}, {name: "bad"}}
	d := dropped{}
	trials := []results.Trial{{Contender: "good"}, {Contender: "bad", Error: "it hangs"}}
	d.note(trials)
	if got := d.without(slices.Clone(all)); len(got) != 2 {
		t.Errorf("after one failure: %d left", len(got))
	}
	d.note(trials)
	if got := d.without(slices.Clone(all)); len(got) != 1 || got[0].name != "good" {
		t.Errorf("after two: %d left", len(got))
	}
}

func TestAmong(t *testing.T) {
	all := []contender{{name: "plain"}, {name: "needy", needs: []string{"torch"}}, {name: "small", most: 8}, {name: "slow", slow: true}}
	names := func(cs []contender) (names string) {
		for _, c := range cs {
			names += c.name + " "
		}
		return names
	}
	if got := names(among(all, map[string]bool{"torch": true}, 8, false)); got != "plain needy small slow " {
		t.Error(got)
	}
	if got := names(among(all, nil, 64, true)); got != "plain " {
		t.Error(got)
	}
}

func TestSimulated(t *testing.T) {
	rows := simulated("goos: linux\n" +
		"BenchmarkHosts/hosts=10-2   1   1500000 ns/op   2.5 KiB/host   40.00 start-ms   30 restart-ms\n" +
		"BenchmarkHosts/hosts=100-2  1  9000000 ns/op   2.5 KiB/host   90.00 start-ms   60 restart-ms\nPASS\n")
	if len(rows) != 2 || rows[0].Name != "hosts-start" || !slices.Equal(rows[0].Sizes(), []int{10, 100}) {
		t.Fatalf("%+v", rows)
	}
	if cell, _ := rows[1].Cell("simulation", 100); cell.Value.Median != 0.06 {
		t.Errorf("%+v", cell)
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--rows lunch", `there is no row "lunch": there are launch,`},
		{"--rounds -1", "--rounds -1: at least 1"},
		{"--sizes 0", "--sizes 0: at least 1"},
		{"--limit 0s", "times above 0"},
		{"launch", "unexpected: launch"},
	} {
		if _, err := parseOptions(strings.Fields(c.args)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.args, err, c.want)
		}
	}
	o, err := parseOptions([]string{"--quick", "--rows=launch,hosts"})
	if err != nil || o.Idle != time.Second || len(o.chosen()) != 1 || !o.wants("hosts") || o.wants("ready") {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestPage: docs/performance.md has a place for everything that is measured, and what is measured has charts.
func TestPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"machine", "aims", "growth"}
	for _, r := range rows {
		names = append(names, r.name)
		for _, part := range r.parts {
			names = append(names, part.Name)
		}
	}
	for _, deed := range hostDeeds {
		names = append(names, deed.Name)
	}
	for _, name := range names {
		if _, ok := results.Splice(string(b), name, ""); !ok {
			t.Errorf("there is no place for %s", name)
		}
	}
	f, err := os.Open("../../docs/performance/results.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := results.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	charts, err := draw(all, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, drawn := range charts {
		for _, ext := range []string{".svg", ".png"} {
			if _, err := os.Stat(filepath.Join("../../docs/performance", name+ext)); drawn && err != nil {
				t.Error(err)
			}
		}
	}
}
