package runs

import (
	"bytes"
	"context"
	"os"
	"slices"
	"sync"
)

const (
	// kept is how much of the output of a rank is kept in memory, in bytes, what it costs to keep it included.
	kept = 64 << 10
	// cost is what a piece in memory costs besides its text, in bytes.
	cost = 96
)

// A Shelf has the ranks' output for those who ask for it later: all of it where there are files of it, else the newest 64 KiB
// of each rank. Nobody who reads holds up who writes.
type Shelf struct {
	path func(Life) string // nil where there are no files

	mu    sync.Mutex
	last  int // the number of the newest piece
	tails map[int]*tail
	files []*file
	index map[Life]*file
	more  chan struct{} // closed when there is more to read; nil when nobody waits
	ended bool
}

// A Life is a stream of one generation of a rank.
type Life struct {
	Rank, Generation int
	Stream           string
}

// A tail is the newest output of a rank.
type tail struct {
	pieces []numbered
	size   int
	lost   int // bytes, since the start
}

type numbered struct {
	Piece
	number int
}

// A file is one that is written to.
type file struct {
	Life
	size int64
}

// NewShelf returns an empty shelf. Path names the file of a life whose output is also written to one, before it is put on the
// shelf, and "" for a life that has none; nil means that there are no files.
func NewShelf(path func(Life) string) *Shelf {
	return &Shelf{path: path, tails: map[int]*tail{}, index: map[Life]*file{}}
}

// Write puts lines on the shelf.
func (s *Shelf) Write(of Life, lines []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path != nil && s.path(of) != "" {
		s.grow(of, len(lines))
	} else {
		s.keep(of, lines)
	}
	s.news()
}

func (s *Shelf) grow(of Life, n int) {
	f := s.index[of]
	if f == nil {
		f = &file{Life: of}
		s.index[of] = f
		s.files = append(s.files, f)
	}
	f.size += int64(n)
}

func (s *Shelf) keep(of Life, lines []byte) {
	t := s.tails[of.Rank]
	if t == nil {
		t = &tail{}
		s.tails[of.Rank] = t
	}
	for len(lines) > 0 { // small pieces, so that no more is lost than must be
		n := wholeLines(lines, maxPiece/8)
		s.last++
		text := append(t.room(n), lines[:n]...)
		t.pieces = append(t.pieces, numbered{Piece{Rank: of.Rank, Generation: of.Generation, Stream: of.Stream, Text: text}, s.last})
		t.size += n + cost
		lines = lines[n:]
	}
}

// room drops the oldest pieces until there is room for another one, and returns what one of them lay in that fits: otherwise all that
// the ranks ever write would be work for the collector.
func (t *tail) room(n int) (memory []byte) {
	drop := 0
	for t.size+n+cost > kept {
		old := t.pieces[drop].Text
		if n <= cap(old) && cap(old) < 2*n {
			memory = old[:0]
		}
		t.size -= len(old) + cost
		t.lost += len(old)
		drop++
	}
	t.pieces = slices.Delete(t.pieces, 0, drop)
	return memory
}

// wholeLines returns how many of the bytes make whole lines, within a bound; more than a line of that length is cut.
func wholeLines(text []byte, most int) int {
	if len(text) <= most {
		return len(text)
	}
	if end := bytes.LastIndexByte(text[:most], '\n'); end >= 0 {
		return end + 1
	}
	return most
}

// End says that there will be no more.
func (s *Shelf) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.news()
}

func (s *Shelf) news() {
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
}

// Read gives what there is of some ranks, none for all; with follow, also what comes, until the end of the group. It returns
// the first error of give, or the context's.
func (s *Shelf) Read(ctx context.Context, ranks []int, follow bool, give func(Piece) error) error {
	r := reader{shelf: s, ranks: ranks, at: map[int]int{}, read: map[Life]int64{}}
	for {
		s.mu.Lock()
		ended := s.ended
		if s.more == nil {
			s.more = make(chan struct{})
		}
		more := s.more
		s.mu.Unlock()
		if err := r.catchUp(give); err != nil || ended || !follow {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A reader is how far somebody has read.
type reader struct {
	shelf *Shelf
	ranks []int
	last  int
	at    map[int]int    // bytes of each rank that were given, or told to be lost
	read  map[Life]int64 // bytes of each file that were given
}

func (r *reader) wants(rank int) bool { return len(r.ranks) == 0 || slices.Contains(r.ranks, rank) }

// catchUp gives what is new.
func (r *reader) catchUp(give func(Piece) error) error {
	if err := r.readFiles(give); err != nil {
		return err
	}
	for _, piece := range r.take() {
		if err := give(piece); err != nil {
			return err
		}
	}
	return nil
}

// take returns the new pieces in the order in which they came, after what is told of those that are lost.
func (r *reader) take() (all []Piece) {
	s := r.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []numbered
	for rank, t := range s.tails {
		if !r.wants(rank) {
			continue
		}
		start, _ := slices.BinarySearchFunc(t.pieces, r.last+1, func(p numbered, n int) int { return p.number - n })
		fresh = append(fresh, t.pieces[start:]...)
		if missed := t.lost - r.at[rank]; missed > 0 {
			all = append(all, Piece{Rank: rank, Missed: missed})
			r.at[rank] = t.lost
		}
	}
	slices.SortFunc(fresh, func(a, b numbered) int { return a.number - b.number })
	for _, p := range fresh {
		p.Text = bytes.Clone(p.Text) // its memory may be another's when this is read
		all = append(all, p.Piece)
		r.at[p.Rank] += len(p.Text)
	}
	r.last = s.last
	return all
}

// readFiles gives what the files have that was not given yet.
func (r *reader) readFiles(give func(Piece) error) error {
	r.shelf.mu.Lock()
	var grown []file
	for _, f := range r.shelf.files {
		if r.wants(f.Rank) && f.size > r.read[f.Life] {
			grown = append(grown, *f)
		}
	}
	r.shelf.mu.Unlock()
	for _, f := range grown {
		if err := r.readFile(f, give); err != nil {
			return err
		}
	}
	return nil
}

// readFile gives what a file has to have by now. Where the disk was full it has less, which launch has told.
func (r *reader) readFile(f file, give func(Piece) error) error {
	opened, err := os.Open(r.shelf.path(f.Life))
	if err != nil {
		r.read[f.Life] = f.size // it was moved away, or never made
		return nil
	}
	defer opened.Close()
	buf := make([]byte, maxPiece)
	for at := r.read[f.Life]; at < f.size; {
		n, err := opened.ReadAt(buf[:min(int64(len(buf)), f.size-at)], at)
		if n == 0 && err != nil {
			break
		}
		if end := bytes.LastIndexByte(buf[:n], '\n') + 1; end > 0 && at+int64(n) < f.size {
			n = end // the rest of the line comes with the next piece
		}
		if err := give(Piece{Rank: f.Rank, Generation: f.Generation, Stream: f.Stream, Text: buf[:n]}); err != nil {
			return err
		}
		at += int64(n)
	}
	r.read[f.Life] = f.size
	return nil
}
