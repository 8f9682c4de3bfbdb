package supervisor

import "sync"

// A backlog is what waits for a goroutine that does it, in order, and that there is only while there is something to do. Work may
// take its time: it holds up nobody who puts more there.
type backlog[T any] struct {
	work func([]T)

	mu      sync.Mutex
	queue   []T
	busy    bool // a goroutine is at it
	stopped bool
}

// put never waits.
func (b *backlog[T]) put(t T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, t)
	if !b.busy {
		b.busy = true
		go b.run() // ends when all is done, or with the work in which stop finds it
	}
}

// stop drops what was not begun yet.
func (b *backlog[T]) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue, b.stopped = nil, true
}

func (b *backlog[T]) isStopped() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stopped
}

func (b *backlog[T]) run() {
	for batch := b.next(); len(batch) > 0; batch = b.next() {
		b.work(batch)
	}
}

// next returns what has come so far, nothing when there is nothing.
func (b *backlog[T]) next() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.queue
	b.queue, b.busy = nil, len(batch) > 0 && !b.stopped
	if !b.busy {
		return nil
	}
	return batch
}
