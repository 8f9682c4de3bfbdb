package actors

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/transport"
)

var (
	// ErrResultSize is the condition of a result that is larger than Config.MaxResult.
	ErrResultSize = errors.New("actors: the result is too large")
	// ErrResultLost is what a ResultWriter is closed with when its process ended before it had said that the result is whole.
	ErrResultLost = errors.New("actors: the process ended before its result was whole")
)

// A ResultWriter takes the result of one life of one rank, as it comes. CloseWithError(nil) says that it was all; any
// other error, that there will be no more and what came is worth nothing. *io.PipeWriter is one. As with any io.Writer, the bytes
// are lent for the call to Write.
type ResultWriter interface {
	io.Writer
	CloseWithError(error) error
}

// A result is what came of a rank's result so far: in memory or, with a writer, on its way there. The writer works on a
// goroutine of its own, which the actor feeds and never waits for; the worker's credit bounds what waits.
type result struct {
	size   int
	pieces []*transport.Part // that are kept, or not yet written
	cost   int               // of those that are not yet written
	ended  bool              // by Result, or by the end of the process
	lost   error             // why it is worth nothing
	busy   *writing          // of the writer's goroutine, while it is at work
	writer ResultWriter
	closed bool
	exit   *exit // waits for the writer
	killed bool  // whatever it waits for it does not wait for long
	timer  *time.Timer
}

// writerTime is how long a writer may still take once its rank was killed: a writer that blocks is no process that does not die.
const writerTime = time.Second

// late is the end of writerTime; vigil, that a rank whose process is gone waits for its writer.
type (
	late  struct{}
	vigil struct{}
)

// wrote is what the writer's goroutine says when it is done with what it was given.
type wrote struct {
	writer ResultWriter
	cost   int
	err    error
	closed bool
}

// part takes a piece. What is kept in memory is given back at once as credit: MaxResult bounds it. What comes after the Result
// belongs to none.
func (r *rank) part(ctx actor.Context, p *transport.Part) {
	if !r.result.ended {
		r.take(ctx, p)
	}
	if r.Result == nil || r.result.lost != nil || r.result.ended {
		r.process.Post(&transport.Credit{Bytes: p.Cost()})
		return
	}
	r.result.cost += p.Cost()
	r.write(ctx)
}

func (r *rank) take(ctx actor.Context, piece *transport.Part) {
	s := &r.result
	if s.lost != nil {
		return
	}
	if s.size += len(piece.Value); r.Result == nil && r.MaxResult > 0 && s.size > r.MaxResult {
		s.pieces, s.lost = nil, fmt.Errorf("%w: more than %d bytes: raise MaxResult, or leave it in a file", ErrResultSize, r.MaxResult)
		r.tell(ctx, &r.told.broken, &Broken{r.ID, s.lost, time.Now()})
		return
	}
	s.pieces = append(s.pieces, piece)
}

// returned is the worker's word that the result is whole.
func (r *rank) returned(ctx actor.Context, value []byte) {
	s := &r.result
	if s.ended {
		return
	}
	if value != nil {
		r.take(ctx, &transport.Part{Value: value})
	}
	s.ended = true
	if s.lost != nil {
		return // Broken was told
	}
	if r.Result != nil && (r.writing() || len(s.pieces) > 0) {
		r.write(ctx)
		return
	}
	whole := value
	if len(s.pieces) > 1 || value == nil && s.size > 0 {
		whole = join(s.pieces, s.size)
	}
	s.pieces = nil
	r.tell(ctx, &r.told.returned, &Returned{r.ID, whole})
}

// join returns a whole result, and releases its pieces.
func join(pieces []*transport.Part, size int) []byte {
	whole := make([]byte, 0, size)
	for _, p := range pieces {
		whole = append(whole, p.Value...)
		transport.Release(p)
	}
	return whole
}

// write gives the writer what there is, unless it is at work: wrote tells when it is not any more.
func (r *rank) write(ctx actor.Context) {
	s := &r.result
	if s.busy != nil || s.closed || len(s.pieces) == 0 && !s.ended {
		return
	}
	job := &writing{
		open: r.openResult, writer: s.writer, pieces: s.pieces, last: s.ended, lost: s.lost,
		done: wrote{cost: s.cost}, ready: make(chan struct{}),
	}
	s.busy, s.pieces, s.cost = job, nil, 0
	root, self := ctx.ActorSystem().Root, ctx.Self()
	go func() { // ends when the writer has taken it: one that blocks holds the rank's end back until that is killed
		job.run()
		close(job.ready)
		root.Send(self, &job.done)
	}()
}

func (r *rank) openResult() (ResultWriter, error) { return r.Result(r.ID) }

// A writing is what the writer's goroutine is to do, and what became of it once ready is closed.
type writing struct {
	open   func() (ResultWriter, error)
	writer ResultWriter // nil before the first
	pieces []*transport.Part
	last   bool
	lost   error

	done  wrote
	ready chan struct{}
}

var errNoWriter = errors.New("it was given no writer and no error")

func (w *writing) run() {
	defer func() {
		if p := recover(); p != nil {
			w.done.closed, w.done.err = true, fmt.Errorf("its writer panicked: %v\n%s", p, debug.Stack())
		}
	}()
	if w.writer == nil {
		if w.writer, w.done.err = w.open(); w.done.err == nil && w.writer == nil {
			w.done.err = errNoWriter
		}
		if w.done.err != nil {
			w.done.closed = true
			return
		}
	}
	w.done.writer = w.writer
	for _, piece := range w.pieces {
		if _, w.done.err = w.writer.Write(piece.Value); w.done.err != nil {
			_ = w.writer.CloseWithError(w.done.err)
			w.done.closed = true
			return
		}
		transport.Release(piece)
	}
	if w.last {
		w.done.err = w.writer.CloseWithError(w.lost)
		w.done.closed = true
	}
}

// wrote goes on after the writer, and gives the worker its credit back.
func (r *rank) wrote(ctx actor.Context, w *wrote) {
	s := &r.result
	s.busy, s.writer, s.closed = nil, w.writer, w.closed
	if w.cost > 0 {
		r.process.Post(&transport.Credit{Bytes: w.cost})
	}
	if w.err != nil {
		s.lost = fmt.Errorf("actors: the result could not be written: %w", w.err)
		r.tell(ctx, &r.told.broken, &Broken{r.ID, s.lost, time.Now()})
		if s.cost > 0 {
			r.process.Post(&transport.Credit{Bytes: s.cost})
		}
		s.pieces, s.cost = nil, 0
	}
	switch {
	case !s.closed:
		r.write(ctx)
	case s.lost == nil:
		r.tell(ctx, &r.told.returned, &Returned{r.ID, nil})
	}
	if s.exit != nil && !r.writing() {
		r.end(ctx, s.exit.Exit)
	}
}

// writing reports whether the writer still has something to do.
func (r *rank) writing() bool {
	s := &r.result
	return s.busy != nil || s.writer != nil && !s.closed
}

// conclude ends the actor, once the writer is done with what the process said.
func (r *rank) conclude(ctx actor.Context, e *exit) {
	s := &r.result
	if !s.ended {
		s.ended, s.lost = true, ErrResultLost
	}
	if s.writer != nil {
		r.write(ctx)
	}
	if !r.writing() {
		r.end(ctx, e.Exit)
		return
	}
	s.exit = e
	if s.killed {
		r.hurry(ctx)
	} else {
		r.watch(ctx)
	}
}

// kill ends the process or, when that is gone, the time of its writer.
func (r *rank) kill(ctx actor.Context) {
	r.result.killed = true
	if r.result.exit != nil {
		r.hurry(ctx)
		return
	}
	r.process.Kill()
}

// hurry waits for the writer no longer than writerTime.
func (r *rank) hurry(ctx actor.Context) { r.after(ctx, writerTime, late{}) }

// watch speaks in the place of a process that is gone, whose result is still being written: its rank does not hang.
func (r *rank) watch(ctx actor.Context) {
	if r.Command.Heartbeat > 0 && !r.result.killed {
		r.after(ctx, r.Command.Heartbeat, vigil{})
	}
}

func (r *rank) after(ctx actor.Context, d time.Duration, message any) {
	root, self := ctx.ActorSystem().Root, ctx.Self()
	r.result.stop()
	r.result.timer = time.AfterFunc(d, func() { root.Send(self, message) })
}

func (s *result) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// abandon closes the writer of an actor that ends before its process.
func (s *result) abandon() {
	s.stop()
	switch {
	case s.busy != nil:
		go func(w *writing) { // ends with the goroutine that writes
			<-w.ready
			w.done.abandon()
		}(s.busy)
	case s.writer != nil && !s.closed:
		_ = s.writer.CloseWithError(ErrResultLost)
	}
}

func (w *wrote) abandon() {
	if !w.closed {
		defer func() { _ = recover() }() // of the user's: nobody is left to tell
		_ = w.writer.CloseWithError(ErrResultLost)
	}
}
