package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }

var program = processtest.Helper("embed", main)

// A running service, and what it has said.
type running struct {
	*testing.T
	cmd *exec.Cmd
	url string

	mu   sync.Mutex
	said bytes.Buffer
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.Write(b)
}

func (r *running) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}

func begin(t *testing.T) *running {
	t.Helper()
	processtest.Check(t)
	helper := processtest.Command(t, program)
	r := &running{T: t, cmd: exec.Command(helper.Args[0], "-workers", "2")}
	r.cmd.Env = append(os.Environ(), helper.Env...)
	r.cmd.Stdout, r.cmd.Stderr = r, r
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // when it has not ended
		_ = r.cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
		if t.Failed() {
			t.Log(r.text())
		}
	})
	processtest.Eventually(t, "address", func() bool {
		if found := regexp.MustCompile(`answers at (\S+)\n`).FindStringSubmatch(r.text()); found != nil {
			r.url = found[1]
		}
		return r.url != ""
	})
	return r
}

// A status is the part of a report that the tests look at.
type status struct {
	Outcome  string
	Restarts int
	Ranks    []struct{ PID, Generation int }
}

// status waits until a group is as it should be.
func (r *running) status(name, what string, as func(s status) bool) (s status) {
	r.Helper()
	processtest.Eventually(r, what, func() bool {
		response, err := http.Get(r.url)
		if err != nil {
			r.Fatal(err)
		}
		defer response.Body.Close()
		var both map[string]status
		if err := json.NewDecoder(response.Body).Decode(&both); err != nil {
			r.Fatal(err)
		}
		s = both[name]
		return as(s)
	})
	return s
}

// workers waits until both live, with so many restarts behind them.
func (r *running) workers(restarts int) status {
	r.Helper()
	return r.status("workers", "both workers", func(s status) bool {
		return s.Restarts == restarts && s.Ranks[0].PID != 0 && s.Ranks[1].PID != 0
	})
}

func (r *running) kill(pid int) {
	r.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		r.Fatal(err)
	}
}

// end waits for the end of the service and returns its exit status.
func (r *running) end() int {
	r.Helper()
	late := time.AfterFunc(time.Minute, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	_ = r.cmd.Wait()
	return r.cmd.ProcessState.ExitCode()
}

// The job ends, a worker that dies is started again alone, and SIGTERM ends all in order.
func TestService(t *testing.T) {
	r := begin(t)
	if job := r.status("job", "end of the job", func(s status) bool { return s.Outcome == "succeeded" }); job.Restarts != 1 {
		t.Errorf("the job is %+v", job)
	}
	before := r.workers(0)
	r.kill(before.Ranks[0].PID)
	after := r.workers(1)
	if after.Ranks[1] != before.Ranks[1] || after.Ranks[0].PID == before.Ranks[0].PID {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for path, want := range map[string]int{"/job": http.StatusOK, "/nobody": http.StatusNotFound} {
		response, err := http.Get(r.url + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.end(); code != 0 || !strings.Contains(r.text(), "workers ended: interrupted (supervisor: stopped: the service ends)\n") {
		t.Errorf("exit status %d", code)
	}
}

// Workers that die too often end the service.
func TestServiceGivesUp(t *testing.T) {
	r := begin(t)
	for restarts := range 6 {
		r.kill(r.workers(restarts).Ranks[restarts%2].PID)
	}
	if code := r.end(); code != 1 || !strings.Contains(r.text(), "the workers: gave up after 5 restarts: rank 1@") {
		t.Errorf("exit status %d", code)
	}
}

func TestNoWorkers(t *testing.T) {
	if _, err := newService(0); err == nil || !strings.Contains(err.Error(), "group workers: ") {
		t.Error(err)
	}
}
