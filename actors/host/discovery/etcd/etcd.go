// Package etcd lets members meet in an etcd: a [discovery.Provider].
//
// Each member is a key under a lease that the member keeps alive. Readers list the members of a role every second, and at
// once when a watch says that something has changed; the watch begins where the list ended, so that nothing falls in between.
// Whoever is missing from a list is shown for a grace longer, because a store that stalled has let all leases expire, and all
// members are about to register again. While the store is out of reach the view stands still.
//
// What others reach through an etcd without TLS and passwords, they can change: it may send agents to a wrong address. Roots
// and hosts must know each other by their certificates.
package etcd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-muster/muster/actors/host/discovery"
)

// Config says which etcd, and how long absence takes to become known. Endpoints and Cluster are necessary.
type Config struct {
	// Endpoints are the members of the etcd cluster: HOST:PORT, http://HOST:PORT or https://HOST:PORT.
	Endpoints []string
	// Cluster is the name under which the members meet; groups with the same name find each other. It contains no slash.
	Cluster string
	// Prefix is what all keys begin with; "/muster/" by default.
	Prefix string
	// TLS is for endpoints of https and those that say nothing; those that say nothing are plaintext without it, and those of
	// https are verified by the system's authorities.
	TLS *tls.Config
	// Username and Password are for an etcd with authentication.
	Username, Password string
	// TTL is how long a member that has died keeps its lease: 5 s by default, whole seconds, at least 1 s. Etcd raises it to one
	// and a half of its election timeout.
	TTL time.Duration
	// Grace is how much longer it is shown then: 3 s by default. A member that has to register again after a stall of the store
	// needs less than two.
	Grace time.Duration
	// Report, if set, is told what is waited out: an error that is a [discovery.ErrUnreachable] when the store no longer answers,
	// nil when it does again. It is called from several goroutines, one at a time, and must not block.
	Report func(error)
}

// A Provider meets others in an etcd. Each Register and each Watch has a connection of its own, which ends with it.
type Provider struct {
	config Config
	health health
}

var _ discovery.Provider = (*Provider)(nil)

// New returns a Provider, without speaking to the store. It returns an error if the configuration can not work.
func New(c Config) (*Provider, error) {
	if c.Prefix == "" {
		c.Prefix = "/muster/"
	}
	if !strings.HasSuffix(c.Prefix, "/") {
		c.Prefix += "/"
	}
	if c.TTL == 0 {
		c.TTL = 5 * time.Second
	}
	if c.Grace == 0 {
		c.Grace = 3 * time.Second
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Provider{config: c, health: health{report: c.Report}}, nil
}

func (c Config) check() error {
	switch {
	case len(c.Endpoints) == 0:
		return errors.New("etcd: no endpoint is given, such as https://etcd.example:2379")
	case c.Cluster == "" || strings.ContainsAny(c.Cluster, "/ \t\n"):
		return fmt.Errorf("etcd: the cluster's name must be a word without a slash, not %q", c.Cluster)
	case c.TTL < time.Second || c.TTL%time.Second != 0:
		return fmt.Errorf("etcd: the time to live must be whole seconds, at least 1s, not %s", c.TTL)
	case c.Grace < 0:
		return fmt.Errorf("etcd: the grace must not be negative, as %s is", c.Grace)
	case (c.Username == "") != (c.Password == ""):
		return errors.New("etcd: a user name and a password go together")
	}
	secure := 0
	for _, endpoint := range c.Endpoints {
		scheme, err := checkEndpoint(endpoint)
		if err != nil {
			return err
		}
		if c.TLS != nil && scheme == "http" {
			return fmt.Errorf("etcd: endpoint %s is plaintext, and certificates are given: write https://", endpoint)
		}
		if scheme == "https" {
			secure++
		}
	}
	if c.TLS == nil && secure != 0 && secure != len(c.Endpoints) {
		return fmt.Errorf("etcd: the endpoints must all be https:// or none of them: %s", strings.Join(c.Endpoints, ", "))
	}
	return nil
}

// checkEndpoint returns the scheme of an endpoint: http, https, or none.
func checkEndpoint(endpoint string) (scheme string, err error) {
	text := endpoint
	if !strings.Contains(text, "://") {
		text = "//" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Port() == "":
		return "", fmt.Errorf("etcd: an endpoint must be HOST:PORT or https://HOST:PORT, not %q", endpoint)
	case u.User != nil:
		return "", errors.New("etcd: an endpoint has no place for a user and a password: give them by themselves")
	case u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("etcd: an endpoint's scheme must be http or https, not %q", u.Scheme)
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("etcd: nothing may follow the port of an endpoint: %q", endpoint)
	}
	return u.Scheme, nil
}

// under is where the keys of a role begin. It ends with a slash: cluster "a" does not see those of "ab".
func (p *Provider) under(role discovery.Role) string {
	return p.config.Prefix + p.config.Cluster + "/" + string(role) + "/"
}
