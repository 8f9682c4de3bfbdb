package stage

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

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
	err := perform(os.Args[1], os.Args[2], os.Args[3:])
	fmt.Fprintf(os.Stderr, "muster: cannot set the process up: %v\n", err)
	os.Exit(exitCannot)
}

// perform needs next to no memory after the limits are set, which may leave it none: this Go program already has more
// address space than many a limit allows.
func perform(settings, path string, argv []string) error {
	makeRoom()
	var p Plan
	if err := json.Unmarshal([]byte(settings), &p); err != nil {
		return err
	}
	defaultSignals()
	if p.Quiet > 0 {
		_ = unix.Close(p.Quiet)
	}
	if err := p.carryOut(); err != nil {
		return err
	}
	env := os.Environ()
	if p.As != nil {
		env = unveil(env)
	}
	return &os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, argv, env)}
}

// defaultSignals undoes what the Go runtime has made of signals, but for its own: one that it would ignore, such as
// SIGUSR1, ends the process as it would end the program in its first moment. What was ignored before stays so.
func defaultSignals() {
	var none, now [32]uint64 // more than any kernel's struct sigaction, which begins with the handler
	for sig := uintptr(1); sig <= 64; sig++ {
		if 32 <= sig && sig <= 34 { // by which the runtime, or the C library, reaches its threads
			continue
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&now)), 8, 0, 0)
		if errno == 0 && uint(now[0]) > 1 { // neither SIG_DFL nor SIG_IGN
			_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
		}
	}
}

// Wrap returns what to execute for a program to begin with settings: itself when there are none.
func Wrap(path string, argv []string, p Plan) (string, []string, error) {
	if p.Empty() {
		return path, argv, nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		return "", nil, err
	}
	return "/proc/self/exe", append([]string{name, string(text), path}, argv...), nil
}

// veil stands before each variable that is not for the stage.
const veil = "_"

// Environment returns what to execute the stage with, for a program to have env. A stage that becomes another user is ours
// until then: what that user may have put there, such as LD_PRELOAD or GODEBUG, must not come to act in it. Only variables
// with the prefix plain, by which a process is recognised from outside, stay as they are.
func Environment(env []string, plain string, p Plan) []string {
	if p.As == nil {
		return env
	}
	veiled := make([]string, len(env))
	for i, kv := range env {
		if veiled[i] = kv; plain == "" || !strings.HasPrefix(kv, plain) {
			veiled[i] = veil + kv
		}
	}
	return veiled
}

func unveil(env []string) []string {
	for i, kv := range env {
		env[i] = strings.TrimPrefix(kv, veil)
	}
	return env
}

// makeRoom leaves free memory in the heap, so that what is needed after the limits is no matter of the system's.
func makeRoom() {
	runtime.KeepAlive(make([]byte, 8<<20))
	runtime.GC()
	debug.SetGCPercent(-1)
}

// carryOut makes the settings as who the supervisor is, and then becomes the other user. Only the number of processes is
// set after that: it is the other user's, who may have more of them, and a change to a user above its limit fails at exec.
func (p Plan) carryOut() error {
	nproc, limited := p.Limits["nproc"]
	delete(p.Limits, "nproc")
	if err := p.apply(); err != nil {
		return err
	}
	if p.As != nil {
		if err := become(*p.As); err != nil {
			return fmt.Errorf("user %d, group %d: %w", p.As.UID, p.As.GID, err)
		}
	}
	if limited {
		if err := setLimit("nproc", nproc); err != nil {
			return err
		}
	}
	if p.Dir != "" {
		if err := os.Chdir(p.Dir); err != nil {
			return fmt.Errorf("the working directory: %w", err)
		}
	}
	if p.Stdin == "" {
		return nil
	}
	return openStdin(p.Stdin)
}

// become changes groups and user. That takes the parent-death signal off, which is put on again; a parent that has died in
// between is not ours any more.
func become(who Identity) error {
	parent := os.Getppid()
	var signal int32
	if err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	groups := make([]int, len(who.Groups))
	for i, g := range who.Groups {
		groups[i] = int(g)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return os.NewSyscallError("setgroups", err)
	}
	if err := syscall.Setresgid(int(who.GID), int(who.GID), int(who.GID)); err != nil {
		return os.NewSyscallError("setresgid", err)
	}
	if err := syscall.Setresuid(int(who.UID), int(who.UID), int(who.UID)); err != nil {
		return os.NewSyscallError("setresuid", err)
	}
	if signal == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(signal), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if os.Getppid() != parent {
		os.Exit(exitCannot)
	}
	return nil
}

func (s Settings) apply() error {
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
		if err := setLimit(limit, s.Limits[limit]); err != nil {
			return err
		}
	}
	return nil
}

// setLimit does not call unix.Prlimit: the runtime puts its own idea of nofile back at exec unless syscall knows better.
func setLimit(name string, l Limit) error {
	if err := syscall.Setrlimit(limits[name], &syscall.Rlimit{Cur: l.Soft, Max: l.Hard}); err != nil {
		return fmt.Errorf("limit %s %v: %w", name, l, err)
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
	if len(s.CPUs) > 0 && unix.SchedGetaffinity(0, &own) == nil {
		foreign := slices.DeleteFunc(slices.Clone(s.CPUs), func(cpu int) bool { return cpu < 0 || own.IsSet(cpu) })
		switch others := len(foreign) - 1; {
		case others > 0:
			errs = append(errs, fmt.Errorf("cpu %d and %d more: this process may not use them (it may use %d processors)", foreign[0], others, own.Count()))
		case others == 0:
			errs = append(errs, fmt.Errorf("cpu %d: this process may not use it (it may use %d processors)", foreign[0], own.Count()))
		}
	}
	if s.Nice != nil && *s.Nice < nicest() {
		errs = append(errs, fmt.Errorf("nice %d: without CAP_SYS_NICE it is %d at the lowest", *s.Nice, nicest()))
	}
	if len(s.Nodes) > 0 {
		errs = append(errs, checkNodes(s.Nodes)...)
	}
	for _, limit := range slices.Sorted(maps.Keys(s.Limits)) {
		if resource, ok := limits[limit]; ok {
			if most, why := ceiling(resource); s.Limits[limit].Hard > most {
				errs = append(errs, fmt.Errorf("limit %s %v: %s is %s", limit, s.Limits[limit], why, bound(most)))
			}
		}
	}
	return errs
}

func checkNodes(wanted []int) (errs []error) {
	nodes := memoryNodes()
	for _, node := range wanted {
		if nodes != nil && !slices.Contains(nodes, node) {
			errs = append(errs, fmt.Errorf("numa node %d: this machine has memory at %v", node, nodes))
		}
	}
	return errs
}

// processes returns the hard limit of their number, if it is one for who the process becomes.
func (p Plan) processes() (uint64, bool) {
	var now syscall.Rlimit
	if p.As == nil || p.As.UID == 0 || syscall.Getrlimit(unix.RLIMIT_NPROC, &now) != nil {
		return 0, false
	}
	return now.Max, true
}

// capable reports whether this process has a capability. Root in a container may be without.
func capable(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData // of 32 capabilities each
	return unix.Capget(&header, &have[0]) == nil && have[capability/32].Effective&(1<<(capability%32)) != 0
}

// nicest returns the lowest priority value that this process may take.
func nicest() int {
	var limit syscall.Rlimit
	now, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 minus the value, as the limit
	if capable(unix.CAP_SYS_NICE) || err != nil || syscall.Getrlimit(unix.RLIMIT_NICE, &limit) != nil {
		return -20
	}
	return 20 - max(now, int(min(limit.Cur, 40)))
}

// ceiling is the highest value that a limit can be given, and what makes it so.
func ceiling(resource int) (most uint64, why string) {
	if !capable(unix.CAP_SYS_RESOURCE) {
		var now syscall.Rlimit
		if syscall.Getrlimit(resource, &now) == nil {
			return now.Max, "the hard limit, without CAP_SYS_RESOURCE,"
		}
	}
	if resource == unix.RLIMIT_NOFILE {
		if b, err := os.ReadFile("/proc/sys/fs/nr_open"); err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
				return n, "fs.nr_open"
			}
		}
	}
	return Unlimited, ""
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
