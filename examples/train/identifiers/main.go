// Identifiers counts the identifiers of the Go standard library's own source, one shard of its files per rank, and
// merges the ranks' results in the parent.
//
//	go run ./examples/train/identifiers -n 4
//
// It is map and reduce over processes: worker.Func gives the function a typed argument and a typed result,
// supervisor.Map runs it once per shard. Kill a rank while it works (each prints its pid) and the group starts over.
package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport/worker"
)

// A shard is the work of one rank; counts is its answer.
type (
	shard struct {
		Files []string
	}
	counts struct {
		Files, Bytes int
		Identifiers  map[string]int
	}
)

var countFiles = worker.Func("count", count)

// count runs in each rank.
func count(ctx context.Context, me worker.Info, s shard) (counts, error) {
	fmt.Printf("rank %d of %d (pid %d): %d files\n", me.Rank, me.World, os.Getpid(), len(s.Files))
	result := counts{Identifiers: map[string]int{}}
	for _, path := range s.Files {
		if err := ctx.Err(); err != nil {
			return counts{}, err // a peer failed, and the group is being stopped
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return counts{}, fmt.Errorf("rank %d: %w", me.Rank, err)
		}
		result.add(source)
	}
	return result, nil
}

func (c *counts) add(source []byte) {
	c.Files++
	c.Bytes += len(source)
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(source))
	s.Init(file, source, func(token.Position, string) {}, 0) // test data may hold what is no Go
	for {
		switch _, tok, text := s.Scan(); tok {
		case token.EOF:
			return
		case token.IDENT:
			c.Identifiers[text]++
		}
	}
}

func main() {
	worker.Main()
	n := flag.Int("n", 4, "number of ranks")
	root := flag.String("root", "", "count the Go files below `DIR`, not those of the standard library")
	flag.Parse()
	if *n < 1 {
		log.Fatalf("-n %d: a group has at least one rank", *n)
	}
	files, err := goFiles(*root)
	if err != nil {
		log.Fatal(err)
	}
	start := time.Now()
	parts, err := supervisor.Map(context.Background(), supervisor.Spec{
		Name:     "identifiers",
		Strategy: supervisor.AllForOne{Restarts: 2},
	}, countFiles, split(files, *n))
	if err != nil {
		log.Fatal(err)
	}
	report(merge(parts), *n, time.Since(start))
}

// goFiles lists the Go files below a directory; without one, those of the standard library.
func goFiles(root string) (files []string, err error) {
	if root == "" {
		if root, err = standardLibrary(); err != nil {
			return nil, err
		}
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// standardLibrary is that of the go command on the PATH.
func standardLibrary() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return filepath.Join(string(bytes.TrimSpace(out)), "src"), nil
}

// split deals the files out like cards, so that large packages spread.
func split(files []string, n int) []shard {
	shards := make([]shard, n)
	for i, path := range files {
		s := &shards[i%n]
		s.Files = append(s.Files, path)
	}
	return shards
}

func merge(parts []counts) counts {
	total := counts{Identifiers: map[string]int{}}
	for _, part := range parts {
		total.Files += part.Files
		total.Bytes += part.Bytes
		for name, n := range part.Identifiers {
			total.Identifiers[name] += n
		}
	}
	return total
}

func report(c counts, ranks int, took time.Duration) {
	names := make([]string, 0, len(c.Identifiers))
	occurrences := 0
	for name, n := range c.Identifiers {
		names = append(names, name)
		occurrences += n
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(c.Identifiers[b], c.Identifiers[a]), cmp.Compare(a, b))
	})
	fmt.Printf("%d files, %d bytes, %d identifiers, %d of them different (%d ranks, %v)\n",
		c.Files, c.Bytes, occurrences, len(names), ranks, took.Round(time.Millisecond))
	for _, name := range names[:min(10, len(names))] {
		fmt.Printf("%8d  %s\n", c.Identifiers[name], name)
	}
}
