package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
)

func TestMain(m *testing.M) { processtest.Main(m) }

// patience is longer than anything takes on a machine that is busy with something else.
const patience = 60 * time.Second

// A server is an etcd of the test's own: one process of ours, so that it ends with us whatever happens.
type server struct {
	t       *testing.T
	dir     string
	url     string // for clients
	flags   []string
	process process.Process
	log     *log
}

// serve starts an etcd on free ports, with an empty directory; with TLS if there are flags, which are those of TLS.
func serve(t *testing.T, flags ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("there is no etcd here (apt-get install etcd-server):", err)
	}
	ports := freePorts(t, 2)
	url, peer := "http://"+ports[0], "http://"+ports[1]
	if len(flags) > 0 {
		url = "https://" + ports[0]
	}
	s := &server{t: t, dir: t.TempDir(), url: url, flags: append([]string{
		"--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
	}, flags...)}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("etcd said:\n%s", s.log.text())
		}
	})
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.log = &log{exited: make(chan struct{})}
	var err error
	s.process, err = process.Local().Launch(process.ID{}, process.Command{
		Args:  append([]string{"etcd", "--data-dir", s.dir, "--logger", "zap"}, s.flags...),
		Plain: true,
	}, s.log)
	if err != nil {
		s.t.Fatal(err)
	}
}

// kill is the crash of the server.
func (s *server) kill() {
	s.process.Kill()
	<-s.log.exited
}

// stall lets the server stand still, as a machine does that swaps, until the function that it returns is called.
func (s *server) stall() (wake func()) {
	s.signal(syscall.SIGSTOP)
	return func() { s.signal(syscall.SIGCONT) }
}

func (s *server) signal(sig syscall.Signal) {
	if err := syscall.Kill(s.process.PID(), sig); err != nil {
		s.t.Errorf("%v to etcd: %v", sig, err)
	}
}

// client returns a client of the test's own, once the server answers.
func (s *server) client() *clientv3.Client {
	s.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.url}, Logger: zap.NewNop()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	processtest.Eventually(s.t, "an answer of etcd", func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, "/")
		return err == nil
	})
	return c
}

// A log is what an etcd says.
type log struct {
	mu     sync.Mutex
	buffer bytes.Buffer
	exited chan struct{}
}

func (*log) Message(transport.Message) {}
func (*log) Broken(error)              {}
func (*log) Probed(error)              {}
func (l *log) Exited(process.Exit)     { close(l.exited) }

func (l *log) Output(_ process.Stream, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffer.Write(b)
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(l.buffer.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// freePorts returns addresses on the loopback that nobody listened on a moment ago.
func freePorts(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port))
	}
	return addrs
}
