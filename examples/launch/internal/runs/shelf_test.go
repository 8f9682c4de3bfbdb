package runs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is given and what is told to be missed is together what was written, however late somebody reads.
func TestShelfLosesNothingInSilence(t *testing.T) {
	s := NewShelf(nil)
	written := 0
	write := func() {
		line := fmt.Sprintf("line %d %s\n", written, strings.Repeat("x", 900))
		s.Write(Life{Rank: written % 2, Stream: "stdout"}, []byte(line))
		written += len(line)
	}
	for range 300 {
		write()
	}
	given, missed, pieces := 0, 0, 0
	err := s.Read(t.Context(), nil, true, func(p Piece) error {
		if given, missed, pieces = given+len(p.Text), missed+p.Missed, pieces+1; pieces == 10 {
			for range 300 { // more than is kept, while we read
				write()
			}
		}
		if given+missed == written {
			s.End()
		}
		return nil
	})
	if err != nil || given+missed != written || given < 2*kept*8/10 || missed == 0 {
		t.Errorf("%v: of %d bytes %d were given and %d told to be missed", err, written, given, missed)
	}
	for rank, tail := range s.tails {
		if tail.size > kept {
			t.Errorf("%d bytes of rank %d are kept", tail.size, rank)
		}
	}
}

// What is kept lies in what was kept before; what somebody has been given is his.
func TestShelfMemory(t *testing.T) {
	s, life := NewShelf(nil), Life{Stream: "stdout"}
	lines := func(digit string) []byte { return []byte(strings.Repeat(strings.Repeat(digit, 99)+"\n", 655)) }
	s.Write(life, lines("1"))
	s.Write(life, lines("2"))
	var given []Piece
	if err := s.Read(t.Context(), nil, false, func(p Piece) error { given = append(given, p); return nil }); err != nil {
		t.Fatal(err)
	}
	more := lines("3")
	if n := testing.AllocsPerRun(10, func() { s.Write(life, more) }); n > 2 {
		t.Errorf("%v allocations for 64 KiB", n)
	}
	for _, p := range given {
		if p.Missed == 0 && strings.Trim(string(p.Text), "2\n") != "" {
			t.Errorf("a piece was given as %.20q", p.Text)
		}
	}
	if tail := s.tails[0]; tail.size > kept || tail.size < kept-2*maxPiece/8 {
		t.Errorf("%d bytes are kept", tail.size)
	}
}

// Files are given as they grow, in whole lines, and up to where launch has written.
func TestShelfOfFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(l Life) string { return filepath.Join(dir, fmt.Sprint(l.Rank)) }
	s := NewShelf(path)
	text := strings.Repeat("a line\n", 30000)
	for rank := range 2 {
		l := Life{Rank: rank, Stream: "stderr"}
		if err := os.WriteFile(path(l), []byte(text+"unfinished, and not told of yet"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Write(l, []byte(text))
	}
	s.Write(Life{Rank: 7, Stream: "stdout"}, []byte("there is no such file"))
	got := map[int]string{}
	err := s.Read(t.Context(), []int{1, 7}, false, func(p Piece) error {
		if got[p.Rank] += string(p.Text); len(p.Text) > maxPiece || !strings.HasSuffix(string(p.Text), "\n") {
			t.Errorf("a piece of %d bytes", len(p.Text))
		}
		return nil
	})
	if err != nil || len(got) != 1 || got[1] != text {
		t.Errorf("%v, %d bytes", err, len(got[1]))
	}
}

// Who follows goes when it wants to.
func TestShelfIsLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := NewShelf(nil)
	if err := s.Read(ctx, nil, true, func(Piece) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.Write(Life{}, []byte("a"))
	full := errors.New("full")
	if err := s.Read(t.Context(), nil, true, func(Piece) error { return full }); err != full {
		t.Error(err)
	}
}

// A name is a run's before it is a group's, and whole before it is a beginning.
func TestFind(t *testing.T) {
	all := []Run{{Info: Info{Run: "host-1", Name: "train"}}, {Info: Info{Run: "host-12", Name: "train2"}}, {Info: Info{Run: "train2", Name: "x"}}}
	for name, want := range map[string]string{
		"host-1": "host-1", "host-12": "host-12", "train": "host-1", "train2": "train2", "x": "train2",
		"host": "", "h": "", "": "", "y": "", "tr": "",
	} {
		got, err := Find(all, name)
		if got.Run != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrNoRun) {
			t.Errorf("%q: %q, %v", name, got.Run, err)
		}
	}
	if got, err := Find(all[:1], ""); err != nil || got.Run != "host-1" {
		t.Errorf("%v, %v", got, err)
	}
}

// A run may be called what no directory can be.
func TestNameOf(t *testing.T) {
	for run, want := range map[string]string{"a-1": "a-1", "a/../b": "a_.._b", "..": "_..", "": "_", "a\nb\x00": "a_b_"} {
		if got := nameOf(run); got != want {
			t.Errorf("%q: %q, want %q", run, got, want)
		}
	}
	if got := nameOf(strings.Repeat("é", 200)); len(got) > 128 || strings.Contains(got, "\ufffd") {
		t.Errorf("%q", got)
	}
}
