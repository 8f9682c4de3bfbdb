package supervisor

import (
	"sync"
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

// Actors that are many run at once all the same; the goroutines that wait for the next ones are few, and end with the group.
func TestRunners(t *testing.T) {
	processtest.Check(t)
	done := make(chan struct{})
	r := newRunners(done)
	for range 3 {
		var running, ended sync.WaitGroup
		gate := make(chan struct{})
		for range 10 * mostRunners {
			running.Add(1)
			ended.Add(1)
			r.Schedule(func() {
				defer ended.Done()
				running.Done()
				<-gate
			})
		}
		running.Wait() // would wait for ever if one waited for another
		close(gate)
		ended.Wait()
	}
	close(done)
}
