package main

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/examples/launch/internal/runs"
	"github.com/go-muster/muster/supervisor"
)

// reach is what other launches of this user reach the group by: launch ps, logs, stop, restart and dump.
type reach struct {
	server *runs.Server // nil when there is none
	board  *runs.Board
	shelf  *runs.Shelf

	waits   atomic.Bool   // for hosts: there is no group for some time
	begun   chan struct{} // closed when the group is known
	group   *supervisor.Group
	signals *signals
}

// The answers of a launch whose group did not come about, or not yet.
var (
	errNotStarted = errors.New("the group was not started")
	errWaits      = errors.New("the group waits for its hosts, and has not begun")
)

// openReach makes the run's directory before anything starts. Only one that somebody has chosen must work: no run fails for
// want of a directory that nobody has asked for.
func openReach(spec supervisor.Spec, args []string, logs *logs, s *signals, complain func(format string, args ...any)) (*reach, error) {
	info := runs.Info{Run: spec.RunID, Name: spec.Name, PID: os.Getpid(), Start: now(), Command: args}
	var path func(runs.Life) string
	if logs != nil {
		info.LogDir = logs.dir
		path = func(l runs.Life) string {
			stream := process.Stdout
			if l.Stream == process.Stderr.String() {
				stream = process.Stderr
			}
			return logs.path(process.ID{Rank: l.Rank, Generation: l.Generation}, stream)
		}
	}
	r := &reach{board: runs.NewBoard(info, len(spec.Ranks), roleNames(spec)...), shelf: runs.NewShelf(path), begun: make(chan struct{}), signals: s}
	var err error
	r.server, err = runs.Serve(info, runs.Backend{Board: r.board, Shelf: r.shelf, Stop: r.stop, Restart: r.restart, Dump: r.dump})
	switch _, chosen := runs.Root(); {
	case err == nil:
	case chosen:
		return nil, usage("LAUNCH_RUN_DIR: %w", reason(err))
	case !errors.Is(err, runs.ErrUnsupported):
		complain("launch ps and its like will not find this run: %v", err)
	}
	return r, nil
}

// gather says that there will be no group before its hosts have come.
func (r *reach) gather() {
	r.waits.Store(true)
	r.board.Await()
}

// begin says which group it is, nil for none.
func (r *reach) begin(g *supervisor.Group) {
	r.group = g
	close(r.begun)
	r.waits.Store(false)
}

// started waits for the group, but for no hosts.
func (r *reach) started() error {
	if r.waits.Load() {
		return errWaits
	}
	if <-r.begun; r.group == nil {
		return errNotStarted
	}
	return nil
}

func (r *reach) output(id process.ID, stream process.Stream, lines []byte) {
	r.shelf.Write(runs.Life{Rank: id.Rank, Generation: id.Generation, Stream: stream.String()}, lines)
}

// stop ends the group as SIGTERM does, or the wait for its hosts.
func (r *reach) stop(by string, kill bool) {
	switch r.started() {
	case nil:
		r.signals.request(r.group, by, kill)
	case errWaits:
		r.signals.terminate()
	}
}

func (r *reach) restart(by string, ranks []int) error {
	if err := r.started(); err != nil {
		return err
	}
	return r.group.Restart(by, ranks...)
}

func (r *reach) dump(ctx context.Context, rank int) (string, error) {
	if err := r.started(); err != nil {
		return "", err
	}
	return r.group.Dump(ctx, rank)
}
