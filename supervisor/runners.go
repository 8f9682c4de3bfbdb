package supervisor

// mostRunners bounds the goroutines of a group that wait for an actor to run.
const mostRunners = 8

// runners are the goroutines in which the actors of a group run. An actor has one while it has messages: the engine would start
// another one each time, whose stack grows anew.
type runners struct {
	next    chan func()
	waiting chan struct{}   // one for each that waits for the next
	done    <-chan struct{} // when they are to end
}

func newRunners(done <-chan struct{}) *runners {
	return &runners{next: make(chan func()), waiting: make(chan struct{}, mostRunners), done: done}
}

// Schedule runs an actor until it has no message.
func (r *runners) Schedule(run func()) {
	select {
	case r.next <- run:
	default:
		go r.run(run)
	}
}

// Throughput is the engine's: the number of messages after which an actor lets others run.
func (r *runners) Throughput() int { return 300 }

func (r *runners) run(next func()) {
	for {
		next()
		select {
		case r.waiting <- struct{}{}:
		default:
			return
		}
		select {
		case next = <-r.next:
			<-r.waiting
		case <-r.done:
			return
		}
	}
}
