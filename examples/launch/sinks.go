package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

func checkReport(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usage("--report %s: it is a directory: name a file", path)
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return usage("--report %s: cannot write to its directory: %w", path, reason(err))
	}
	probe.Close()
	return os.Remove(probe.Name())
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

// elsewhere writes a report that has no room where it belongs to the directory for temporary files, and says so.
func (s *sinks) elsewhere(r supervisor.Report) string {
	path := filepath.Join(os.TempDir(), r.Run+".report.json")
	if filepath.Dir(path) == filepath.Dir(s.report) || writeReport(path, r) != nil {
		return ""
	}
	return ": it is in " + path
}

// problems are what could not be written down.
func (s *sinks) problems() (all []string) {
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

// writeReport replaces the file in one step: a reader sees the old report or the whole new one.
func writeReport(path string, r supervisor.Report) error {
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false) // it is read by people: <module> is no \u003cmodule\u003e
	to.SetIndent("", "  ")
	if err := to.Encode(r); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text.Bytes())
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// logs are the files of --log-dir.
type logs struct {
	dir    string
	stderr io.Writer
	routes []streams // of each rank, those that have files
	sieve  sieve
	mu     sync.Mutex
	files  map[logKey]*os.File
	failed error // the first
}

// A logKey is a stream of a life, or of all lives of a generation.
type logKey struct {
	id     process.ID
	stream process.Stream
}

// everyRank is in a logKey the rank of what is filtered out of all ranks' output.
const everyRank = -1

// openLogs makes the run's directory: in a new one where none was named, as torchrun does, which is then said.
func (s *sinks) openLogs(f *flags, run string) (_ *logs, err error) {
	dir := f.logDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "launch_"); err != nil {
			return nil, usage("--redirects, --tee: say with --log-dir where files may be: %w", reason(err))
		}
		s.show.say("logs in %s", dir)
	}
	dir = filepath.Join(dir, run)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, usage("--log-dir %s: cannot be made: %w", dir, reason(err))
	}
	l := &logs{dir: dir, stderr: s.stderr, routes: s.routing.files, files: map[logKey]*os.File{}}
	pieces, err := parsePrefix(f.prefix)
	l.sieve = sieve{
		texts: map[process.Stream][][]byte{
			process.Stdout: parseFilters(f.torchrun.stdoutFilters), process.Stderr: parseFilters(f.torchrun.stderrFilters),
		},
		prefix: func(id process.ID, stream process.Stream) string { return s.show.prefixOf(pieces, id, stream) },
	}
	return l, err
}

// observe opens a life's files before its process exists and closes them after its last line.
func (l *logs) observe(e supervisor.Event) {
	id := process.ID{Rank: e.Rank, Generation: e.Generation}
	switch e.Kind {
	case supervisor.EventSpawn:
		l.open(id)
	case supervisor.EventExited:
		l.closeLife(id)
	}
}

func (l *logs) open(id process.ID) {
	generation := filepath.Join(l.dir, fmt.Sprintf("generation_%d", id.Generation))
	dir := filepath.Join(generation, strconv.Itoa(id.Rank))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.fail(err)
		return
	}
	for _, stream := range []process.Stream{process.Stdout, process.Stderr} {
		if l.routes[id.Rank].has(stream) {
			l.create(logKey{id, stream}, l.path(id, stream))
		}
		if all := (logKey{process.ID{Rank: everyRank, Generation: id.Generation}, stream}); l.sieve.wanted(stream) && l.file(all) == nil {
			l.create(all, filepath.Join(generation, "filtered_"+stream.String()+".log"))
		}
	}
}

// path names the file of a stream of one life, "" for one that has none.
func (l *logs) path(id process.ID, stream process.Stream) string {
	if id.Rank >= len(l.routes) || !l.routes[id.Rank].has(stream) {
		return ""
	}
	return filepath.Join(l.dir, fmt.Sprintf("generation_%d", id.Generation), strconv.Itoa(id.Rank), stream.String()+".log")
}

// create makes a file: nothing is ever overwritten.
func (l *logs) create(key logKey, path string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		l.fail(err)
		return
	}
	l.mu.Lock()
	l.files[key] = f
	l.mu.Unlock()
}

func (l *logs) file(key logKey) *os.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files[key]
}

// write appends lines to their life's file, and those that are filtered to their generation's. Ranks write there at once: an
// os.File keeps each write whole.
func (l *logs) write(id process.ID, stream process.Stream, lines []byte) {
	l.append(logKey{id, stream}, lines)
	if l.sieve.wanted(stream) {
		l.append(logKey{process.ID{Rank: everyRank, Generation: id.Generation}, stream}, l.sieve.pick(id, stream, lines))
	}
}

func (l *logs) append(key logKey, lines []byte) {
	if f := l.file(key); f != nil && len(lines) > 0 {
		_, err := f.Write(lines)
		l.fail(err)
	}
}

func (l *logs) closeLife(id process.ID) {
	for _, stream := range []process.Stream{process.Stdout, process.Stderr} {
		l.mu.Lock()
		f := l.files[logKey{id, stream}]
		delete(l.files, logKey{id, stream})
		l.mu.Unlock()
		if f != nil {
			l.fail(f.Close())
		}
	}
}

// fail says once that logs are incomplete; the ranks go on.
func (l *logs) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.failed == nil {
		l.failed = err
		fmt.Fprintf(l.stderr, "launch: --log-dir: %v: the logs of this run are incomplete\n", err)
	}
}

func (l *logs) close() {
	for key := range l.files {
		l.closeLife(key.id)
	}
}

// parseRanks reads a set of ranks of a group, such as 0,3-5; nil means all.
func parseRanks(text string, size int) (map[int]bool, error) {
	if text == "" {
		return nil, nil
	}
	ranks, ok := parseSet(text)
	if !ok {
		return nil, usage("--ranks-filter %q: write ranks and ranges, such as 0,3-5", text)
	}
	set := map[int]bool{}
	for _, rank := range ranks {
		if rank >= size {
			return nil, usage("--ranks-filter %q: the last rank is %d", text, size-1)
		}
		set[rank] = true
	}
	return set, nil
}

// parseSet reads numbers and ranges, such as 0,3-5, as the kernel writes them.
func parseSet(text string) (numbers []int, ok bool) {
	for _, part := range strings.Split(text, ",") {
		low, high, span := strings.Cut(part, "-")
		if !span {
			high = low
		}
		first, err1 := strconv.Atoi(low)
		last, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || first < 0 || last < first || last > maxRanks {
			return nil, false
		}
		for n := first; n <= last; n++ {
			numbers = append(numbers, n)
		}
	}
	return numbers, true
}
