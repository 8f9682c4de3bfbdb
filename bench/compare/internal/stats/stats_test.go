package stats

import (
	"math"
	"slices"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		values            []float64
		low, median, high float64
	}{
		{[]float64{7}, 7, 7, 7},
		{[]float64{4, 1, 3, 2}, 1.75, 2.5, 3.25}, // numpy.percentile([1, 2, 3, 4], [25, 50, 75])
		{[]float64{1, 2, 3, 4, 1000}, 2, 3, 4},   // one that is far out moves nothing
	} {
		if s := Summarize(c.values); s.Low != c.low || s.Median != c.median || s.High != c.high || s.N != len(c.values) {
			t.Errorf("%v: %+v", c.values, s)
		}
	}
	if s := Summarize(nil); !math.IsNaN(s.Median) || s.N != 0 {
		t.Errorf("of nothing: %+v", s)
	}
}

func TestQuiet(t *testing.T) {
	for _, c := range []struct {
		name   string
		probes []float64
		keep   []bool
		noisy  bool
	}{
		{"no rounds", nil, nil, false},
		{"all alike", []float64{10, 11, 12}, []bool{true, true, true}, false},
		{"one is disturbed", []float64{10, 30, 12, 12.5}, []bool{true, false, true, true}, false},
		{"a noisy machine keeps its better half", []float64{40, 10, 50, 30}, []bool{false, true, false, true}, true},
		{"one round", []float64{10}, []bool{true}, false},
	} {
		keep, noisy := Quiet(c.probes)
		if !slices.Equal(keep, c.keep) || noisy != c.noisy {
			t.Errorf("%s: %v, noisy %v", c.name, keep, noisy)
		}
	}
}

func TestLogLog(t *testing.T) {
	n := []float64{1, 8, 64, 1000}
	values := make([]float64, len(n))
	for i, x := range n {
		values[i] = 3 * math.Pow(x, 1.5)
	}
	fit, ok := LogLog(n, values)
	if !ok || math.Abs(fit.Exponent-1.5) > 1e-9 || math.Abs(fit.Constant-3) > 1e-9 || fit.Error > 1e-6 || fit.Points != 4 {
		t.Errorf("3·n^1.5: %+v, %v", fit, ok)
	}
	if fit, ok := LogLog([]float64{1, 100}, []float64{5, 5}); !ok || math.Abs(fit.Exponent) > 1e-9 || !math.IsNaN(fit.Error) {
		t.Errorf("flat, of two points: %+v, %v", fit, ok)
	}
	values[2] *= 1.2
	if fit, ok := LogLog(n, values); !ok || fit.Error < 0.001 {
		t.Errorf("a point beside the line: %+v, %v", fit, ok)
	}
	for name, c := range map[string][2][]float64{
		"one n":         {{8, 8}, {1, 2}},
		"nothing":       {nil, nil},
		"no logarithm":  {{1, 8}, {0, 1}},
		"below nothing": {{1, 8}, {-1, 1}},
	} {
		if fit, ok := LogLog(c[0], c[1]); ok {
			t.Errorf("%s: %+v", name, fit)
		}
	}
}
