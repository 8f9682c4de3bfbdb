// Package runs is how people reach the groups that run on this machine: each launch has a directory with a socket in it, and
// launch ps, logs, stop, restart and dump speak to that.
//
// The directory is $LAUNCH_RUN_DIR/RUN, else $XDG_RUNTIME_DIR/muster/RUN, else muster-UID/RUN in the directory for temporary
// files. It is locked for as long as its launch lives: the kernel gives the lock back however that ends, in any pid namespace,
// and no number of a process can be mistaken for it. One that nobody locks is stale, and removed by whoever looks.
//
// On the socket each request, and each answer to it, is a line of JSON of bounded length. Who asks must be the user of the
// launch, or root.
package runs
