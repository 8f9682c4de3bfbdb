//go:build !linux

package stage

import (
	"errors"
	"fmt"
)

// Wrap returns the program itself, and an error that wraps errors.ErrUnsupported when there are settings.
func Wrap(path string, argv []string, p Plan) (string, []string, error) {
	if !p.Empty() {
		return "", nil, fmt.Errorf("stage: settings of a process: %w", errors.ErrUnsupported)
	}
	return path, argv, nil
}

// Environment returns env.
func Environment(env []string, _ string, _ Plan) []string { return env }

func (s Settings) check() []error {
	if s.Empty() {
		return nil
	}
	return []error{errors.ErrUnsupported}
}

func known(string) bool { return true }

func names() []string { return nil }

func (Plan) processes() (uint64, bool) { return 0, false }
