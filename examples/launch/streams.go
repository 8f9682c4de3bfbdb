package main

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-muster/muster/actors/process"
)

// A streams is a set of a rank's streams, as torchrun counts them: 1 is standard output, 2 standard error, 3 both.
type streams uint8

const bothStreams streams = 3

func (s streams) has(stream process.Stream) bool {
	if stream == process.Stderr {
		return s&2 != 0
	}
	return s&1 != 0
}

// A routing says which streams of each rank go to files, and which to the console.
type routing struct{ files, shown []streams }

// routes reads --redirects and --tee. Without both, everything goes to the console, and to files where there are any.
func (t *torchrun) routes(size int) (r routing, err error) {
	r = routing{files: fill(size, bothStreams), shown: fill(size, bothStreams)}
	if t.redirects == "" && t.tee == "" {
		return r, nil
	}
	redirected, err := parseStreams("redirects", t.redirects, size)
	if err != nil {
		return r, err
	}
	teed, err := parseStreams("tee", t.tee, size)
	for rank := range teed {
		r.files[rank] = redirected[rank] | teed[rank]
		r.shown[rank] = bothStreams&^redirected[rank] | teed[rank]
	}
	return r, err
}

func fill(size int, s streams) []streams {
	all := make([]streams, size)
	for rank := range all {
		all[rank] = s
	}
	return all
}

// toFiles reports whether files are asked for, whatever directory they are to be in.
func (t *torchrun) toFiles() bool {
	return strings.Trim(t.redirects, "0") != "" || strings.Trim(t.tee, "0") != "" || t.stdoutFilters != "" || t.stderrFilters != ""
}

// parseStreams reads streams of all ranks, such as 3, or of some, such as 0:1,4-7:3; the others' are none.
func parseStreams(flag, text string, size int) ([]streams, error) {
	all := make([]streams, size)
	if text == "" {
		return all, nil
	}
	if s, ok := parseStream(text); ok {
		return fill(size, s), nil
	}
	for _, part := range strings.Split(text, ",") {
		set, which, _ := strings.Cut(part, ":")
		s, ok := parseStream(which)
		ranks, named := parseSet(set)
		if !ok || !named {
			return nil, usage("--%s %q: write 1 for standard output, 2 for standard error, 3 for both or 0 for none, "+
				"or that of some ranks, such as 0:1,4-7:3", flag, text)
		}
		for _, rank := range ranks {
			if rank >= size {
				return nil, usage("--%s %q: the last rank is %d", flag, text, size-1)
			}
			all[rank] = s
		}
	}
	return all, nil
}

func parseStream(text string) (streams, bool) {
	n, err := strconv.ParseUint(text, 10, 2)
	return streams(n), err == nil && len(text) == 1
}

// parseFilters reads texts with commas between; ,, is a comma in one.
func parseFilters(list string) (texts [][]byte) {
	const comma = "\x00"
	for _, text := range strings.Split(strings.ReplaceAll(list, ",,", comma), ",") {
		if text != "" {
			texts = append(texts, []byte(strings.ReplaceAll(text, comma, ",")))
		}
	}
	return texts
}

// A sieve is what some lines go through to a file for all ranks: lines that hold one of its texts, each with a prefix.
type sieve struct {
	texts  map[process.Stream][][]byte
	prefix func(process.ID, process.Stream) string
}

func (s *sieve) wanted(stream process.Stream) bool { return len(s.texts[stream]) > 0 }

// pick returns the lines to be written.
func (s *sieve) pick(id process.ID, stream process.Stream, lines []byte) (picked []byte) {
	for line := range bytes.Lines(lines) {
		for _, text := range s.texts[stream] {
			if bytes.Contains(line, text) {
				picked = append(append(picked, s.prefix(id, stream)...), bytes.TrimSuffix(line, []byte("\n"))...)
				picked = append(picked, '\n')
				break
			}
		}
	}
	return picked
}
