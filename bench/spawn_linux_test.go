package bench_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// An end is an observer that waits for the exit.
type end chan process.Exit

func (end) Message(transport.Message)     {}
func (end) Broken(error)                  {}
func (end) Probed(error)                  {}
func (end) Output(process.Stream, []byte) {}
func (e end) Exited(x process.Exit)       { e <- x }

// BenchmarkSpawnBesideHeap starts programs that end at once from a supervisor with 1 GiB in use and without, in turns. The ratio
// is what a large heap costs (T15: at most 1.2).
func BenchmarkSpawnBesideHeap(b *testing.B) {
	const round = 50
	launcher := process.Local()
	defer launcher.Guard(nil)()
	spawn := func() time.Duration {
		start := time.Now()
		for range round {
			exited := make(end, 1)
			if _, err := launcher.Launch(process.ID{}, process.Command{Args: []string{"/bin/true"}}, exited); err != nil {
				b.Fatal(err)
			}
			<-exited
		}
		return time.Since(start)
	}
	spawn()
	var small, large time.Duration
	for b.Loop() {
		small += spawn()
		ballast := fill(b, 1<<30)
		large += spawn()
		if err := unix.Munmap(ballast); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(small.Nanoseconds())/float64(b.N*round), "ns-small/spawn")
	b.ReportMetric(float64(large.Nanoseconds())/float64(b.N*round), "ns-1GiB/spawn")
	b.ReportMetric(large.Seconds()/small.Seconds(), "ratio")
}

// fill returns memory that is in use, in small pages: the worst for a fork that copies page tables.
func fill(b *testing.B, size int) []byte {
	b.Helper()
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		b.Fatal(err)
	}
	_ = unix.Madvise(m, unix.MADV_NOHUGEPAGE)
	for i := 0; i < size; i += unix.Getpagesize() {
		m[i] = 1
	}
	return m
}
