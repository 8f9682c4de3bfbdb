package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
)

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
	return cut(ours.Replace(strings.TrimPrefix(line, fmt.Sprintf("rank %v: ", f.ID()))), longest)
}

// longest is more than a line has that is to be read, in bytes: a message may be a megabyte.
const longest = 400

// cut leaves out the end of what is longer.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// evidence is the traceback, or the stacks of a rank that hung or crashed.
func evidence(f *supervisor.Failure) string {
	if text := tracebackOf(f); text != "" {
		return bothEnds(text, "traceback")
	}
	if f.Stacks != "" {
		return "its stacks, as it hung:\n" + firstLines(f.Stacks, "stacks")
	}
	if dump := f.Dump(); dump != "" && !f.Exit.Stopped {
		return "its stacks, as it crashed:\n" + firstLines(dump, "dump")
	}
	return ""
}

// lastWords are the last lines of standard error, without a traceback or a dump that has been shown already.
func lastWords(f *supervisor.Failure) string {
	const most = 10
	tail := f.StderrTail()
	for _, shown := range []string{withoutLocals(tracebackOf(f), f.Exception), f.Dump()} {
		tail = without(tail, strings.TrimSpace(shown))
	}
	if tail = strings.Trim(tail, "\n"); strings.TrimSpace(tail) == "" {
		return ""
	}
	lines := strings.Split(tail, "\n")
	for i, line := range lines {
		lines[i] = cut(string(lastState([]byte(line))), longest)
	}
	if len(lines) > most {
		lines = append([]string{"…"}, lines[len(lines)-most:]...)
	}
	return "the end of its standard error:\n" + strings.Join(lines, "\n")
}

// without leaves out of a tail what has been shown. A traceback that was made in a decorator, such as torch's @record, has not
// the frames that called it: they stand between its first line and the others.
func without(tail, shown string) string {
	first, others, long := strings.Cut(shown, "\n")
	at := strings.LastIndex(tail, others)
	if !long || at < 0 {
		return tail
	}
	begin := strings.LastIndex(tail[:at], first)
	if begin < 0 {
		return tail
	}
	return strings.TrimRight(tail[:begin], " ") + tail[at+len(others):]
}

// withoutLocals is a traceback as Python itself has printed it: it does not show variables.
func withoutLocals(traceback string, x *transport.Exception) string {
	if x == nil {
		return traceback
	}
	for _, f := range x.Frames {
		for name, value := range f.Locals {
			traceback = strings.Replace(traceback, "    "+name+" = "+value+"\n", "", 1)
		}
	}
	for _, related := range slices.Concat([]*transport.Exception{x.Cause, x.Context}, x.Members) {
		traceback = withoutLocals(traceback, related)
	}
	return traceback
}

func tracebackOf(f *supervisor.Failure) string {
	if f.Exception == nil {
		return ""
	}
	return f.Exception.Traceback
}

// bothEnds is what can be read of a traceback: where it begins, and where it was raised. The report has all of it, under a key.
func bothEnds(text, key string) string {
	const first, last = 30, 50
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if out := len(lines) - first - last; out > 1 {
		left := fmt.Sprintf("… %d lines are left out: see %s in --report", out, key)
		lines = slices.Concat(lines[:first], []string{left}, lines[len(lines)-last:])
	}
	for i, line := range lines {
		lines[i] = cut(line, longest)
	}
	return strings.Join(lines, "\n")
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
