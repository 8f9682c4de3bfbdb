// Package stage sets a process up in the process itself, after the fork and before the first instruction of its program.
//
// Some settings can be made from outside only when it is too late: an affinity mask that a program reads while it starts,
// a limit that it runs into at once. Therefore a process with such settings first executes this very binary, which never
// reaches its main: it makes the settings and becomes the program. Pid, pidfd, descriptors, process group and cgroup stay.
//
//	path, argv := stage.Wrap("/usr/bin/python3", []string{"python3", "train.py"}, settings)
//	syscall.ForkExec(path, argv, attr)
//
// When a setting cannot be made the process says so on its standard error and ends with exit code 126: Check tells most
// of it before anything is started.
package stage
