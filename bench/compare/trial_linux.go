package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A trial is one run of one contender: a directory, the pipe on which everybody says what happens, and the gate behind which
// ranks wait.
type trial struct {
	kit   *kit
	n     int
	dir   string
	word  string // what a rank that fails says, so that its exception is known again
	marks *marks
	gate  *os.File
	began int64 // of the contender
	ended int64 // of the command, once done is closed
	exit  error
	done  chan struct{}
	cmd   *exec.Cmd
}

func newTrial(k *kit, n int) (*trial, error) {
	dir, err := os.MkdirTemp(k.dir, "trial-")
	if err != nil {
		return nil, err
	}
	t := &trial{kit: k, n: n, dir: dir, word: "word-" + filepath.Base(dir)}
	var pipe *os.File
	if pipe, err = fifo(t.path("marks")); err == nil {
		t.marks = &marks{file: pipe}
		t.gate, err = fifo(t.path("gate"))
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *trial) path(name string) string { return filepath.Join(t.dir, name) }

// fifo makes a pipe with a name, large enough that nobody who writes to it ever waits.
func fifo(path string) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("mkfifo: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	_, _ = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, 1<<20) // the usual 64 KiB hold a thousand ranks' marks, too
	return f, unix.SetNonblock(int(f.Fd()), true)
}

// start starts the contender. Its standard output goes to the file, or else with the rest to one of the trial's.
func (t *trial) start(c contender, work []string, stdout *os.File) error {
	argv := c.argv(t, work)
	log, err := os.Create(t.path("log"))
	if err != nil {
		return err
	}
	defer log.Close()
	t.cmd = exec.Command(argv[0], argv[1:]...)
	t.cmd.Stdout, t.cmd.Stderr, t.cmd.Dir = log, log, t.dir
	if stdout != nil {
		t.cmd.Stdout = stdout
	}
	t.cmd.Env = append(os.Environ(), "COMPARE_MARKS="+t.path("marks"), "COMPARE_GATE="+t.path("gate"), "COMPARE_WORD="+t.word, "OMP_NUM_THREADS=1")
	t.cmd.Env = append(t.cmd.Env, c.env...)
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.done = make(chan struct{})
	t.began = clock()
	if err := t.cmd.Start(); err != nil {
		t.cmd = nil
		return err
	}
	go func() { // ends with the command, which end kills at the latest
		t.exit = t.cmd.Wait()
		t.ended = clock()
		close(t.done)
	}()
	return nil
}

// wait waits for the command, and returns how it ended.
func (t *trial) wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.explain(t.exit)
	case <-ctx.Done():
		return t.explain(context.Cause(ctx))
	}
}

// explain adds what the contender has printed last.
func (t *trial) explain(err error) error {
	if err == nil {
		return nil
	}
	b, _ := os.ReadFile(t.path("log"))
	said := bytes.TrimSpace(b[max(0, len(b)-2000):])
	if len(said) == 0 {
		return err
	}
	return fmt.Errorf("%w\n%s", err, said)
}

// said reports whether the contender has printed a text.
func (t *trial) said(text string) bool {
	b, _ := os.ReadFile(t.path("log"))
	return bytes.Contains(b, []byte(text))
}

// failed returns an error unless the command has ended with a status that is not success.
func (t *trial) failed() error {
	var exit *exec.ExitError
	if !errors.As(t.exit, &exit) {
		return t.explain(fmt.Errorf("it ended well, though a rank has failed: %v", t.exit))
	}
	return nil
}

// quitTime is how long a command may take to end when it is asked to, so that it can clear up after itself.
const quitTime = 10 * time.Second

// end ends the command and whatever it has started.
func (t *trial) end() error {
	t.quit()
	return errors.Join(sweep(), t.close())
}

// quit asks the command to end, and then ends it.
func (t *trial) quit() {
	if t.cmd == nil {
		return
	}
	_ = t.cmd.Process.Signal(unix.SIGTERM)
	late := time.NewTimer(quitTime)
	defer late.Stop()
	select {
	case <-t.done:
	case <-late.C:
		_ = t.cmd.Process.Kill()
		<-t.done
	}
}

func (t *trial) close() error {
	if t.marks != nil {
		t.marks.file.Close()
	}
	if t.gate != nil {
		t.gate.Close()
	}
	return os.RemoveAll(t.dir)
}

// A mark is what somebody has said: see programs/rank.c.
type mark struct {
	what   string
	pid    int
	number int64
}

type marks struct {
	file *os.File
	rest []byte
	seen []mark
}

// await reads until n of a kind have been said, and returns those. It ends when the command does, and with the context.
func (m *marks) await(ctx context.Context, t *trial, what string, n int) ([]mark, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with await
		select {
		case <-t.done:
			cancel(errors.New("the command has ended"))
		case <-ctx.Done():
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = m.file.SetReadDeadline(time.Unix(1, 0)) })()
	for m.count(what) < n {
		if err := m.read(); err != nil {
			m.drain()
			if m.count(what) >= n {
				break
			}
			return nil, t.explain(fmt.Errorf("%d of %d said %q: %w", m.count(what), n, what, context.Cause(ctx)))
		}
	}
	return m.all(what), nil
}

func (m *marks) read() error {
	buf := make([]byte, 64<<10)
	n, err := m.file.Read(buf)
	m.take(buf[:n])
	return err
}

// drain reads what is there.
func (m *marks) drain() {
	conn, err := m.file.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	_ = conn.Control(func(fd uintptr) {
		for {
			n, err := unix.Read(int(fd), buf)
			if n <= 0 || err != nil {
				return
			}
			m.take(buf[:n])
		}
	})
}

func (m *marks) take(b []byte) {
	m.rest = append(m.rest, b...)
	for {
		line, rest, ok := bytes.Cut(m.rest, []byte("\n"))
		if !ok {
			return
		}
		m.rest = rest
		var got mark
		if _, err := fmt.Sscanf(string(line), "%s %d %d", &got.what, &got.pid, &got.number); err != nil {
			got.what = fmt.Sprintf("nonsense: %q", line)
		}
		m.seen = append(m.seen, got)
	}
}

func (m *marks) all(what string) []mark {
	return slices.DeleteFunc(slices.Clone(m.seen), func(x mark) bool { return x.what != what })
}

func (m *marks) count(what string) int { return len(m.all(what)) }

// pids are those of some marks, each once.
func pids(marks []mark) []int {
	var all []int
	for _, m := range marks {
		all = append(all, m.pid)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// clock is what the marks have: the same in all processes.
func clock() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // there is no system without
	}
	return ts.Nano()
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }

// freePort is one that nobody listens on.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 29500 // torch's own
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func join(argv []string) string { return strings.Join(argv, " ") }
