package main

import (
	"context"
	"errors"
	"os"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/examples/launch/internal/runs"
	"github.com/go-muster/muster/supervisor"
)

// reach is what other launches of this user reach the group by: launch ps, logs, stop, restart and dump.
type reach struct {
	server *runs.Server // nil when there is none
	board  *runs.Board
	shelf  *runs.Shelf

	begun   chan struct{} // closed when group and signals are known
	group   *supervisor.Group
	signals *signals
}

// errNotStarted is the answer of a launch whose group did not come about.
var errNotStarted = errors.New("the group was not started")

// openReach makes the run's directory before anything starts. Only one that somebody has chosen must work: no run fails for
// want of a directory that nobody has asked for.
func openReach(spec supervisor.Spec, args []string, logs *logs, complain func(format string, args ...any)) (*reach, error) {
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
	r := &reach{board: runs.NewBoard(info, len(spec.Ranks), roleNames(spec)...), shelf: runs.NewShelf(path), begun: make(chan struct{})}
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

// begin says which group it is, nil for none.
func (r *reach) begin(g *supervisor.Group, s *signals) {
	r.group, r.signals = g, s
	close(r.begun)
}

func (r *reach) output(id process.ID, stream process.Stream, lines []byte) {
	r.shelf.Write(runs.Life{Rank: id.Rank, Generation: id.Generation, Stream: stream.String()}, lines)
}

// stop ends the group as SIGTERM does.
func (r *reach) stop(by string, kill bool) {
	if <-r.begun; r.group != nil {
		r.signals.request(r.group, by, kill)
	}
}

func (r *reach) restart(by string, ranks []int) error {
	if <-r.begun; r.group == nil {
		return errNotStarted
	}
	return r.group.Restart(by, ranks...)
}

func (r *reach) dump(ctx context.Context, rank int) (string, error) {
	if <-r.begun; r.group == nil {
		return "", errNotStarted
	}
	return r.group.Dump(ctx, rank)
}
