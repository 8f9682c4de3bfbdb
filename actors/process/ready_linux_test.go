package process_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// isReady reports whether a probe has found the process ready. Called with the lock held, as in await.
func (r *recorder) isReady() bool { return slices.Contains(r.probes, nil) }

// awaitReason waits until a probe has told a reason that holds a text.
func (r *recorder) awaitReason(text string) {
	r.t.Helper()
	r.await("the reason "+text, func() bool {
		return slices.ContainsFunc(r.probes, func(err error) bool { return err != nil && strings.Contains(err.Error(), text) })
	})
}

// freePort returns a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// server listens on a port after the first SIGUSR1, and is in health after the second.
var server = processtest.Helper("a slow server", func() {
	next := make(chan os.Signal, 2)
	signal.Notify(next, syscall.SIGUSR1)
	fmt.Println("waiting")
	<-next
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	var healthy atomic.Bool
	go func() { // ends with the process
		<-next
		healthy.Store(true)
	}()
	err = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !healthy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, r, "http://192.0.2.1/nobody", http.StatusFound)
	}))
	panic(err)
})

// TestReadyAddress: a server is ready once it accepts connections, or answers well; why it is not is told once for each
// reason.
func TestReadyAddress(t *testing.T) {
	start := func(t *testing.T, probe process.Probe) (life, string) {
		port := freePort(t)
		c := processtest.Command(t, server, port)
		c.Env, c.Ready = append(c.Env, "PROBE_PORT="+port), &probe
		l := launch(t, c)
		l.awaitOutput(process.Stdout, "waiting")
		return l, port
	}
	next := func(t *testing.T, l life) {
		t.Helper()
		if err := l.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("tcp", func(t *testing.T) {
		processtest.Check(t)
		l, port := start(t, process.Probe{TCP: "127.0.0.1:${PROBE_PORT}"})
		l.awaitReason("connection refused at 127.0.0.1:" + port)
		next(t, l)
		l.await("ready", l.isReady)
	})
	t.Run("http", func(t *testing.T) {
		processtest.Check(t)
		t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")
		l, port := start(t, process.Probe{HTTP: "http://localhost:$PROBE_PORT/health"})
		l.awaitReason("connection refused at http://localhost:" + port)
		next(t, l)
		l.awaitReason("status 503 Service Unavailable at http://localhost:" + port + "/health")
		next(t, l)
		l.await("ready", l.isReady)
		if n := len(l.probes); n != 3 {
			t.Errorf("told %q", l.probes)
		}
	})
}

// TestReadyNever: a process that ends before it is ready just ends, and with it all tries.
func TestReadyNever(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, probe := range []process.Probe{
		{TCP: "127.0.0.1:" + freePort(t)}, {HTTP: "http://127.0.0.1:" + freePort(t)}, {HTTP: "http://" + silent.Addr().String()},
		{Line: "never"}, {FD: true},
	} {
		t.Run(probe.String(), func(t *testing.T) {
			for _, script := range []string{"exit 3", "exec 3>&- 4>&-; exit 3", "sleep 0.2; exit 3"} {
				processtest.Check(t)
				c := shell(script)
				c.Ready = &probe
				l, exit := run(t, c)
				if exit.Code != 3 || exit.Err != nil || len(l.broken) > 0 || l.isReady() {
					t.Errorf("%s: exit %+v, broken %v, told %v", script, exit, l.broken, l.probes)
				}
				if text := fmt.Sprint(l.probes); strings.Contains(text, "cancel") {
					t.Errorf("%s: told of its own end: %s", script, text)
				}
			}
		})
	}
}

// TestReadyLine: a line of either stream says ready, whole and without its end.
func TestReadyLine(t *testing.T) {
	for _, tt := range []struct {
		name, script, line string
		ready              bool
	}{
		{"standard output", "echo starting; echo serving on 8000", "^serving on [0-9]+$", true},
		{"standard error", "echo starting; echo serving >&2", "serving", true},
		{"both", "echo serving; echo serving >&2; echo serving", "serving", true},
		{"carriage return", `printf 'serving\r\n'`, "serving$", true},
		{"the last line, unfinished", "printf serving", "serving", true},
		{"over two lines", `printf 'ser\nving\n'`, "ser.*ving", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			processtest.Check(t)
			c := shell(tt.script)
			c.Ready = &process.Probe{Line: tt.line}
			l, _ := run(t, c)
			if l.isReady() != tt.ready || !strings.Contains(fmt.Sprint(l.probes), "[no line of its output matches") {
				t.Errorf("told %v\n%s", l.probes, l.dump())
			}
		})
	}
}

// TestReadyDescriptor: a newline says ready, and a close without one that it will never come.
func TestReadyDescriptor(t *testing.T) {
	notice := func(script string, plain bool) process.Command {
		c := shell(script)
		c.Ready, c.Plain = &process.Probe{FD: true}, plain
		return c
	}
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("a newline, plain %v", plain), func(t *testing.T) {
			processtest.Check(t)
			l := launch(t, notice(`printf 'almost' >&$MUSTER_READY_FD; printf '\n' >&$MUSTER_READY_FD; sleep 1000`, plain))
			l.await("ready", l.isReady)
		})
	}
	t.Run("more than a newline", func(t *testing.T) {
		processtest.Check(t)
		l, exit := run(t, notice("for i in 1 2 3 4 5 6 7 8 9; do echo $i >&$MUSTER_READY_FD; done", false))
		if !exit.Success() || !l.isReady() {
			t.Errorf("exit %+v, told %v, %s", exit, l.probes, l.dump())
		}
	})
	t.Run("closed", func(t *testing.T) {
		processtest.Check(t)
		l := launch(t, notice(`trap 'exit 0' USR1; exec 4>&-; while :; do sleep 0.05; done`, false))
		l.awaitReason("nothing was written to its readiness descriptor yet")
		l.await("a breach", func() bool { return len(l.broken) > 0 })
		wantErrorIs(t, l.broken[0], process.ErrNotReady)
		if err := l.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		exit := l.awaitExit()
		wantErrorIs(t, exit.Err, process.ErrNotReady)
		if l.isReady() {
			t.Errorf("told %v", l.probes)
		}
	})
	t.Run("not that of a supervisor above", func(t *testing.T) {
		processtest.Check(t)
		t.Setenv("MUSTER_READY_FD", "9")
		if l, _ := run(t, shell("echo $MUSTER_READY_FD.")); l.stdout() != ".\n" {
			t.Error(l.dump())
		}
	})
}

// TestBadProbe: what is wrong with a probe is said before a process starts.
func TestBadProbe(t *testing.T) {
	for _, tt := range []struct {
		probe process.Probe
		says  string
	}{
		{process.Probe{}, "it has 0 of TCP, HTTP, Line and FD"},
		{process.Probe{TCP: "a:1", FD: true}, "it has 2 of"},
		{process.Probe{TCP: "8000"}, `TCP "8000": write host:port`},
		{process.Probe{TCP: "localhost:"}, "write host:port"},
		{process.Probe{HTTP: "localhost:8000"}, "write a URL"},
		{process.Probe{HTTP: "ftp://localhost/"}, "write a URL"},
		{process.Probe{HTTP: "http://"}, "write a URL"},
		{process.Probe{HTTP: "http://a:b/%zz"}, "write a URL"},
		{process.Probe{Line: "("}, "missing closing )"},
	} {
		c := shell("true")
		c.Ready = &tt.probe
		err := launcher.Check(c)
		if wantErrorIs(t, err, process.ErrProbe); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v, want %s", tt.probe, err, tt.says)
		}
	}
	t.Run("a variable that is not there", func(t *testing.T) {
		processtest.Check(t)
		c := shell("true")
		c.Ready = &process.Probe{TCP: "$NO_HOST:$NO_PORT"}
		if err := launcher.Check(c); err != nil { // which does not know what else the command's environment will have
			t.Error(err)
		}
		known := c
		known.Env = []string{"NO_HOST=localhost", "NO_PORT=1"}
		preflight := launcher.(process.Preflighter).Preflight
		if err := preflight([]process.Command{shell("true"), known}); err != nil {
			t.Error(err)
		}
		_, launched := launcher.Launch(process.ID{}, c, newRecorder(t))
		for _, err := range []error{launched, preflight([]process.Command{known, c, c})} {
			if wantErrorIs(t, err, process.ErrProbe); err == nil || strings.Count(err.Error(), "has no $NO_HOST, no $NO_PORT") != 1 {
				t.Error(err)
			}
		}
	})
	for _, beat := range []time.Duration{-1, time.Millisecond - 1} {
		c := shell("true")
		c.Heartbeat = beat
		if err := launcher.Check(c); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("a heartbeat of %v: %v", beat, err)
		}
	}
}
