package supervisor

import (
	"container/heap"
	"time"
)

// An item is something that will happen.
type item struct {
	at time.Time
	n  uint64 // decides between the same times, or keeps them in order
	do func()
}

type queue []item

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q queue) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	return q[i].n < q[j].n
}
func (q *queue) Push(x any) { *q = append(*q, x.(item)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func (q *queue) add(i item) { heap.Push(q, i) }
func (q *queue) next() item { return heap.Pop(q).(item) }
