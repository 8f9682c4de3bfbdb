package bench_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport/worker"
)

var _ = worker.Func("weigh", func(_ context.Context, _ worker.Info, b []byte) (int, error) { return len(b), nil })

// BenchmarkArguments is the start of a group of functions with arguments of a size each, from the call of Start: to-up is when
// the last rank's worker has come up, beside which arguments travel; to-running is when the last has read its argument
// (S14, E14).
func BenchmarkArguments(b *testing.B) {
	for _, size := range []int{0, 64<<20 - 128} {
		for _, n := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("size=%dMB/ranks=%d", (size+128)>>20, n), func(b *testing.B) { startWith(b, n, make([]byte, size)) })
		}
	}
}

func startWith(b *testing.B, n int, value []byte) {
	c := process.Reexec("weigh")
	c.Argument = encoded(b, value)
	var up, running time.Duration
	for b.Loop() {
		start, left := time.Now(), n
		err := supervisor.Run(b.Context(), supervisor.Spec{Ranks: supervisor.Repeat(n, c)}, quiet,
			supervisor.WithObserver(func(e supervisor.Event) {
				switch e.Kind {
				case supervisor.EventHello:
					if left--; left == 0 {
						up += time.Since(start)
					}
				case supervisor.EventRunning:
					running += time.Since(start)
				}
			}))
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(up.Nanoseconds())/float64(b.N), "ns-to-up/op")
	b.ReportMetric(float64(running.Nanoseconds())/float64(b.N), "ns-to-running/op")
}
