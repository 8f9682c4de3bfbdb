// Package stats is the arithmetic of a comparison: what is kept of a number of rounds, what their middle and their spread are,
// how a cost grows. It is pure.
package stats

import (
	"math"
	"slices"
)

// A Summary is the middle of some values and their spread.
type Summary struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`  // the first quartile
	High   float64 `json:"high"` // the third
	N      int     `json:"n"`    // how many values there were
}

// Summarize returns the median and the quartiles. Of no values all are NaN.
func Summarize(values []float64) Summary {
	sorted := slices.Sorted(slices.Values(values))
	return Summary{quantile(sorted, 0.5), quantile(sorted, 0.25), quantile(sorted, 0.75), len(sorted)}
}

// quantile interpolates between the values next to it (type 7 of Hyndman and Fan, as R and NumPy do).
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// NoiseLimit is how much slower than at the quietest moment the machine may have been for a round to count.
const NoiseLimit = 1.25

// Quiet is the rule by which rounds are discarded. Each probe is the time that a fixed piece of work, which has nothing to do
// with any contender, took on all processors beside a round. A round counts when its probe was within NoiseLimit of the
// fastest. Where that leaves fewer than half, the quietest half count, and noisy says so.
//
// A round is kept or discarded for all contenders together, and never for what it has measured.
func Quiet(probes []float64) (keep []bool, noisy bool) {
	sorted := slices.Sorted(slices.Values(probes))
	if len(sorted) == 0 {
		return nil, false
	}
	limit, half := sorted[0]*NoiseLimit, sorted[(len(sorted)-1)/2]
	if noisy = half > limit; noisy {
		limit = half
	}
	for _, p := range probes {
		keep = append(keep, p <= limit)
	}
	return keep, noisy
}

// A Fit is the power law value = Constant · n^Exponent that is nearest to some points.
type Fit struct {
	Exponent float64 `json:"exponent"`
	Error    float64 `json:"error"` // the exponent's standard error; NaN of two points
	Constant float64 `json:"constant"`
	Points   int     `json:"points"`
}

// LogLog fits a power law by least squares over the logarithms. It returns false for fewer than two different n, or for values
// that have no logarithm.
func LogLog(n, values []float64) (Fit, bool) {
	k := float64(len(n))
	var sx, sy, sxx, sxy float64
	for i := range n {
		x, y := math.Log(n[i]), math.Log(values[i])
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	spread := sxx - sx*sx/k
	if len(n) < 2 || !(spread > 1e-12) || math.IsInf(sy, 0) || math.IsNaN(sy) {
		return Fit{}, false
	}
	slope := (sxy - sx*sy/k) / spread
	intercept := (sy - slope*sx) / k
	var rest float64
	for i := range n {
		d := math.Log(values[i]) - intercept - slope*math.Log(n[i])
		rest += d * d
	}
	fit := Fit{Exponent: slope, Constant: math.Exp(intercept), Points: len(n), Error: math.NaN()}
	if len(n) > 2 {
		fit.Error = math.Sqrt(rest / (k - 2) / spread)
	}
	return fit, true
}
