package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-muster/muster/supervisor"
)

// explain prints why a run ended badly: the origin first, with everything there is about it, then the others in a line
// each, then what was decided.
func explain(w io.Writer, r supervisor.Report, err error) {
	defer hintDumps(w, r)
	var f *supervisor.Failure
	if !errors.As(err, &f) {
		fmt.Fprintf(w, "launch: %s\n", oneLine(err))
		return
	}
	fmt.Fprintf(w, "launch: rank %d failed first (generation %d, pid %d): %s\n", f.Rank, f.Generation, f.PID, headline(f))
	if text := evidence(f); text != "" {
		fmt.Fprintf(w, "\n%s\n", indent(text))
	}
	for _, other := range f.Collateral {
		fmt.Fprintf(w, "launch: rank %d failed after it: %s\n", other.Rank, headline(other))
	}
	if len(f.Stopped) > 0 {
		fmt.Fprintf(w, "launch: stopped because of it: %s\n", rankList(f.Stopped))
	}
	fmt.Fprintf(w, "launch: decided: %v", f.Directive.Action)
	if f.Directive.Reason != "" {
		fmt.Fprintf(w, " (%s)", f.Directive.Reason)
	}
	fmt.Fprintf(w, "; exit status %d\n", r.ExitCode)
}

// hintDumps says whose stacks the report has: they are too long for a terminal.
func hintDumps(w io.Writer, r supervisor.Report) {
	var ranks []int
	for _, f := range r.Failures {
		if f.Dump() != "" && f.Exit.Stopped {
			ranks = append(ranks, f.Rank)
		}
	}
	for _, k := range r.Ranks {
		if k.Exit != nil && len(k.Exit.Dump) > 0 && k.Exit.Stopped {
			ranks = append(ranks, k.Rank)
		}
	}
	if slices.Sort(ranks); len(ranks) > 0 {
		fmt.Fprintf(w, "launch: asked for its stacks before it was killed: %s; see dump in --report\n", rankList(slices.Compact(ranks)))
	}
}

// headline says in one line what a failure is.
func headline(f *supervisor.Failure) string {
	line, _, _ := strings.Cut(f.Error(), "\n")
	return strings.TrimPrefix(line, fmt.Sprintf("rank %v: ", f.ID()))
}

// evidence is the traceback, the stacks of a rank that hung or crashed, or else the end of its standard error.
func evidence(f *supervisor.Failure) string {
	if f.Exception != nil && f.Exception.Traceback != "" {
		return f.Exception.Traceback
	}
	if f.Stacks != "" {
		return "its stacks, as it hung:\n" + firstLines(f.Stacks, "stacks")
	}
	if dump := f.Dump(); dump != "" && !f.Exit.Stopped {
		return "its stacks, as it crashed:\n" + firstLines(dump, "dump")
	}
	if tail := strings.TrimRight(f.StderrTail(), "\n"); tail != "" {
		return "the end of its standard error:\n" + tail
	}
	return ""
}

// firstLines is what fits on a screen; the report has all of it, under a key.
func firstLines(text, key string) string {
	const most = 40
	lines := strings.SplitAfterN(text, "\n", most+1)
	if len(lines) <= most {
		return text
	}
	return strings.Join(lines[:most], "") + "… see " + key + " in --report"
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		if line != "\n" {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// rankList writes "rank 1" or "ranks 0, 2-5".
func rankList(ranks []int) string {
	var parts []string
	for i := 0; i < len(ranks); {
		j := i
		for j+1 < len(ranks) && ranks[j+1] == ranks[j]+1 {
			j++
		}
		if j > i+1 {
			parts = append(parts, fmt.Sprintf("%d-%d", ranks[i], ranks[j]))
		} else {
			for ; i <= j; i++ {
				parts = append(parts, strconv.Itoa(ranks[i]))
			}
		}
		i = j + 1
	}
	word := "ranks "
	if len(ranks) == 1 {
		word = "rank "
	}
	return word + strings.Join(parts, ", ")
}
