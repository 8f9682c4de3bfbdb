package process_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-muster/muster/actors/process"
)

// Whole lines are handed on, and of a line that is written over what is known to stand in it; the two bytes of a newline of DOS
// are never parted.
func TestPieces(t *testing.T) {
	for _, test := range []struct{ chunks, want []string }{
		{[]string{"one\ntw", "o\n", "three"}, []string{"one\n", "two\n", "three"}},
		{[]string{"\r10%", "\r20%", "\r30%\n"}, []string{"\r", "10%\r", "20%\r30%\n"}},
		{[]string{"a\r", "\nb\r", "c\r\n"}, []string{"a\r\n", "b\r", "c\r\n"}},
		{[]string{"1%\r", "2%\r", "3%\r"}, []string{"1%\r", "2%\r", "3%\r"}},
		{[]string{"line\r\nnext\rover"}, []string{"line\r\nnext\r", "over"}},
	} {
		var chunks [][]byte
		for _, c := range test.chunks {
			chunks = append(chunks, []byte(c))
		}
		var got []string
		for _, piece := range process.Pieces(chunks...) {
			got = append(got, string(piece))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.chunks, got, test.want)
		}
	}
}

// However a stream comes, nothing of it is lost, and a piece that ends in nothing is the last.
func TestPiecesLoseNothing(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var chunks [][]byte
		for range r.IntN(10) {
			chunk := make([]byte, 1+r.IntN(6))
			for i := range chunk {
				chunk[i] = "ab\r\n"[r.IntN(4)]
			}
			chunks = append(chunks, chunk)
		}
		pieces := process.Pieces(chunks...)
		if want, got := bytes.Join(chunks, nil), bytes.Join(pieces, nil); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %q has become %q", seed, want, got)
		}
		for i, piece := range pieces[:max(0, len(pieces)-1)] {
			last := piece[len(piece)-1]
			if last != '\n' && last != '\r' || last == '\r' && pieces[i+1][0] == '\n' {
				t.Fatalf("seed %d: %q in %q", seed, piece, pieces)
			}
		}
	}
}
