package process

import (
	"errors"
	"strings"
)

// A Preflighter is a Launcher that can tell whether the system has room for a whole group, before its first process is
// started.
type Preflighter interface {
	// Preflight reports everything that the commands need together and that there is not enough of, each with what to do
	// about it: EMFILE and ENFILE for descriptors, EAGAIN for processes; errors.ErrUnsupported, EBUSY or fs.ErrPermission
	// for bounds that no cgroup here can have. The commands have the environment that they will be launched with: a variable that
	// a Probe names and that is not in it, is ErrProbe. It does not repeat Check, and a nil error is no promise.
	Preflight([]Command) error
}

// Preflight looks at the limits of this program and its user.
func (l local) Preflight(commands []Command) error {
	return errors.Join(checkProbes(commands), l.guard.preflight(commands))
}

// checkProbes finds variables that a probe names and that its rank will not have, each text once.
func checkProbes(commands []Command) error {
	var errs []error
	told := map[string]bool{}
	for _, c := range commands {
		if c.Ready == nil || !strings.Contains(c.Ready.TCP+c.Ready.HTTP, "$") {
			continue
		}
		if _, err := c.Ready.in(environment(c, &childFiles{}, "")); err != nil && !told[err.Error()] {
			told[err.Error()] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// starting bounds how many processes are being started at a time: each holds both ends of everything until it exists.
var starting = make(chan struct{}, 8)
