package main

import (
	"fmt"
	"strconv"
	"strings"
)

// parseRanks reads a set of ranks of a group, such as 0,3-5; nil means all.
func parseRanks(text string, size int) (map[int]bool, error) {
	if text == "" {
		return nil, nil
	}
	ranks, ok := parseSet(text)
	if !ok {
		return nil, usage("--ranks-filter %q: write ranks and ranges, such as 0,3-5", text)
	}
	set := map[int]bool{}
	for _, rank := range ranks {
		if rank >= size {
			return nil, usage("--ranks-filter %q: the last rank is %d", text, size-1)
		}
		set[rank] = true
	}
	return set, nil
}

// parseSet reads numbers and ranges, such as 0,3-5, as the kernel writes them.
func parseSet(text string) (numbers []int, ok bool) {
	for _, part := range strings.Split(text, ",") {
		low, high, span := strings.Cut(part, "-")
		if !span {
			high = low
		}
		first, err1 := strconv.Atoi(low)
		last, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || first < 0 || last < first || last > maxRanks {
			return nil, false
		}
		for n := first; n <= last; n++ {
			numbers = append(numbers, n)
		}
	}
	return numbers, true
}

// rankList writes "rank 1" or "ranks 0, 2-5", and of many only the first: a line is to be read.
func rankList(ranks []int) string {
	const most, some = 8, 5
	if len(ranks) == 1 {
		return fmt.Sprintf("rank %d", ranks[0])
	}
	var parts []string
	var ends []int // how many ranks there are up to each part
	for i := 0; i < len(ranks); {
		j := i + 1
		for j < len(ranks) && ranks[j] == ranks[j-1]+1 {
			j++
		}
		if j == i+2 { // two are no range
			j--
		}
		text := strconv.Itoa(ranks[i])
		if j > i+1 {
			text += "-" + strconv.Itoa(ranks[j-1])
		}
		parts, ends, i = append(parts, text), append(ends, j), j
	}
	if len(parts) <= most {
		return "ranks " + strings.Join(parts, ", ")
	}
	return fmt.Sprintf("ranks %s and %d more", strings.Join(parts[:some], ", "), len(ranks)-ends[some-1])
}

func span(first, size int) (ranks []int) {
	for i := range size {
		ranks = append(ranks, first+i)
	}
	return ranks
}
