package conformance_test

import (
	"context"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport/worker"
)

// A yield is a result of many small parts and of one large one.
type yield struct {
	Squares map[int]int
	Blob    []byte
}

var harvest = worker.Func("harvest", func(_ context.Context, me worker.Info, entries int) (yield, error) {
	y := yield{map[int]int{}, make([]byte, 4*entries)}
	for i := range entries {
		y.Squares[i] = i * i
	}
	for i := range y.Blob {
		y.Blob[i] = byte(i * (me.Rank + 1))
	}
	return y, nil
})

// E12, E14: four ranks return megabytes at once, and everything arrives as it was.
func TestE14LargeResults(t *testing.T) {
	processtest.Check(t)
	const entries = 200_000
	yields, err := supervisor.Map(context.Background(), supervisor.Spec{}, harvest, []int{entries, entries, entries, entries})
	if err != nil {
		t.Fatal(err)
	}
	for rank, y := range yields {
		if len(y.Squares) != entries || len(y.Blob) != 4*entries {
			t.Fatalf("rank %d: %d squares, %d bytes", rank, len(y.Squares), len(y.Blob))
		}
		for i, square := range y.Squares {
			if square != i*i {
				t.Fatalf("rank %d: the square of %d is %d", rank, i, square)
			}
		}
		for i, b := range y.Blob {
			if b != byte(i*(rank+1)) {
				t.Fatalf("rank %d: byte %d is %d", rank, i, b)
			}
		}
	}
}
