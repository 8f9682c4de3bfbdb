package stage

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// name is argv[0] of a process on the stage: no program is called like this.
const name = "muster-stage"

const exitCannot = 126

// init is the main of a process on the stage: argv is the name, the settings, the program, and the program's own argv.
func init() {
	if os.Args[0] != name || len(os.Args) < 4 {
		return
	}
	runtime.LockOSThread() // affinity, priority and memory policy are the thread's, and this thread becomes the process
	err := become(os.Args[1], os.Args[2], os.Args[3:])
	fmt.Fprintf(os.Stderr, "muster: cannot set the process up: %v\n", err)
	os.Exit(exitCannot)
}

// become needs next to no memory after the limits are set, which may leave it none: this Go program already has more
// address space than many a limit allows.
func become(settings, path string, argv []string) error {
	makeRoom()
	var s Settings
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return err
	}
	if err := s.apply(); err != nil {
		return err
	}
	return &os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, argv, os.Environ())}
}

// Wrap returns what to execute for a program to begin with settings: itself when there are none.
func Wrap(path string, argv []string, s Settings) (string, []string, error) {
	if s.Empty() {
		return path, argv, nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return "", nil, err
	}
	return "/proc/self/exe", append([]string{name, string(text), path}, argv...), nil
}

// makeRoom leaves free memory in the heap, so that what is needed after the limits is no matter of the system's.
func makeRoom() {
	runtime.KeepAlive(make([]byte, 8<<20))
	runtime.GC()
	debug.SetGCPercent(-1)
}

func (s Settings) apply() error {
	if s.Stdin != "" {
		if err := openStdin(s.Stdin); err != nil {
			return err
		}
	}
	if len(s.CPUs) > 0 {
		mask := cpuSet(s.CPUs)
		if err := unix.SchedSetaffinity(0, &mask); err != nil {
			return fmt.Errorf("cpus %v: %w", s.CPUs, err)
		}
	}
	if len(s.Nodes) > 0 {
		mask := nodeSet(s.Nodes)
		if err := unix.SetMemPolicy(unix.MPOL_BIND, &mask); err != nil {
			return fmt.Errorf("numa nodes %v: %w", s.Nodes, err)
		}
	}
	if s.Nice != nil {
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, *s.Nice); err != nil {
			return fmt.Errorf("nice %d: %w", *s.Nice, err)
		}
	}
	if s.OOMScoreAdj != nil {
		text := []byte(strconv.Itoa(*s.OOMScoreAdj))
		if err := os.WriteFile("/proc/self/oom_score_adj", text, 0); err != nil {
			return fmt.Errorf("oom_score_adj %d: %w", *s.OOMScoreAdj, err)
		}
	}
	for _, limit := range slices.Sorted(maps.Keys(s.Limits)) {
		n := s.Limits[limit]
		// Not unix.Prlimit: the runtime puts its own idea of nofile back at exec unless syscall knows better.
		if err := syscall.Setrlimit(limits[limit], &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("limit %s %d: %w", limit, n, err)
		}
	}
	return nil
}

func openStdin(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) // not by os, whose poller is not for the program
	for err == unix.EINTR {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return &os.PathError{Op: "open standard input", Path: path, Err: err}
	}
	return unix.Dup2(fd, 0)
}

func cpuSet(cpus []int) (set unix.CPUSet) {
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return set
}

func nodeSet(nodes []int) (set unix.CPUSet) { return cpuSet(nodes) }

// check finds processors that the supervisor may not use, nodes that are not there, and limits above what it may set.
func (s Settings) check() (errs []error) {
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err == nil {
		for _, cpu := range s.CPUs {
			if cpu >= 0 && !own.IsSet(cpu) {
				errs = append(errs, fmt.Errorf("cpu %d: this process may not use it (it may use %d processors)", cpu, own.Count()))
			}
		}
	}
	if nodes := memoryNodes(); nodes != nil {
		for _, node := range s.Nodes {
			if !slices.Contains(nodes, node) {
				errs = append(errs, fmt.Errorf("numa node %d: this machine has memory at %v", node, nodes))
			}
		}
	}
	for _, limit := range slices.Sorted(maps.Keys(s.Limits)) {
		if resource, ok := limits[limit]; ok {
			if most, why := ceiling(resource); s.Limits[limit] > most {
				errs = append(errs, fmt.Errorf("limit %s %d: %s is %d", limit, s.Limits[limit], why, most))
			}
		}
	}
	return errs
}

// ceiling is the highest value that a limit can be given, and what makes it so.
func ceiling(resource int) (most uint64, why string) {
	if os.Geteuid() == 0 {
		if resource == unix.RLIMIT_NOFILE {
			if b, err := os.ReadFile("/proc/sys/fs/nr_open"); err == nil {
				if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
					return n, "fs.nr_open"
				}
			}
		}
		return math.MaxUint64, ""
	}
	var now syscall.Rlimit
	if syscall.Getrlimit(resource, &now) != nil {
		return math.MaxUint64, ""
	}
	return now.Max, "the hard limit"
}

// memoryNodes lists the NUMA nodes that have memory, nil when that is not known: "0-1,4".
func memoryNodes() (nodes []int) {
	b, err := os.ReadFile("/sys/devices/system/node/has_memory")
	if err != nil {
		return nil
	}
	for _, span := range strings.Split(strings.TrimSpace(string(b)), ",") {
		first, last, found := strings.Cut(span, "-")
		from, err := strconv.Atoi(first)
		to := from
		if found && err == nil {
			to, err = strconv.Atoi(last)
		}
		if err != nil || to-from > 1<<16 {
			return nil
		}
		for n := from; n <= to; n++ {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

var limits = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO, "rttime": unix.RLIMIT_RTTIME,
	"sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

func known(limit string) bool { _, ok := limits[limit]; return ok }

func names() []string { return slices.Sorted(maps.Keys(limits)) }
