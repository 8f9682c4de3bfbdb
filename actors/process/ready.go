package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
)

const (
	firstProbe = 10 * time.Millisecond // between the first two tries of a probe; each next wait is twice as long
	lastProbe  = time.Second           // and at most this
	probeTime  = 2 * time.Second       // of one try
	// closeTime is how long a process whose readiness descriptor is closed has to be gone: its exit closes it, too.
	closeTime = time.Second
)

// ErrNotReady is the condition of a process that can no longer say that it is ready.
var ErrNotReady = errors.New("process: it closed its readiness descriptor before it was ready: write a newline to it first")

// A readiness finds out when a process is ready and tells the observer, each time in another way, why it is not.
type readiness struct {
	probe  Probe // without variables
	line   *regexp.Regexp
	notice *os.File // our end of the descriptor

	gone context.Context // done when the process is
	end  context.CancelFunc

	over   atomic.Bool // ready was told
	mu     sync.Mutex  // held while the observer is told
	before string      // what was told last
	tell   func(error)
}

// newReadiness returns nil for a command without a probe.
func newReadiness(c Command, env []string, notice *os.File, tell func(error)) (*readiness, error) {
	if c.Ready == nil {
		return nil, nil
	}
	r := &readiness{notice: notice, tell: tell}
	var err error
	if r.probe, err = c.Ready.in(env); err != nil {
		return nil, err
	}
	if r.line, err = regexp.Compile(r.probe.Line); err != nil {
		return nil, err
	}
	r.gone, r.end = context.WithCancel(context.Background())
	return r, nil
}

// set tells the observer nil, once and as the last, or why the process is not ready, each text once in a row.
func (r *readiness) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over.Load() || err != nil && err.Error() == r.before {
		return
	}
	if err == nil {
		r.over.Store(true)
	} else {
		r.before = err.Error()
	}
	r.tell(err)
}

// startProbe begins what has to be done besides looking at lines: on a goroutine that ends with the process.
func (p *localProcess) startProbe() {
	r := p.ready
	switch {
	case r == nil:
	case r.probe.Line != "":
		r.set(fmt.Errorf("no line of its output matches %q yet", r.probe.Line))
	case r.probe.FD:
		r.set(errors.New("nothing was written to its readiness descriptor yet"))
		p.readers.Go(p.awaitNotice)
	default:
		p.readers.Go(r.poll)
	}
}

// stop ends the tries of a process that is gone.
func (r *readiness) stop() {
	if r != nil {
		r.end()
	}
}

// look looks for the line.
func (r *readiness) look(lines []byte) {
	if r == nil || r.probe.Line == "" || r.over.Load() {
		return
	}
	for line := range bytes.Lines(lines) {
		if r.line.Match(bytes.TrimRight(line, "\r\n")) {
			r.set(nil)
			return
		}
	}
}

// awaitNotice reads the readiness descriptor to its end: a process that goes on writing gets no SIGPIPE.
func (p *localProcess) awaitNotice() {
	r := p.ready
	defer r.notice.Close()
	file := &lateReader{File: r.notice}
	for buf := make([]byte, 64); ; {
		n, err := file.Read(buf)
		if bytes.IndexByte(buf[:n], '\n') >= 0 {
			r.set(nil)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) && !r.over.Load() {
			p.missNotice()
		}
		return
	}
}

// missNotice is for a descriptor that was closed. A process that ends has closed it, too, and just ends.
func (p *localProcess) missNotice() {
	late := time.NewTimer(closeTime)
	defer late.Stop()
	select {
	case <-p.ready.gone.Done():
	case <-late.C:
		p.breach(ErrNotReady)
	}
}

// poll tries again and again. There is no event to wait for.
func (r *readiness) poll() {
	client := &http.Client{
		Timeout:       probeTime,
		Transport:     &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for wait := firstProbe; ; wait = min(2*wait, lastProbe) {
		err := r.try(client)
		if r.gone.Err() != nil {
			return // whoever answered, it is not the process
		}
		if r.set(err); err == nil {
			return
		}
		select {
		case <-r.gone.Done():
			return
		case <-time.After(wait):
		}
	}
}

var dialer = net.Dialer{Timeout: probeTime, KeepAliveConfig: net.KeepAliveConfig{Enable: false}}

// try asks once.
func (r *readiness) try(client *http.Client) error {
	if r.probe.TCP != "" {
		conn, err := dialer.DialContext(r.gone, "tcp", r.probe.TCP)
		if err != nil {
			return fmt.Errorf("%w at %s", plainly(err), r.probe.TCP)
		}
		return conn.Close()
	}
	ask, err := http.NewRequestWithContext(r.gone, http.MethodGet, r.probe.HTTP, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(ask)
	if err != nil {
		return fmt.Errorf("%w at %s", plainly(err), r.probe.HTTP)
	}
	answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("status %s at %s", answer.Status, r.probe.HTTP)
	}
	return nil
}

// plainly returns the cause in an error of the net package, without the address and the port of our own end, so that the
// same cause has the same text.
func plainly(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		err = e.Err
	}
	return err
}
