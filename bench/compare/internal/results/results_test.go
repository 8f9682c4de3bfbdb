package results

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// sample has two contenders at two sizes. At n = 8 one round was disturbed, and one trial failed.
func sample() Results {
	row := Row{Name: "launch", Title: "Launch", Unit: "s", Reference: "ours"}
	add := func(n int, probe, ours, theirs float64, err string) {
		row.Rounds = append(row.Rounds, Round{n, probe, []Trial{{"ours", ours, ""}, {"theirs", theirs, err}}})
	}
	add(1, 1, 0.001, 0.002, "")
	add(1, 1, 0.001, 0.004, "")
	add(8, 1, 0.008, 0.016, "")
	add(8, 9, 1, 1, "") // disturbed
	add(8, 1, 0.010, 0, "no end within 20s\nand more")
	add(8, 1, 0.012, 0.024, "")
	return Results{Machine: Machine{Processor: "a processor", Cores: 2}, Peers: []Peer{{Name: "theirs", Version: "1"}}, Rows: []Row{row}}
}

func TestCell(t *testing.T) {
	row, ok := sample().Row("launch")
	if !ok {
		t.Fatal("there is no such row")
	}
	ours, _ := row.Cell("ours", 8)
	if ours.Value.Median != 0.010 || ours.Value.N != 3 {
		t.Errorf("the disturbed round counts: %+v", ours)
	}
	theirs, _ := row.Cell("theirs", 8)
	if theirs.Ratio.Median != 2 || theirs.Ratio.N != 2 || theirs.Failed != 1 {
		t.Errorf("ratios are not those of each round: %+v", theirs)
	}
	if _, tried := row.Cell("nobody", 8); tried {
		t.Error("nobody was tried")
	}
	if kept, all, noisy := row.Kept(8); kept != 3 || all != 4 || noisy {
		t.Errorf("kept %d of %d, noisy %v", kept, all, noisy)
	}
	if fit, ok := row.Growth("ours"); !ok || fit.Exponent < 1 || fit.Exponent > 1.2 {
		t.Errorf("grows as %+v", fit)
	}
}

func TestMarkdown(t *testing.T) {
	text := sample().Rows[0].Markdown()
	for _, want := range []string{
		"| Launch | n = 1 | n = 8 |",
		"| ours | 1.00 ms (1.00 ms–1.00 ms) | 10.0 ms (9.00 ms–11.0 ms) |",
		"| theirs | 3.00 ms · **3.00×** (2.50–3.50) | 20.0 ms · **2.00×** (2.00–2.00) (1 of 3 failed) |",
		"2 of 2 (n = 1), 3 of 4 (n = 8)",
		"theirs, n = 8: no end within 20s.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestAims(t *testing.T) {
	text := sample().AimsMarkdown([]Aim{
		{Text: "half", Row: "launch", Ours: "ours", Than: "theirs", Sizes: []int{1, 8}, AtMost: 0.5},
		{Text: "nothing", Row: "launch", Ours: "ours", Sizes: []int{8}, AtMost: 0.001},
		{Text: "each", Row: "launch", Ours: "ours", PerRank: true, Sizes: []int{8}, AtMost: 0.002},
		{Text: "never asked", Row: "launch", Ours: "ours", Than: "theirs", Sizes: []int{64}, AtMost: 1},
	})
	for _, want := range []string{"| half | 8 | 0.50× (0.50–0.50) | met |", "| nothing | 8 | 10.0 ms | **not met** |", "| each | 8 | 1.29 ms | met |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "never asked") {
		t.Errorf("an aim that was not measured was judged:\n%s", text)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  string
		want  string
	}{
		{1.5, "s", "1.50 s"}, {0.0123, "s", "12.3 ms"}, {4.2e-6, "s", "4.20 µs"}, {1e-9, "s", "1.00 ns"}, {0, "s", "0 s"},
		{512, "B", "512 B"}, {65536, "B", "64.0 KiB"}, {3 << 30, "B/s", "3.00 GiB/s"}, {1234567, "1/s", "1.23 M/s"}, {12, "1/s", "12.0 /s"},
	} {
		if got := Format(c.value, c.unit); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestSplice(t *testing.T) {
	document := "a\n<!-- compare:x -->\nold\n<!-- /compare:x -->\nb\n"
	got, ok := Splice(document, "x", "new\n\n")
	if want := strings.Replace(document, "old", "new", 1); !ok || got != want {
		t.Errorf("%v %q", ok, got)
	}
	for _, name := range []string{"y", ""} {
		if got, ok := Splice(document, name, "new"); ok || got != document {
			t.Errorf("%q: %v %q", name, ok, got)
		}
	}
}

func TestReadWrite(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Write(&b); err != nil {
		t.Fatal(err)
	}
	back, err := Read(&b)
	if err != nil || !reflect.DeepEqual(back, sample()) {
		t.Errorf("%v: %+v", err, back)
	}
	if _, err := Read(strings.NewReader(`{"mashine": {}}`)); err == nil {
		t.Error("a misspelt key was taken")
	}
}

func TestOver(t *testing.T) {
	names := func(r Results) (names []string) {
		for _, row := range r.Rows {
			names = append(names, row.Name+row.Title)
		}
		return names
	}
	old := Results{Rows: []Row{{Name: "a", Title: "1"}, {Name: "b", Title: "1"}, {Name: "c", Title: "1"}}}
	both, err := Results{Rows: []Row{{Name: "b", Title: "2"}}}.Over(old)
	if got := names(both); err != nil || !slices.Equal(got, []string{"a1", "b2", "c1"}) {
		t.Errorf("%v, %v", got, err)
	}
	old.Machine.Cores = 4
	if _, err := (Results{Rows: []Row{{Name: "b"}}}).Over(old); err == nil {
		t.Error("rows of two machines side by side")
	}
	all := Results{Rows: []Row{{Name: "c"}, {Name: "b"}, {Name: "a"}}}
	if got, err := all.Over(old); err != nil || !slices.Equal(names(got), []string{"c", "b", "a"}) {
		t.Errorf("all rows are new: %v, %v", names(got), err)
	}
}
