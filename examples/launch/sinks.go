package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

var now = time.Now

// sinks are the places to which a run's output, events and report go.
type sinks struct {
	stderr  io.Writer
	status  *status  // nil for none
	cockpit *cockpit // nil without --tui
	show    *console
	logs    *logs // nil without files
	routing routing
	journal *journal // nil without --journal
	report  string
	alone   func(process.ID) string // the command line of one life
	paint   func(style, string) string
	reach   *reach
}

// openSinks opens what can be opened before anything starts: a directory that cannot be written is better known now.
func openSinks(f *flags, spec supervisor.Spec, stdout, stderr io.Writer) (*sinks, error) {
	s := &sinks{report: f.report, paint: painter(stderr)}
	var err error
	if s.cockpit, err = newCockpit(f, len(spec.Ranks), roleNames(spec), stderr); err != nil {
		return nil, err
	}
	if s.status, err = newStatus(f, len(spec.Ranks), stderr); err != nil {
		return nil, err
	}
	if s.routing, err = f.torchrun.routes(len(spec.Ranks)); err != nil {
		return nil, err
	}
	if s.show, err = newConsole(f, len(spec.Ranks), s.place(stdout), s.place(stderr)); err != nil {
		return nil, err
	}
	s.show.roles = spec.Roles()
	s.stderr = s.status.through(stderr)
	if s.cockpit != nil {
		s.stderr = s.cockpit.instead(stderr, s.cockpit.says())
	}
	s.show.own = s.stderr
	if f.report != "" {
		if err := checkReport(f.report); err != nil {
			return nil, err
		}
	}
	if f.logDir != "" || f.torchrun.toFiles() {
		if s.logs, err = s.openLogs(f, spec.RunID); err != nil {
			return nil, err
		}
	}
	if f.journal != "" {
		const flags = os.O_CREATE | os.O_WRONLY | os.O_TRUNC | os.O_APPEND
		file, err := os.OpenFile(f.journal, flags, 0o666)
		if err != nil {
			return nil, usage("--journal %s: cannot be written: %w", f.journal, reason(err))
		}
		s.journal = &journal{File: file}
	}
	return s, nil
}

// place is where output goes that would go to w.
func (s *sinks) place(w io.Writer) io.Writer {
	if s.cockpit != nil {
		return s.cockpit.instead(w, io.Discard)
	}
	return s.status.through(w)
}

// urgent is for what must not wait until output is read.
func (s *sinks) urgent(stderr io.Writer) io.Writer {
	if s.cockpit != nil {
		return s.stderr
	}
	return s.status.urgent(stderr)
}

// begin shows how the group stands.
func (s *sinks) begin(g *supervisor.Group, interrupt func()) {
	s.status.begin()
	s.cockpit.begin(g, interrupt)
}

// leave gives a terminal back before launch leaves at once.
func (s *sinks) leave() {
	s.status.leave()
	s.cockpit.leave()
	s.reach.server.Leave()
}

// stopSelf stops this process with the status line out of the way.
func (s *sinks) stopSelf() {
	if s.status == nil || s.status.screen == nil {
		stopSelf()
		return
	}
	s.status.screen.aside(stopSelf)
}

// reason is what is left of an error without the name of the call and of the file.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func (s *sinks) options() []supervisor.Option {
	all := []supervisor.Option{supervisor.WithOutput(s.output), supervisor.WithObserver(s.reach.board.Observe), supervisor.WithObserver(s.observe)}
	if s.journal != nil {
		all = append(all, supervisor.WithJournal(s.journal))
	}
	return all
}

func (s *sinks) output(id process.ID, stream process.Stream, lines []byte) {
	if s.logs != nil {
		s.logs.write(id, stream, lines)
	}
	s.cockpit.output(id, stream, lines)
	s.reach.output(id, stream, lines)
	if s.routing.shown[id.Rank].has(stream) {
		s.show.write(id, stream, lines)
	}
}

func (s *sinks) observe(e supervisor.Event) {
	if s.logs != nil {
		s.logs.observe(e)
	}
	s.status.observe(e)
	s.cockpit.observe(e)
	switch e.Kind {
	case supervisor.EventDecided:
		if e.Action != supervisor.Terminate {
			s.show.say("rank %d failed (%sgeneration %d): %s; %s", e.Rank, s.show.inRole(e.Rank), e.Generation, headline(e.Failure), e.Reason)
		}
	case supervisor.EventResized:
		s.show.places.resize(e.Size)
		if e.Fit {
			s.show.say("goes on with %s", count(e.Size, "rank"))
		}
	case supervisor.EventWaiting:
		if strings.HasPrefix(e.Reason, "waits for hosts") {
			s.show.say("%s; for %v at the most", e.Reason, e.After)
		}
	case supervisor.EventAdded:
		s.show.places.resize(max(s.show.places.worldSize(), e.Rank+1))
	case supervisor.EventNotice:
		s.show.say("%s", e.Reason)
	case supervisor.EventHung:
		s.show.say("rank %d (pid %d) seems to be hung: %s; asking for stacks", e.Rank, e.PID, e.Reason)
	case supervisor.EventStraggler:
		s.show.say("rank %d (pid %d) lags behind: %s", e.Rank, e.PID, e.Reason)
	case supervisor.EventKill:
		s.show.say("rank %d (pid %d) %s: killed", e.Rank, e.PID, e.Reason)
	case supervisor.EventExited:
		if !e.Exit.Stopped && len(e.Exit.Left) > 0 {
			s.show.say("rank %d has left behind %s: ended, or cut off from its output", e.Rank, people(e.Exit.Left))
		}
	}
}

// people names processes, the first few of them.
func people(left []process.Leftover) string {
	const some = 3
	var names []string
	for _, p := range left[:min(len(left), some)] {
		names = append(names, fmt.Sprintf("%s (pid %d)", p.Name, p.PID))
	}
	if more := len(left) - some; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// finish tells how the run ended.
func (s *sinks) finish(r supervisor.Report, err error) {
	s.status.end()
	if werr := s.cockpit.end(); werr != nil {
		fmt.Fprintf(s.stderr, "launch: --tui: %v\n", werr)
	}
	if err != nil {
		a := account{report: r, err: err, alone: s.alone, paint: s.paint}
		if s.logs != nil {
			a.logs = s.logs.dir
		}
		a.print(s.stderr)
	}
	if s.report == "" {
		return
	}
	r.Problems = s.problems()
	if werr := writeReport(s.report, r); werr != nil {
		r.Problems = append(r.Problems, fmt.Sprintf("--report: %v", werr))
		fmt.Fprintf(s.stderr, "launch: --report: %v%s\n", werr, s.elsewhere(r))
	}
}

// problems are what could not be written down.
func (s *sinks) problems() []string {
	all := s.show.problems()
	if s.logs != nil {
		s.logs.mu.Lock()
		defer s.logs.mu.Unlock()
		if s.logs.failed != nil {
			all = append(all, fmt.Sprintf("--log-dir: %v", s.logs.failed))
		}
	}
	if s.journal != nil && s.journal.failed != nil {
		all = append(all, fmt.Sprintf("--journal: %v", s.journal.failed))
	}
	return all
}

// A journal is the file of --journal.
type journal struct {
	*os.File
	failed error // written by the supervisor, read after its end
}

// Write writes a line, and keeps the first error, which is the journal's last.
func (j *journal) Write(line []byte) (int, error) {
	n, err := j.File.Write(line)
	if j.failed == nil {
		j.failed = err
	}
	return n, err
}

func (s *sinks) close() {
	s.status.end()
	_ = s.cockpit.end()
	if s.logs != nil {
		s.logs.close()
	}
	if s.journal != nil {
		s.journal.Close()
	}
}
