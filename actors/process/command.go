package process

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-muster/muster/actors/process/stage"
)

// A Command says what one rank runs. It is data: it can be written as JSON and sent to another host.
type Command struct {
	// Args is the program and its arguments. A program without a slash is looked up in PATH, one with a slash is taken
	// relative to Dir. Empty with Entry set, it means this very binary.
	Args []string `json:"args"`
	// Env holds variables, each "KEY=value", that are added to the supervisor's own environment and win over it.
	Env []string `json:"env,omitempty"`
	// Dir is the working directory; empty means the supervisor's.
	Dir string `json:"dir,omitempty"`
	// Role says what the rank is among the ranks of its group, such as "trainer": see ROLE_NAME. It has no blanks and no
	// slash; empty means that there are no roles.
	Role string `json:"role,omitempty"`
	// Host names the host that the process runs on, among those of a [Placer]; empty leaves the choice to it. A launcher of one
	// host takes no notice.
	Host string `json:"host,omitempty"`
	// Entry names a function registered with transport/worker that the binary runs in place of its main: see Reexec.
	Entry string `json:"entry,omitempty"`
	// Speaks says that the worker inside reports Ready, as functions and injected Python scripts do: it is started only
	// then. A program in another language does so as docs/protocol.md has it (examples/worker-c is one). Any other command is started as soon as its process exists, or when Ready says so.
	Speaks bool `json:"speaks,omitempty"`
	// Ready says how a command that does not speak shows that it is ready; nil means as soon as its process exists. For one
	// that speaks it takes the place of the worker's own word.
	Ready *Probe `json:"ready,omitempty"`
	// Heartbeat is the interval of the heartbeats that the worker is asked for; 0 means none. A worker that cannot send one, as
	// when a Python extension holds the interpreter's lock, misses it.
	Heartbeat time.Duration `json:"heartbeat,omitempty"`
	// Dumps tells the worker that Process.Dump may ask for its stacks. With heartbeats it is always told so. A Python script
	// has a second thread then.
	Dumps bool `json:"dumps,omitempty"`
	// ErrorFile gives the process, in TORCHELASTIC_ERROR_FILE, the path of a pipe of ours where programs written for torchrun
	// (their main is decorated by @record) report what they raised. It counts when the process fails and its worker has said
	// nothing. A supervisor sets it for every rank that is no function. There is none for a command that names such a file
	// in Env, or the variable in Unset, none for one with a User or a Group, and none outside of Linux.
	ErrorFile bool `json:"error_file,omitempty"`
	// Plain leaves out the socket on descriptor 3.
	Plain bool `json:"plain,omitempty"`
	// Stdin is a file for standard input; empty means the null device, /dev/stdin the supervisor's own. On Linux a named
	// pipe, and a file on a file system that may stop answering (NFS, FUSE), is opened by the process, with its user's
	// rights, and holds up nobody else.
	Stdin string `json:"stdin,omitempty"`
	// StopSignal is what Stop sends to the process group; 0 means SIGTERM.
	StopSignal Signal `json:"stop_signal,omitempty"`
	// DumpSignal is sent to the process itself one second before Kill, so that it writes its stacks to standard error, from
	// where they go to Exit.Dump: SIGQUIT makes Go programs and injected Python scripts do so. 0 means no dump.
	DumpSignal Signal `json:"dump_signal,omitempty"`
	// Setup is made in the process before its program begins: processors, limits, priority (Linux).
	Setup stage.Settings `json:"setup,omitzero"`
	// Memory is how many bytes the process and its descendants may use together, and PIDs how many processes and threads they
	// may be; 0 means no bound. They are the memory.max and pids.max of its cgroup (Linux, cgroup v2): where those cannot be
	// set, the process is not started. Swap is not bounded.
	Memory uint64 `json:"memory,omitempty"`
	PIDs   uint64 `json:"pids,omitempty"`
	// User and Group are the numeric ids the process runs under; nil means the supervisor's. Only root may change them. A
	// user alone has its primary and its supplementary groups, as after su; with a Group it has that one only.
	User  *uint32 `json:"user,omitempty"`
	Group *uint32 `json:"group,omitempty"`
	// Unset names variables of the supervisor's environment that the process does not get.
	Unset []string `json:"unset,omitempty"`
	// Argument is the msgpack encoding of a function's argument; it travels over the socket.
	Argument []byte `json:"argument,omitempty"`
}

// Reexec returns a Command that runs this binary again at an entry point registered with transport/worker. The args
// become os.Args[1:] of the rank.
func Reexec(entry string, args ...string) Command {
	return Command{Args: append([]string{self()}, args...), Entry: entry, Speaks: true}
}

// self is the path of this binary. /proc/self/exe stays right when the file is replaced or deleted while we run; where
// there is none, the path at start has to do.
func self() string {
	if path, err := os.Executable(); err == nil {
		return path
	}
	return os.Args[0]
}

// String returns the command line as one would type it.
func (c Command) String() string {
	words := make([]string, len(c.Args))
	for i, arg := range c.Args {
		words[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'$\\") {
			words[i] = fmt.Sprintf("%q", arg)
		}
	}
	return strings.Join(words, " ")
}

// An ID names one life of one rank: rank 3 of generation 1 is 3@1.
type ID struct {
	Rank       int `json:"rank"`
	Generation int `json:"generation"`
}

// String returns the ID as rank@generation.
func (id ID) String() string { return fmt.Sprintf("%d@%d", id.Rank, id.Generation) }
