package process

import (
	"fmt"
	"os"
	"strings"
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
	// Entry names a function registered with transport/worker that the binary runs in place of its main: see Reexec.
	Entry string `json:"entry,omitempty"`
	// Speaks says that the worker inside reports Ready, as functions and injected Python scripts do: it is started only
	// then. Any other command is started as soon as its process exists.
	Speaks bool `json:"speaks,omitempty"`
	// Plain leaves out the socket on descriptor 3.
	Plain bool `json:"plain,omitempty"`
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
