package process

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// ErrProbe is the condition of a Probe that cannot work.
var ErrProbe = errors.New("process: bad readiness probe")

// A Probe says how a command that does not speak shows that it is ready. Exactly one field is set.
//
// TCP and HTTP may name variables of the rank's environment, as all ranks share one command: 127.0.0.1:800$LOCAL_RANK. They
// are tried again and again, at first every 10 milliseconds and in the end every second: something else that answers at the
// address, such as a process of an earlier run, is taken for the rank.
type Probe struct {
	// TCP is the host:port that accepts a connection once the process is ready.
	TCP string `json:"tcp,omitempty"`
	// HTTP is the URL, http or https, that answers with a status from 200 to 399. Redirects are not followed, and proxies
	// not used.
	HTTP string `json:"http,omitempty"`
	// Line is a regular expression; a line on standard output or standard error that it matches says ready.
	Line string `json:"line,omitempty"`
	// FD gives the process a pipe, whose number the variable MUSTER_READY_FD names: a newline on it says ready. One that
	// closes it before will never be ready: that is a breach of the protocol (Observer.Broken) unless the process ends.
	FD bool `json:"fd,omitempty"`
}

// String returns the probe as one writes it for launch --ready.
func (p Probe) String() string {
	switch {
	case p.TCP != "":
		return "tcp:" + p.TCP
	case p.HTTP != "":
		return p.HTTP
	case p.Line != "":
		return "line:" + p.Line
	}
	return "fd"
}

// Check returns why a probe cannot work, whatever the environment: an error that wraps [ErrProbe], or nil.
func (p Probe) Check() error {
	kinds := 0
	for _, set := range []bool{p.TCP != "", p.HTTP != "", p.Line != "", p.FD} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return fmt.Errorf("%w: it has %d of TCP, HTTP, Line and FD: set exactly one", ErrProbe, kinds)
	}
	if p.FD && runtime.GOOS == "windows" {
		return fmt.Errorf("%w: a process of Windows inherits no descriptor: %w", ErrProbe, errors.ErrUnsupported)
	}
	if _, err := regexp.Compile(p.Line); err != nil {
		return fmt.Errorf("%w: %w", ErrProbe, err)
	}
	return p.checkAddress(os.Expand(p.TCP, anything), os.Expand(p.HTTP, anything))
}

// anything stands for the value of a variable that is not known yet: it may be in a host, a port or a path.
func anything(string) string { return "1" }

// checkAddress checks a probe's addresses, after the variables in them were replaced.
func (p Probe) checkAddress(tcp, link string) error {
	if p.TCP != "" {
		if _, port, err := net.SplitHostPort(tcp); err != nil || port == "" {
			return fmt.Errorf("%w: TCP %q: write host:port", ErrProbe, tcp)
		}
	}
	if p.HTTP == "" {
		return nil
	}
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%w: HTTP %q: write a URL such as http://127.0.0.1:8000/health", ErrProbe, link)
	}
	return nil
}

// in returns the probe with the variables of an environment in place.
func (p Probe) in(env []string) (Probe, error) {
	var missing []string
	value := func(name string) string {
		for _, kv := range slices.Backward(env) {
			if value, ok := strings.CutPrefix(kv, name+"="); ok {
				return value
			}
		}
		missing = append(missing, "$"+name)
		return ""
	}
	p.TCP, p.HTTP = os.Expand(p.TCP, value), os.Expand(p.HTTP, value)
	if len(missing) > 0 {
		return p, fmt.Errorf("%w: the rank's environment has no %s", ErrProbe, strings.Join(missing, ", no "))
	}
	return p, p.checkAddress(p.TCP, p.HTTP)
}
