// Package python runs Python programs as workers, unchanged and with nothing installed.
//
//	cmd := process.Command{Args: python.Args("train.py", "--lr", "0.1")}
//
// The worker is one file of standard Python, [shim.py], which travels in the argument list: it says Hello and Ready,
// runs the script as Python itself would, and sends what escapes it as an exception ([transport.Exception]), causes
// and all, before the process ends. Exit status, output and signals stay those of the script. Python 3.9 or later.
//
// SIGQUIT makes such a script write the stacks of all its threads to standard error and go on, and a crash such as SIGSEGV
// leaves a traceback there: faulthandler is enabled, unless the script does so itself, or PYTHONFAULTHANDLER is 0.
//
// A script may tell the supervisor how far it is, by a count that only grows and a short text. The module needs no package on
// disk, and a script that also runs by itself falls back:
//
//	try:
//	    from muster import progress
//	except ImportError:
//	    def progress(count, text=""): pass
//
// It may be called in the tightest of loops: the supervisor hears of the newest count ten times in a second at most, and of
// the last one before the script ends, unless that is by os._exit or a signal. A process that the script forks says nothing.
// A script that has a module muster of its own keeps it.
//
// The module has what package worker has, besides: messages, meetings of ranks, values under keys, and the script's result
// (docs/python.md). A script may thus be a rank that answers, or one of a [supervisor.Group] whose Results are wanted.
//
// With MUSTER_LOCALS=1 in its environment ([transport.EnvLocals]) an exception has the local variables of each frame, as repr
// writes them: the innermost frames' first, 64 of a frame and 1024 in all, 1 KiB each, and a module's without what it has
// imported and defined. They stand under the frames of Exception.Traceback, too; what Python itself prints stays as it is.
// Without it nothing is told, and nothing is asked for its repr: variables may hold secrets.
//
// Heartbeats and the stacks of all threads (process.Command.Heartbeat and Dumps) come from threads beside the script's own.
// While an extension holds the interpreter's lock they cannot run, and nothing comes.
//
// [Inject] does the same to a command line that somebody else wrote:
//
//	argv, ok := python.Inject([]string{"python3", "-u", "-m", "pkg.train", "--lr", "0.1"})
//
// The package does not start processes and does not look for interpreters.
//
// [shim.py]: https://github.com/go-muster/muster/blob/main/transport/worker/python/shim.py
// [transport.Exception]: https://pkg.go.dev/github.com/go-muster/muster/transport#Exception
// [supervisor.Group]: https://pkg.go.dev/github.com/go-muster/muster/supervisor#Group
// [transport.EnvLocals]: https://pkg.go.dev/github.com/go-muster/muster/transport#EnvLocals
package python

import (
	_ "embed"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed shim.py
var shim string

// boot compiles the first page of the shim and leaves no name behind. Its own arguments follow it, the shim first.
const boot = `exec(compile(__import__("sys").argv[1].partition("\f")[0],"<muster>","exec"),{"__name__":"<muster>"})`

// The ways of running a program: the shim's first argument after itself.
const (
	modeFile   = "file"
	modeModule = "module"
	modeCode   = "code"
)

// Args returns the command line that runs a script, or a directory or zip file with a __main__.py, as a worker under
// the python3 found on the PATH when it is started. Arguments for the script may be appended to it.
func Args(script string, args ...string) []string {
	return append([]string{"python3", "-c", boot, shim, modeFile, script}, args...)
}

// Inject returns a command line that runs the same Python program as a worker, and true. These are Python programs:
//
//   - an interpreter (python, python3, python3.N, pypy3, by any path) with a script, -m module or -c code, after any
//     interpreter options, which are kept;
//   - a file whose name ends in .py: it runs under python3, whatever its first line says.
//
// Anything else comes back as it is, and false: other commands; an interpreter that reads its program from standard
// input or is interactive (-i), that only prints its version or help, or that would reject its options; and -x, which
// drops the first line of a script in a way only the interpreter knows.
func Inject(argv []string) ([]string, bool) {
	if len(argv) == 0 {
		return argv, false
	}
	if strings.HasSuffix(argv[0], ".py") {
		return Args(argv[0], argv[1:]...), true
	}
	if !interpreter.MatchString(filepath.Base(argv[0])) {
		return argv, false
	}
	p, ok := parse(argv[1:])
	if !ok {
		return argv, false
	}
	return slices.Concat(argv[:1], p.options, []string{"-c", boot, shim, p.mode, p.target}, p.args), true
}

var interpreter = regexp.MustCompile(`^(python3?|python3\.[0-9]+t?|pypy3?|pypy3\.[0-9]+)(\.exe)?$`)

// A program is what an interpreter is asked to run.
type program struct {
	options      []string // the interpreter's, without the one that names the program
	mode, target string
	args         []string // the program's
}

// flags are Python's one-letter options that take no value and leave it with a program to run.
const flags = "bBdEIOPqRsStuv"

// parse splits the arguments of an interpreter by Python's own grammar.
func parse(args []string) (program, bool) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return named(modeFile, args[:i], args[i+1:])
		case arg == "-" || !strings.HasPrefix(arg, "-"):
			return named(modeFile, args[:i], args[i:])
		case arg == "--check-hash-based-pycs":
			i++
			continue
		}
		switch rest := strings.TrimLeft(arg[1:], flags); {
		case rest == "":
		case rest == "W" || rest == "X":
			i++
		case rest[0] == 'W' || rest[0] == 'X':
		case rest[0] == 'm':
			return cluster(modeModule, args, i, rest)
		case rest[0] == 'c':
			return cluster(modeCode, args, i, rest)
		default:
			return program{}, false
		}
	}
	return program{}, false
}

// cluster takes apart an argument such as -m, -um, -mpkg or -umpkg, whose end from the m on is rest.
func cluster(mode string, args []string, i int, rest string) (program, bool) {
	options, tail := slices.Clip(args[:i]), args[i+1:]
	if before := strings.TrimSuffix(args[i], rest); before != "-" {
		options = append(options, before)
	}
	if value := rest[1:]; value != "" {
		tail = slices.Concat([]string{value}, tail)
	}
	return named(mode, options, tail)
}

// named returns a program whose name is the first of the arguments, if there is one and it is not standard input.
func named(mode string, options, args []string) (program, bool) {
	if len(args) == 0 || mode == modeFile && args[0] == "-" {
		return program{}, false
	}
	return program{options, mode, args[0], args[1:]}, true
}
