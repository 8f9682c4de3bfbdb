package supervisor

import "testing"

// TestAnswerBeforeTheEnd: an answer that the root actor gave counts, though the group has ended since.
func TestAnswerBeforeTheEnd(t *testing.T) {
	g := &Group{done: make(chan struct{})}
	close(g.done)
	for range 100 { // select throws dice
		answer := make(chan int, 1)
		answer <- 7
		if a, ok := ask(g, nil, answer); a != 7 || !ok {
			t.Fatalf("%v, %v", a, ok)
		}
	}
	if _, ok := ask(g, nil, make(chan int)); ok {
		t.Error("an answer that nobody gave")
	}
}
