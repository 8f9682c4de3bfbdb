// Package chart draws a row of a comparison: medians with their quartiles as error bars.
package chart

import (
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/go-muster/muster/bench/compare/internal/results"
	"github.com/go-muster/muster/bench/compare/internal/stats"
)

const width, height = 20 * vg.Centimeter, 12 * vg.Centimeter

// Save draws the row as DIR/NAME.svg and DIR/NAME.png: against n, on two logarithmic axes, or, when there is one n, a line for
// each contender. A row with nothing that can be drawn has no chart: it returns false.
func Save(row results.Row, dir string) (drawn bool, err error) {
	p := plot.New()
	p.Title.Text = row.Title
	p.BackgroundColor = color.White
	if len(row.Sizes()) > 1 {
		drawn, err = curves(p, row)
	} else {
		drawn, err = dots(p, row)
	}
	if !drawn || err != nil {
		return false, err
	}
	for _, ext := range []string{".svg", ".png"} {
		if err := p.Save(width, height, filepath.Join(dir, row.Name+ext)); err != nil {
			return false, fmt.Errorf("chart: %s: %w", row.Name, err)
		}
	}
	return true, nil
}

// points are medians over n with their quartiles, as gonum wants them.
type points struct {
	plotter.XYs
	plotter.YErrors
}

// curves draws a curve for each contender.
func curves(p *plot.Plot, row results.Row) (drawn bool, err error) {
	sizes := row.Sizes()
	p.X.Label.Text, p.Y.Label.Text = "n", label(row)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, at(sizes)
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, units(row.Unit)
	p.Legend.Top, p.Legend.Left = true, !row.More
	p.Legend.TextStyle.Font.Size = font.Points(9)
	p.Add(plotter.NewGrid())
	for i, contender := range row.Contenders() {
		curve := curveOf(row, contender, sizes)
		if len(curve.XYs) == 0 {
			continue
		}
		if err := add(p, contender, i, curve); err != nil {
			return false, err
		}
		drawn = true
	}
	p.X.Min, p.X.Max = float64(sizes[0])/1.2, float64(sizes[len(sizes)-1])*1.2
	p.Y.Max *= math.Pow(p.Y.Max/p.Y.Min, 0.4) // room for the legend
	return drawn, nil
}

func curveOf(row results.Row, contender string, sizes []int) (c points) {
	for _, n := range sizes {
		cell, _ := row.Cell(contender, n)
		if v, low, high, ok := bars(cell.Value); ok {
			c.XYs = append(c.XYs, plotter.XY{X: float64(n), Y: v})
			c.YErrors = append(c.YErrors, struct{ Low, High float64 }{low, high})
		}
	}
	return c
}

// bars are a value that has a logarithm, and its error bars, as lengths.
func bars(s stats.Summary) (value, low, high float64, ok bool) {
	return s.Median, s.Median - s.Low, s.High - s.Median, s.N > 0 && s.Low > 0
}

func add(p *plot.Plot, name string, i int, curve points) error {
	line, dots, err := plotter.NewLinePoints(curve.XYs)
	if err != nil {
		return err
	}
	errors, err := plotter.NewYErrorBars(curve)
	if err != nil {
		return err
	}
	line.Color, line.Width, line.Dashes = plotutil.Color(i), vg.Points(1.5), plotutil.Dashes(i/len(plotutil.DefaultColors))
	dots.Color, dots.Shape = line.Color, plotutil.Shape(i)
	errors.Color = line.Color
	p.Add(line, dots, errors)
	p.Legend.Add(name, line, dots)
	return nil
}

// across are medians, one above the other, with their quartiles.
type across struct {
	plotter.XYs
	plotter.XErrors
}

// dots draws a line for each contender, from the best at the top to the worst.
func dots(p *plot.Plot, row results.Row) (drawn bool, err error) {
	sizes := row.Sizes()
	if len(sizes) == 0 {
		return false, nil
	}
	cells := ranking(row, sizes[0])
	if len(cells) == 0 {
		return false, nil
	}
	p.X.Label.Text = label(row)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, units(row.Unit)
	p.Add(plotter.NewGrid())
	names := make([]string, len(cells))
	for i, cell := range cells {
		value, low, high, _ := bars(cell.Value)
		point := across{plotter.XYs{{X: value, Y: float64(i)}}, plotter.XErrors{{Low: low, High: high}}}
		errors, err := plotter.NewXErrorBars(point)
		if err != nil {
			return false, err
		}
		dot, err := plotter.NewScatter(point.XYs)
		if err != nil {
			return false, err
		}
		dot.Color, dot.Shape, dot.Radius = plotutil.Color(i), draw.CircleGlyph{}, vg.Points(4)
		errors.Color = dot.Color
		p.Add(errors, dot)
		names[i] = cell.Contender
	}
	p.NominalY(names...)
	p.X.Min, p.X.Max = p.X.Min/1.5, p.X.Max*1.5
	return true, nil
}

// ranking is the contenders with a value, the worst first.
func ranking(row results.Row, n int) []results.Cell {
	var cells []results.Cell
	for _, contender := range row.Contenders() {
		cell, _ := row.Cell(contender, n)
		if _, _, _, ok := bars(cell.Value); ok {
			cells = append(cells, cell)
		}
	}
	slices.SortStableFunc(cells, func(a, b results.Cell) int {
		if (a.Value.Median > b.Value.Median) == row.More {
			return 1
		}
		return -1
	})
	return cells
}

func label(row results.Row) string {
	if row.More {
		return "more is better"
	}
	return "less is better"
}

// at puts a tick at each size.
func at(sizes []int) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, n := range sizes {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: fmt.Sprint(n)})
	}
	return ticks
}

// units labels an axis as the tables do.
func units(unit string) plot.Ticker {
	return plot.TickerFunc(func(low, high float64) []plot.Tick {
		ticks := plot.LogTicks{Prec: -1}.Ticks(low, high)
		for i := range ticks {
			if ticks[i].Label != "" {
				ticks[i].Label = results.Format(ticks[i].Value, unit)
			}
		}
		return ticks
	})
}
