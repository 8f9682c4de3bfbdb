package conformance_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// The requests of FUSE that the file system of these tests knows.
const (
	fuseLookup  = 1
	fuseForget  = 2
	fuseGetattr = 3
	fuseOpen    = 14
	fuseRead    = 15
	fuseStatfs  = 17
	fuseRelease = 18
	fuseFlush   = 25
	fuseInit    = 26
	fuseAccess  = 34
	fuseForgets = 42
)

// tool is the only file of that file system.
const tool = "#!/bin/sh\nexit 0\n"

// fuse serves a file system until it has received a request of a kind, from another process than its parent unless it is
// told not to mind. From then on it takes requests and answers none: not even SIGKILL ends who waits for one.
var fuse = processtest.Helper("fuse", func() {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Mount("muster", os.Args[1], "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd))
	}
	fmt.Println("mounted:", err)
	if err != nil {
		return
	}
	last, anybody, hung := uint32(number(os.Args[2])), os.Args[3] == "anybody", false
	for request := make([]byte, 1<<18); ; {
		n, err := unix.Read(fd, request)
		if err == unix.ENODEV {
			return // unmounted
		}
		check(err)
		op := binary.LittleEndian.Uint32(request[4:])
		if op == last && !hung && (anybody || !ofParent(binary.LittleEndian.Uint32(request[32:]))) {
			hung = true
			fmt.Println("hung")
		}
		if !hung {
			answer(fd, op, request[:n])
		}
	}
})

// ofParent reports whether a thread is one of the parent's.
func ofParent(tid uint32) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", os.Getppid(), tid))
	return err == nil
}

// answer answers a request: a header of 40 bytes, with the number of the request at 8 and that of the file at 16, and a body.
func answer(fd int, op uint32, request []byte) {
	var body []any
	fault := int32(0)
	file := binary.LittleEndian.Uint64(request[16:])
	switch op {
	case fuseForget, fuseForgets:
		return
	case fuseInit:
		body = []any{uint32(7), uint32(31), [2]uint32{}, [2]uint16{}, uint32(1 << 16), uint32(1), [9]uint32{}}
	case fuseLookup:
		if fault = -int32(unix.ENOENT); string(request[40:]) == "tool\x00" {
			fault, body = 0, append([]any{uint64(2), uint64(0), [2]uint64{}, uint64(0)}, attributes(2)...)
		}
	case fuseGetattr:
		body = append([]any{uint64(0), uint64(0)}, attributes(file)...)
	case fuseOpen:
		body = []any{uint64(0), uint64(0)}
	case fuseRead:
		from := min(binary.LittleEndian.Uint64(request[48:]), uint64(len(tool)))
		body = []any{[]byte(tool[from:])}
	case fuseStatfs:
		body = []any{[5]uint64{}, uint32(4096), uint32(255), uint32(4096), [7]uint32{}}
	case fuseAccess, fuseFlush, fuseRelease:
	default:
		fault = -int32(unix.ENOSYS)
	}
	var b bytes.Buffer
	for _, v := range body {
		check(binary.Write(&b, binary.LittleEndian, v))
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(16+b.Len()))
	head = binary.LittleEndian.AppendUint32(head, uint32(fault))
	_, _ = unix.Write(fd, append(append(head, request[8:16]...), b.Bytes()...)) // ENOENT: who asked was interrupted
}

// attributes are those of the directory, file 1, and of the tool.
func attributes(file uint64) []any {
	mode, size := uint32(unix.S_IFDIR|0o755), uint64(0)
	if file == 2 {
		mode, size = unix.S_IFREG|0o755, uint64(len(tool))
	}
	return []any{file, size, uint64(1), [3]uint64{}, [3]uint32{}, mode, uint32(1), [3]uint32{}, uint32(4096), uint32(0)}
}

// A mountPoint is a mounted file system of the helper fuse.
type mountPoint struct {
	dir  string
	says *bufio.Reader
}

// mountFuse mounts one that hangs at a request of a kind, by anybody or by others than this process.
func mountFuse(t *testing.T, op int, by string) mountPoint {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	m := mountPoint{dir: t.TempDir()}
	c := processtest.Command(t, fuse, m.dir, fmt.Sprint(op), by)
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(err)
	check(cmd.Start())
	late := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { // the end of the server answers all that wait
		late.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = unix.Unmount(m.dir, unix.MNT_DETACH)
	})
	m.says = bufio.NewReader(out)
	if line := m.line(t); line != "mounted: <nil>\n" {
		t.Skipf("no FUSE here: %s", line)
	}
	return m
}

func (m mountPoint) line(t *testing.T) string {
	t.Helper()
	line, err := m.says.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// T30: a rank whose directory, program or standard input lies on a file system that stops answering hangs, and nobody else
// does: the others beat on, one of them can be started again, and the group ends with those ranks abandoned.
func TestHungFileSystem(t *testing.T) {
	processtest.Check(t)
	var mounts []mountPoint
	for _, op := range []int{fuseAccess, fuseOpen, fuseOpen} { // chdir asks for access
		mounts = append(mounts, mountFuse(t, op, "others"))
	}
	g := newGate(t)
	x := beginWith(t, context.Background(), supervisor.Spec{
		Strategy: supervisor.OneForOne{Restarts: 1},
		Ranks: []process.Command{
			{Args: []string{"/bin/true"}, Dir: mounts[0].dir},
			{Args: []string{filepath.Join(mounts[1].dir, "tool")}},
			{Args: []string{"/bin/true"}, Stdin: filepath.Join(mounts[2].dir, "tool")},
			sh(`while :; do echo beat; sleep 0.05; done`),
			sh(`[ $MUSTER_GENERATION -gt 0 ] || { exec 9<"$1"; echo here; read _ <&9; exit 3; }; echo again; exec sleep 1000`, g.path),
		},
	})
	for _, m := range mounts {
		if line := m.line(t); line != "hung\n" {
			t.Fatalf("the server of %s says %q", m.dir, line)
		}
	}
	x.line(process.ID{Rank: 4}, "here")
	g.open()
	x.line(process.ID{Rank: 4, Generation: 1}, "again")
	beats := x.beats(3)
	x.await("more beats", func() bool { return len(x.lines[process.ID{Rank: 3}]) > beats+5 })

	x.group.Kill("enough")
	start := time.Now()
	err := x.group.Wait()
	if took := time.Since(start); took > stretched(15*time.Second) || !errors.Is(err, supervisor.ErrStopped) {
		t.Errorf("%v after %v", err, took)
	}
	for rank := range mounts {
		if r := x.rank(rank); r.Outcome != supervisor.Abandoned {
			t.Errorf("rank %d: %+v", rank, r)
		}
	}
}

func (x *trial) beats(rank int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.lines[process.ID{Rank: rank}])
}

// A file system that hangs before the start is bad input: it is told within seconds, once for all ranks, and nothing starts.
func TestHungFromTheStart(t *testing.T) {
	processtest.Check(t)
	m := mountFuse(t, fuseGetattr, "anybody")
	rank := process.Command{Args: []string{"/bin/true"}, Dir: m.dir}
	start := time.Now()
	_, err := supervisor.Start(context.Background(), supervisor.Spec{Ranks: supervisor.Repeat(64, rank)})
	took := time.Since(start)
	if !errors.Is(err, supervisor.ErrSpec) || !errors.Is(err, os.ErrDeadlineExceeded) || took > stretched(15*time.Second) {
		t.Errorf("%v after %v", err, took)
	}
}
