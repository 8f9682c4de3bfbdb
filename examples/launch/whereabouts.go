package main

import (
	"cmp"
	"os"
	"sync"

	"github.com/go-muster/muster/actors/process"
)

// The whereabouts are what a prefix says of a group besides the rank: how large it is now, and on which host each rank runs. They
// are known before the rank's first line.
type whereabouts struct {
	mu    sync.RWMutex
	here  string
	size  int
	hosts map[int]string // by rank, of those that run elsewhere
}

func newWhereabouts(size int) *whereabouts {
	here, _ := os.Hostname()
	return &whereabouts{here: here, size: size, hosts: map[int]string{}}
}

// settle notes where a rank is about to run.
func (w *whereabouts) settle(id process.ID, c process.Command) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[id.Rank] = c.Host
}

func (w *whereabouts) resize(size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.size = size
}

func (w *whereabouts) host(rank int) string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return cmp.Or(w.hosts[rank], w.here)
}

func (w *whereabouts) worldSize() int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.size
}
