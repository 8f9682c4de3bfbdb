package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/watchdog"
)

// A tree is the cgroup v2 directory under which the leaves of this program's processes stand: a sibling of nothing, a
// child of our own cgroup, so that whoever delegated that to us (systemd, a container) need not know.
type tree struct {
	dir     string
	next    atomic.Int64
	opening sync.Mutex
}

const treePrefix = "muster-"

// planted numbers the trees of this program.
var planted atomic.Int64

// plantTree creates the tree and removes those of dead programs. It returns why there can be none: no cgroup v2, not
// writable, a kernel before 5.14. The place is announced first: whoever removes the tree after us must know of it before
// there is one.
func plantTree(announce func(dir string)) (*tree, error) {
	own, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	sweepDeadTrees(own)
	start, err := startTime(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("process: cgroup: %w", err)
	}
	name := fmt.Sprintf("%s%d-%d-%d-%d", treePrefix, os.Getpid(), start, planted.Add(1), namespace())
	dir := filepath.Join(own, name)
	announce(dir)
	if err := mkdir(dir, seamTree); err != nil {
		return nil, fmt.Errorf("process: cgroup: %w", err)
	}
	if err := unix.Access(filepath.Join(dir, "cgroup.kill"), unix.W_OK); err != nil {
		_ = os.Remove(dir)
		return nil, fmt.Errorf("process: cgroup.kill (Linux 5.14): %w", err)
	}
	return &tree{dir: dir}, nil
}

// mayPlant reports whether it is worth while to try plantTree. It leaves no trace: nobody would remove that for a program
// which is killed before it has a watchdog.
func mayPlant() bool {
	own, err := ownCgroup()
	return err == nil && unix.Access(own, unix.W_OK) == nil
}

// remove takes the tree down. It is empty when every process has ended; if it is not, it stays for the next sweep.
func (t *tree) remove() error {
	if err := fault(seamTreeRemove); err != nil {
		return err
	}
	return watchdog.Remove(t.dir)
}

// ownCgroup returns our own cgroup in the v2 hierarchy, which may be mounted alone or beside v1 controllers.
func ownCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("process: cgroup: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("process: cgroup: %w", err)
	}
	root, point, ok := cgroup2Mount(string(mounts))
	path, in := cgroup2Path(string(own))
	if !ok || !in {
		return "", fmt.Errorf("process: no cgroup v2 hierarchy: %w", errors.ErrUnsupported)
	}
	below, err := filepath.Rel(root, path)
	if err != nil || strings.HasPrefix(below, "..") {
		return "", fmt.Errorf("process: our cgroup %s is not below the mounted %s: %w", path, root, errors.ErrUnsupported)
	}
	return strings.TrimSuffix(filepath.Join(point, below), "/"+home), nil // home is below what is ours
}

// cgroup2Mount finds the mounted part of the hierarchy and where: fields 4 and 5 of a mountinfo line, whose file system
// type follows a lone dash.
func cgroup2Mount(mountinfo string) (root, point string, ok bool) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		fields, types := strings.Fields(before), strings.Fields(after)
		if len(fields) > 4 && len(types) > 0 && types[0] == "cgroup2" {
			return fields[3], fields[4], true
		}
	}
	return "", "", false
}

func cgroup2Path(cgroup string) (string, bool) {
	for line := range strings.Lines(cgroup) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(path, "\n"), true
		}
	}
	return "", false
}

// sweepDeadTrees ends and removes what programs left behind that were killed together with their watchdog. The name of a
// tree holds pid and start time of its program: that pid living at another time is somebody else. It also holds the
// namespace of the pid: in another one we do not see who lives.
func sweepDeadTrees(own string) {
	trees, _ := filepath.Glob(filepath.Join(own, treePrefix+"*"))
	for _, dir := range trees {
		var pid int
		var start, number, place uint64
		_, err := fmt.Sscanf(filepath.Base(dir), treePrefix+"%d-%d-%d-%d", &pid, &start, &number, &place)
		if err != nil || place != namespace() {
			continue
		}
		if now, err := startTime(pid); err == nil && now != start { // not known is not dead
			_ = watchdog.KillCgroup(dir)
			_ = watchdog.Remove(dir) // what is still dying is left to the next sweep
		}
	}
}

// namespace names the one in which our pids are numbers of processes; 0 when that is not known.
func namespace() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
}

// startTime returns when a process began, in clock ticks since the machine did: field 22 of stat. 0 means no process, or
// one that has ended and waits for a parent that may never look. Its error is of ours, such as one descriptor too many,
// and says nothing of the process.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("process: the status of pid %d is %q", pid, b)
	}
	if isZombie(string(fields[0]), string(fields[17])) {
		return 0, nil
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// A leaf is the cgroup of one process and all its descendants: nobody leaves it by a fork, a new session or a new group.
type leaf struct {
	dir    string
	handle *os.File // of the directory, for clone; closed once the process exists
	events *os.File // cgroup.events, registered with the poller
}

func (t *tree) leaf() (*leaf, error) {
	l := &leaf{dir: filepath.Join(t.dir, strconv.FormatInt(t.next.Add(1), 10))}
	if err := mkdir(l.dir, seamLeaf); err != nil {
		return nil, fmt.Errorf("process: cgroup: %w", err)
	}
	var err error
	if l.handle, err = openNow(l.dir, unix.O_DIRECTORY|unix.O_RDONLY); err == nil {
		l.events, err = openNow(filepath.Join(l.dir, "cgroup.events"), unix.O_RDONLY|unix.O_NONBLOCK)
	}
	if err != nil {
		l.remove()
		return nil, fmt.Errorf("process: cgroup: %w", err)
	}
	return l, nil
}

func mkdir(dir string, s seam) error {
	if err := fault(s); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o755)
}

// openNow opens with exactly these flags; a file that is non-blocking goes to the poller.
func openNow(path string, flags int) (*os.File, error) {
	if err := fault(seamLeafOpen); err != nil {
		return nil, err
	}
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// born closes what only the birth needed.
func (l *leaf) born() {
	l.handle.Close()
	l.handle = nil
}

// kill ends everything in the leaf at once, forks in flight included.
func (l *leaf) kill() error {
	if err := fault(seamLeafKill); err != nil {
		return err
	}
	return watchdog.KillCgroup(l.dir)
}

// awaitEmpty waits until no living process is in the leaf, or until the read deadline of events. cgroup.events has a poll
// method that reports each change.
func (l *leaf) awaitEmpty() error {
	conn, err := l.events.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = conn.Read(func(fd uintptr) bool {
		var populated bool
		populated, result = readPopulated(int(fd))
		return !populated || result != nil
	})
	if err != nil {
		return err
	}
	return result
}

func (l *leaf) populated() bool {
	conn, err := l.events.SyscallConn()
	if err != nil {
		return false
	}
	populated := false
	_ = conn.Control(func(fd uintptr) { populated, _ = readPopulated(int(fd)) })
	return populated
}

func readPopulated(fd int) (bool, error) {
	var buf [128]byte
	n, err := unix.Pread(fd, buf[:], 0)
	if err != nil {
		return false, os.NewSyscallError("read cgroup.events", err)
	}
	return bytes.Contains(buf[:n], []byte("populated 1")), nil
}

// members lists the processes in the leaf.
func (l *leaf) members() []Leftover {
	var left []Leftover
	for _, pid := range watchdog.Members(l.dir) {
		if comm, _, alive := stat(strconv.Itoa(pid)); alive {
			left = append(left, Leftover{PID: pid, Name: comm})
		}
	}
	return left
}

// signal signals a process that is in the leaf.
func (l *leaf) signal(pid int, sig Signal) { _ = watchdog.SignalMember(l.dir, pid, sig) }

// remove closes the leaf and removes its directory. A zombie that nobody has reaped yet keeps it: the tree takes it along.
func (l *leaf) remove() {
	for _, f := range []*os.File{l.handle, l.events} {
		if f != nil {
			f.Close()
		}
	}
	if fault(seamLeafRemove) == nil {
		_ = watchdog.Remove(l.dir)
	}
}
