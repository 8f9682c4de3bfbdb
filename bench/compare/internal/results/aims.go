package results

import (
	"fmt"
	"strings"
)

// An Aim is what we want to stand at: a contender's value, at each of the sizes, at most some times another's.
type Aim struct {
	Text       string
	Row        string
	Ours, Than string // Than is empty for an absolute aim
	Sizes      []int
	AtMost     float64 // of Than's value, or in the row's unit
	AtLeast    bool    // turns it round
	PerRank    bool    // of an absolute aim: what each rank adds, from the smallest size to this one
}

// AimsMarkdown is a line for each aim and size: what was measured, and whether that is where we want to be.
func (r Results) AimsMarkdown(aims []Aim) string {
	var b strings.Builder
	b.WriteString("| aim | n | measured | |\n|---|---|---|---|\n")
	for _, aim := range aims {
		row, ok := r.Row(aim.Row)
		if !ok {
			continue
		}
		for _, n := range aim.Sizes {
			if text, met, ok := aim.judge(row, n); ok {
				fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", aim.Text, n, text, map[bool]string{true: "met", false: "**not met**"}[met])
			}
		}
	}
	return b.String()
}

func (a Aim) judge(row Row, n int) (text string, met, ok bool) {
	value, text, ok := a.measured(row, n)
	if a.AtLeast {
		return text, value >= a.AtMost, ok
	}
	return text, value <= a.AtMost, ok
}

func (a Aim) measured(row Row, n int) (value float64, text string, ok bool) {
	if a.Than != "" {
		ratio := row.Between(a.Ours, a.Than, n)
		return ratio.Median, fmt.Sprintf("%s× (%s–%s)", digits(ratio.Median), digits(ratio.Low), digits(ratio.High)), ratio.N > 0
	}
	cell, _ := row.Cell(a.Ours, n)
	value, ok = cell.Value.Median, cell.Value.N > 0
	if sizes := row.Sizes(); a.PerRank && ok {
		first, _ := row.Cell(a.Ours, sizes[0])
		value, ok = (value-first.Value.Median)/float64(n-sizes[0]), first.Value.N > 0 && n > sizes[0]
	}
	return value, Format(value, row.Unit), ok
}
