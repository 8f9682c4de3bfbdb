package host

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says how a root meets its hosts. Listen is the one field that must be set.
type Config struct {
	// Listen is the host:port at which agents reach the root; port 0 takes any.
	Listen string
	// Advertise is the host:port that agents are told, where it is another: behind a wildcard address or in a container.
	Advertise string
	// TLS is for both directions: see package certs. It must be set unless Listen is on the loopback interface.
	TLS *tls.Config
	// Admit decides about the join token of a host, by its name, such as certs.Tokens does; nil lets everybody in whom TLS has let
	// in. With TLS the name is that of the host's certificate. Its error is what the agent is told.
	Admit func(name, token string) error
	// PerHost is how many ranks a host takes at the most; 0 leaves it to the agents' slots.
	PerHost int
	// MaxHosts is how many hosts a group uses at the most: those beyond are spares. 0 means no bound.
	MaxHosts int
	// Spread puts ranks evenly on all hosts; otherwise each host is filled before the next.
	Spread bool
	// Lease is how long an agent may let its ranks live without word from the root, from 500 ms to 10 min; 0 means 10 s. A host
	// that is not heard of is lost after a lease and a fence, which is a fourth of that, but 1 to 5 seconds.
	Lease time.Duration
	// Agents are addresses, host:port, of agents that wait to be invited.
	Agents []string
	// Logger tells of hosts that come and go, and of what is dropped. Nil is silent.
	Logger *slog.Logger
}

// ErrConfig is the condition of a Config, or an AgentConfig, that makes no sense.
var ErrConfig = errors.New("host: bad configuration")

func (c *Config) check() error {
	var errs []error
	if c.Listen == "" {
		errs = append(errs, errors.New("there is no address to Listen at: write host:port, such as 127.0.0.1:7070"))
	}
	if c.PerHost < 0 || c.MaxHosts < 0 {
		errs = append(errs, fmt.Errorf("the bounds PerHost and MaxHosts are %d and %d: use 0 for no bound", c.PerHost, c.MaxHosts))
	}
	if c.Lease != 0 && (c.Lease < MinLease || c.Lease > MaxLease) {
		errs = append(errs, fmt.Errorf("the Lease is %v: it may be from %v to %v", c.Lease, MinLease, MaxLease))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}
