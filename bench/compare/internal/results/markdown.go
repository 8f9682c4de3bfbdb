package results

import (
	"fmt"
	"math"
	"strings"
)

// Format writes a value with its unit in three digits: 1.23 ms, 45.6 KiB, 789 MiB/s.
func Format(value float64, unit string) string {
	switch unit {
	case "s":
		return scaled(value, 1000, "s", "ms", "µs", "ns")
	case "B", "B/s":
		return binary(value, unit)
	case "1/s":
		return many(value) + "/s"
	default:
		return digits(value) + " " + unit
	}
}

// scaled takes the first of the units, each a part of the one before, in which the value is not below 1.
func scaled(value, step float64, units ...string) string {
	for i, unit := range units {
		if value >= 1 || i == len(units)-1 || value == 0 {
			return digits(value) + " " + unit
		}
		value *= step
	}
	return ""
}

func binary(value float64, unit string) string {
	for _, prefix := range []string{"", "Ki", "Mi"} {
		if math.Abs(value) < 1024 {
			return digits(value) + " " + prefix + unit
		}
		value /= 1024
	}
	return digits(value) + " Gi" + unit
}

func many(value float64) string {
	switch {
	case value >= 1e6:
		return digits(value/1e6) + " M"
	case value >= 1e3:
		return digits(value/1e3) + " k"
	}
	return digits(value) + " "
}

// digits are three of them, and all before the point.
func digits(value float64) string {
	switch abs := math.Abs(value); {
	case abs == 0:
		return "0"
	case abs >= 100:
		return fmt.Sprintf("%.0f", value)
	case abs >= 10:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.2f", value)
}

// Markdown is the row's table: a line for each contender, for each size the median, and how many times the reference that is,
// with its quartiles.
func (r Row) Markdown() string {
	var b strings.Builder
	sizes := r.Sizes()
	fmt.Fprintf(&b, "| %s |", r.Title)
	for _, n := range sizes {
		fmt.Fprintf(&b, " n = %d |", n)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(sizes)) + "\n")
	for _, contender := range r.Contenders() {
		fmt.Fprintf(&b, "| %s |", contender)
		for _, n := range sizes {
			fmt.Fprintf(&b, " %s |", r.entry(contender, n))
		}
		b.WriteString("\n")
	}
	b.WriteString(r.footnotes())
	return b.String()
}

func (r Row) entry(contender string, n int) string {
	cell, tried := r.Cell(contender, n)
	switch {
	case !tried:
		return "–"
	case cell.Value.N == 0:
		return "failed"
	}
	text := Format(cell.Value.Median, r.Unit)
	if cell.Ratio.N > 0 && contender != r.Reference {
		text += fmt.Sprintf(" · **%s×** (%s–%s)", digits(cell.Ratio.Median), digits(cell.Ratio.Low), digits(cell.Ratio.High))
	} else if contender == r.Reference {
		text += fmt.Sprintf(" (%s–%s)", Format(cell.Value.Low, r.Unit), Format(cell.Value.High, r.Unit))
	}
	if cell.Failed > 0 {
		text += fmt.Sprintf(" (%d of %d failed)", cell.Failed, cell.Failed+cell.Value.N)
	}
	return text
}

// footnotes say what counts, and what went wrong.
func (r Row) footnotes() string {
	var b strings.Builder
	b.WriteString("\nRounds that count:")
	for i, n := range r.Sizes() {
		kept, all, noisy := r.Kept(n)
		fmt.Fprintf(&b, "%s %d of %d (n = %d%s)", map[bool]string{true: "", false: ","}[i == 0], kept, all, n,
			map[bool]string{true: ", on a noisy machine"}[noisy])
	}
	b.WriteString(".\n")
	for _, contender := range r.Contenders() {
		for _, n := range r.Sizes() {
			if cell, tried := r.Cell(contender, n); tried && cell.Failed > 0 {
				fmt.Fprintf(&b, "%s, n = %d: %s.\n", contender, n, strings.TrimSuffix(firstLine(cell.Error), "."))
			}
		}
	}
	return b.String()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// GrowthMarkdown is the table of exponents of all rows with more than one size.
func (r Results) GrowthMarkdown() string {
	var b strings.Builder
	b.WriteString("| row | contender | n | grows as | standard error |\n|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		sizes := row.Sizes()
		if len(sizes) < 2 {
			continue
		}
		for _, contender := range row.Contenders() {
			if fit, ok := row.Growth(contender); ok {
				fmt.Fprintf(&b, "| %s | %s | %d–%d | n^%.2f | %s |\n", row.Name, contender, sizes[0], sizes[len(sizes)-1], fit.Exponent, give(fit.Error))
			}
		}
	}
	return b.String()
}

func give(e float64) string {
	if math.IsNaN(e) {
		return "–, of two points"
	}
	return fmt.Sprintf("%.2f", e)
}

// MachineMarkdown says where all this was measured, and beside whom.
func (r Results) MachineMarkdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d cores, %d GiB, %s, %s; our contenders ran under `%s`.\n\n", m.Processor, m.Cores, m.MemoryGiB, m.System, m.Go, m.Containment)
	b.WriteString("| peer | version |\n|---|---|\n")
	for _, p := range r.Peers {
		version := p.Version
		if p.Missing != "" {
			version = "left out: " + p.Missing
		}
		fmt.Fprintf(&b, "| %s | %s |\n", p.Name, version)
	}
	return b.String()
}

// Splice puts a text between the marks <!-- compare:NAME --> and <!-- /compare:NAME --> of a document. It returns false when
// the document has none.
func Splice(document, name, text string) (string, bool) {
	begin, end := "<!-- compare:"+name+" -->\n", "<!-- /compare:"+name+" -->"
	before, rest, ok := strings.Cut(document, begin)
	if !ok {
		return document, false
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return document, false
	}
	return before + begin + strings.TrimRight(text, "\n") + "\n" + end + after, true
}
