package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// adopt makes this process the parent of whoever loses its own among its descendants, so that sweep finds them.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_CHILD_SUBREAPER): %w", err)
	}
	return nil
}

// sweep kills all descendants of this process and reaps those that have come to it: between two trials it has none of its own.
func sweep() error {
	for range 100 { // those who die leave us theirs
		below := descendants(os.Getpid())
		if len(below) == 0 {
			return nil
		}
		for _, p := range below {
			_ = unix.Kill(p.pid, unix.SIGKILL)
		}
		for _, p := range below {
			if p.parent == os.Getpid() {
				_, _ = unix.Wait4(p.pid, nil, 0, nil)
			}
		}
	}
	return errors.New("descendants come as fast as they are killed")
}

type relative struct{ pid, parent int }

// descendants lists who was started by a process, or by one that was.
func descendants(of int) []relative {
	children := map[int][]int{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if parent, err := strconv.Atoi(string(fields[1])); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	var all []relative
	queue := []int{of}
	for len(queue) > 0 {
		parent := queue[0]
		queue = queue[1:]
		for _, pid := range children[parent] {
			all = append(all, relative{pid, parent})
			queue = append(queue, pid)
		}
	}
	return all
}
