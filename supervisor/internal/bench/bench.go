// Package bench is the door between package supervisor and package supervisortest: the machine's insides are nobody
// else's (docs/adr/0006-a-bench-for-strategies.md).
package bench

// A Key opens supervisor.Bench. Only packages below supervisor can have one.
type Key struct{}

// A Bench is what a strategy S of package supervisor can be tried on.
type Bench[S any] struct {
	// Script returns a conversation with a machine that has the strategy, which takes commands one after the other.
	Script func(S) func(Command) (string, error)
	// World lives through one random world.
	World func(S, Options) World
}

// A Command is one of a transcript.
type Command struct {
	Cmd     string
	CmdArgs []Arg
}

// An Arg is an argument of a command: key, key=value, or key=(value, value).
type Arg struct {
	Key  string
	Vals []string
}

// Options say which world it is.
type Options struct {
	Seed     uint64
	Restarts int // more are an error; negative for any number
}

// A World is what became of one.
type World struct {
	Err        error // what rule was broken
	Transcript string
	Restarts   int
}
