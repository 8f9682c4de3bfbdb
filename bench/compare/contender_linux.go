package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// A contender is one way to run n processes, as data.
type contender struct {
	name  string
	needs []string // names of peers, all of which it takes
	most  int      // the largest n that it is asked for; 0 means any
	slow  bool     // it takes seconds, and --quick leaves it out
	// inside contenders are calls in a program that runs already, and measure themselves; the others are commands, and the
	// start of the command counts.
	inside bool
	status bool     // it tells its caller that a rank has failed, and not what that raised
	tears  bool     // it does not keep lines whole
	env    []string // "KEY=value", besides our own
	// patience is how long a trial may take when that is less than --limit: of those who are known to hang.
	patience time.Duration
	argv     func(t *trial, work []string) []string
}

// words puts a command line together from words and lists of words.
func words(parts ...any) []string {
	var all []string
	for _, part := range parts {
		switch part := part.(type) {
		case []string:
			all = append(all, part...)
		default:
			all = append(all, fmt.Sprint(part))
		}
	}
	return all
}

const python3 = "/usr/bin/python3" // the one that has Debian's torch

// launchWith is our command.
func launchWith(flags ...string) func(*trial, []string) []string {
	return func(t *trial, work []string) []string {
		return words(t.kit.launch, "-n", t.n, flags, "--", work)
	}
}

// subject is our library, and what one would write in Go without it.
func subject(args ...string) func(*trial, []string) []string {
	return func(t *trial, work []string) []string { return words(t.kit.subject, args, t.n, work) }
}

func posixSpawn(t *trial, work []string) []string { return words(t.kit.spawn, t.n, work) }

func subprocessLoop(t *trial, work []string) []string {
	return words(python3, t.kit.program("loop.py"), t.n, work)
}

func hydra(flags ...string) func(*trial, []string) []string {
	return func(t *trial, work []string) []string { return words("mpiexec.hydra", flags, "-n", t.n, work) }
}

// orterun may be run as root, on fewer cores than ranks, and binds nobody: the others do not either.
func orterun(t *trial, work []string) []string {
	return words("orterun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", t.n, work)
}

// parallel starts all at once, each with no argument of its own.
func parallel(flags ...string) func(*trial, []string) []string {
	return func(t *trial, work []string) []string {
		all := words("parallel", "--will-cite", "-j", t.n, "-N0", flags, work, ":::")
		for i := range t.n {
			all = append(all, strconv.Itoa(i))
		}
		return all
	}
}

// torchrun takes a program as it takes a script. It is to redirect nothing; but torch 1.13 does not start under Python 3.11
// without -r and -t, whose default it cannot read there, and so they name a rank that small groups do not have.
func torchrun(flags ...string) func(*trial, []string) []string {
	return func(t *trial, work []string) []string {
		if work[0] == python3 {
			work = words(work[1:], "record")
		} else {
			work = words("--no_python", work)
		}
		return words(python3, "-m", "torch.distributed.run", "--nproc_per_node", t.n, "--master_port", freePort(), "-r", "9:1", "-t", "9:1", flags, work)
	}
}

// mpSpawn calls torch.multiprocessing with the mode of the work.
func mpSpawn(method string) func(*trial, []string) []string {
	return func(t *trial, work []string) []string {
		return words(python3, t.kit.program("mpspawn.py"), method, t.n, work[2:])
	}
}

// ports is an OTP supervisor, which gives up after so many restarts.
func ports(intensity int) func(*trial, []string) []string {
	return func(t *trial, work []string) []string {
		return words("escript", t.kit.program("ports.escript"), t.n, intensity, work)
	}
}

const supervisordConfig = `[supervisord]
nodaemon=true
user=root
minfds=%d
logfile=%[2]s/supervisord.log
pidfile=%[2]s/supervisord.pid
childlogdir=%[2]s
[program:rank]
command=%[3]s %[4]s
process_name=%%(process_num)d
numprocs=%[5]d
startsecs=0
`

func supervisord(t *trial, work []string) []string {
	config := filepath.Join(t.dir, "supervisord.conf")
	text := fmt.Sprintf(supervisordConfig, 4*t.n+1024, t.dir, work[0], work[1], t.n)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		panic(err) // our own directory
	}
	return words("supervisord", "-c", config)
}

// cats is what the system allows: a pipe for each rank, and somebody who copies.
func cats(t *trial, work []string) []string {
	return words("sh", "-c", `n=$1; shift; i=0; while [ $i -lt $n ]; do "$@" | cat & i=$((i+1)); done; wait`, "sh", t.n, work)
}

// via is our messages and those of others: what sends them measures itself.
func via(kind string) func(*trial, []string) []string {
	return func(t *trial, work []string) []string { return words(t.kit.subject, work[0], kind, work[1]) }
}

func pythonPipe(t *trial, work []string) []string {
	return words(python3, t.kit.program("pipe.py"), work)
}

// among returns the contenders for which there is everything they need, and who are asked for so many ranks.
func among(all []contender, have map[string]bool, n int, quick bool) []contender {
	return slices.DeleteFunc(slices.Clone(all), func(c contender) bool {
		lacks := slices.ContainsFunc(c.needs, func(peer string) bool { return !have[peer] })
		return lacks || quick && c.slow || c.most > 0 && n > c.most
	})
}
