package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

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
