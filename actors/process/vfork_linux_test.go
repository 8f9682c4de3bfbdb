package process_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
)

// T15: the size of the supervisor's heap is no matter to a start. A fork that copies page tables leaves the parent's pages
// write-protected, and the next write to each is a fault; one that lends them (CLONE_VM, CLONE_VFORK) leaves no trace. For
// the times see BenchmarkSpawnBesideHeap.
func TestNoPageTableIsCopied(t *testing.T) {
	processtest.Check(t)
	const size = 256 << 20
	ballast, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(ballast)
	if err := unix.Madvise(ballast, unix.MADV_NOHUGEPAGE); err != nil && err != unix.EINVAL { // EINVAL: there are none
		t.Fatal(err)
	}
	pages := int64(size / unix.Getpagesize())
	if n := writeAll(t, ballast); n < pages {
		t.Fatalf("%d faults for %d new pages: this test sees nothing", n, pages)
	}
	for range 3 {
		run(t, shell("exit 0"))
	}
	if n := writeAll(t, ballast); n > pages/10 {
		t.Errorf("%d faults for %d pages that were there: they were copied", n, pages)
	}
}

// writeAll writes to every page and returns how many faults that took, and whatever else goes on here.
func writeAll(t *testing.T, b []byte) int64 {
	t.Helper()
	before := minorFaults(t)
	for i := 0; i < len(b); i += unix.Getpagesize() {
		b[i]++
	}
	return minorFaults(t) - before
}

func minorFaults(t *testing.T) int64 {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Minflt
}
