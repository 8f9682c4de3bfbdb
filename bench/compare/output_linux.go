package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// measureOutput: from the first line of the first rank until the last byte has come through the launcher. Every line of every
// rank has to be there, whole and in order.
func measureOutput(ctx context.Context, t *trial, c contender, work []string) (float64, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	err = t.start(c, work, w)
	w.Close()
	if err != nil {
		return 0, err
	}
	each, err := strconv.Atoi(work[2])
	if err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { r.Close() })()
	got, end := receive(r, t.n*each)
	if err := t.wait(ctx); err != nil {
		return 0, err
	}
	t.marks.drain()
	begin := t.marks.all("begin")
	if len(begin) != t.n {
		return 0, fmt.Errorf("%d of %d ranks began", len(begin), t.n)
	}
	written, err := checkLines(got, t.n, each, c.tears)
	if err != nil {
		return 0, err
	}
	return float64(written) / seconds(end-first(begin)), nil
}

func first(marks []mark) int64 {
	earliest := marks[0].number
	for _, m := range marks {
		earliest = min(earliest, m.number)
	}
	return earliest
}

// receive reads to the end, and returns when the last byte came.
func receive(r *os.File, about int) (got []byte, end int64) {
	got = make([]byte, 0, about+about/2)
	for {
		if cap(got)-len(got) < 1<<20 {
			got = append(got, make([]byte, len(got)+1<<20)...)[:len(got)]
		}
		n, err := r.Read(got[len(got):cap(got)])
		if n > 0 {
			got, end = got[:len(got)+n], clock()
		}
		if err != nil {
			return got, end
		}
	}
}

const filler = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789"

// checkLines returns how many bytes the ranks have written, after a look at all lines, which may have something in front. Where
// lines may be torn, only the number of bytes counts.
func checkLines(got []byte, ranks, each int, torn bool) (written int, err error) {
	if torn {
		if len(got) < ranks*each {
			return 0, fmt.Errorf("%d of %d bytes came", len(got), ranks*each)
		}
		return len(got), nil
	}
	next, of := map[string]int{}, map[string]int{}
	for line := range bytes.Lines(got) {
		number, rank, length, ok := parse(line)
		if !ok {
			return 0, fmt.Errorf("a torn line: %q", line)
		}
		if number != next[rank] {
			return 0, fmt.Errorf("%s: line %d comes after line %d", rank, number, next[rank]-1)
		}
		next[rank]++
		of[rank] += length
		written += length
	}
	for rank, bytes := range of {
		if bytes < each {
			return 0, fmt.Errorf("%s: %d of %d bytes came", rank, bytes, each)
		}
	}
	if len(next) != ranks {
		return 0, errors.New("the output of a rank is missing")
	}
	return written, nil
}

// ours is what a line of a rank is, whatever a launcher puts in front of it.
var ours = regexp.MustCompile(`r\d+ \d+ ?`)

// parse reads "… rPID NUMBER filler\n". A line with two beginnings is two torn ones.
func parse(line []byte) (number int, rank string, length int, ok bool) {
	rest, ok := bytes.CutSuffix(line, []byte(filler+"\n"))
	found := ours.FindAllIndex(rest, 2)
	if !ok || len(found) != 1 || found[0][1] != len(rest) || bytes.Contains(rest, []byte(filler[:26])) {
		return 0, "", 0, false
	}
	at := found[0][0]
	name, digits, _ := strings.Cut(strings.TrimSuffix(string(rest[at:]), " "), " ")
	number, err := strconv.Atoi(digits)
	return number, name, len(line) - at, err == nil
}
