package chart

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-muster/muster/bench/compare/internal/results"
)

func rowOf(sizes ...int) results.Row {
	row := results.Row{Name: "sample", Title: "A sample", Unit: "s", Reference: "ours"}
	for _, n := range sizes {
		for _, x := range []float64{1, 1.1, 1.3} {
			row.Rounds = append(row.Rounds, results.Round{N: n, Probe: 1, Trials: []results.Trial{
				{Contender: "ours", Value: x * float64(n) / 1000}, {Contender: "theirs", Value: x * float64(n) / 100},
				{Contender: "nobody", Error: "it hangs"}, {Contender: "nothing", Value: 0},
			}})
		}
	}
	return row
}

func TestSave(t *testing.T) {
	for name, row := range map[string]results.Row{"over n": rowOf(1, 8, 64), "of one n": rowOf(8)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if drawn, err := Save(row, dir); !drawn || err != nil {
				t.Fatal(drawn, err)
			}
			svg, err := os.ReadFile(filepath.Join(dir, "sample.svg"))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"ours", "theirs", "A sample"} {
				if !strings.Contains(string(svg), want) {
					t.Errorf("the drawing has no %q", want)
				}
			}
			if strings.Contains(string(svg), "nobody") {
				t.Error("a contender without a value is drawn")
			}
			b, err := os.ReadFile(filepath.Join(dir, "sample.png"))
			if err != nil {
				t.Fatal(err)
			}
			if config, err := png.DecodeConfig(bytes.NewReader(b)); err != nil || config.Width < 400 {
				t.Errorf("%+v, %v", config, err)
			}
		})
	}
}

func TestNothingToDraw(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []results.Row{{Name: "empty"}, {Name: "failed", Rounds: []results.Round{{N: 1, Trials: []results.Trial{{Contender: "x", Error: "y"}}}}}} {
		if drawn, err := Save(row, dir); drawn || err != nil {
			t.Errorf("%s: %v, %v", row.Name, drawn, err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("files were left: %v", files)
	}
}
