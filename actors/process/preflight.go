package process

// A Preflighter is a Launcher that can tell whether the system has room for a whole group, before its first process is
// started.
type Preflighter interface {
	// Preflight reports everything that the commands need together and that there is not enough of, each with what to do
	// about it: EMFILE and ENFILE for descriptors, EAGAIN for processes; errors.ErrUnsupported, EBUSY or fs.ErrPermission
	// for bounds that no cgroup here can have. It does not repeat Check, and a nil error is no promise.
	Preflight([]Command) error
}

// Preflight looks at the limits of this program and its user.
func (l local) Preflight(commands []Command) error { return l.guard.preflight(commands) }

// starting bounds how many processes are being started at a time: each holds both ends of everything until it exists.
var starting = make(chan struct{}, 8)
