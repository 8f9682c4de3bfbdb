package etcd

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/host/discovery"
)

// What can not work is said before anything is dialled.
func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		what   string
		change func(*Config)
		want   string
	}{
		{"good", func(*Config) {}, ""},
		{"no scheme", func(c *Config) { c.Endpoints = []string{"etcd:2379", "[fd00::1]:2379"} }, ""},
		{"password", func(c *Config) { c.Username, c.Password = "u", "p" }, ""},
		{"no endpoint", func(c *Config) { c.Endpoints = nil }, "no endpoint is given"},
		{"no port", func(c *Config) { c.Endpoints = []string{"etcd"} }, `must be HOST:PORT or https://HOST:PORT, not "etcd"`},
		{"bad port", func(c *Config) { c.Endpoints = []string{"etcd:https"} }, `must be HOST:PORT`},
		{"scheme", func(c *Config) { c.Endpoints = []string{"ftp://etcd:2379"} }, `http or https, not "ftp"`},
		{"path", func(c *Config) { c.Endpoints = []string{"http://etcd:2379/v2"} }, `nothing may follow the port`},
		{"password in URL", func(c *Config) { c.Endpoints = []string{"http://u:secret@etcd:2379"} }, `give them by themselves`},
		{"mixture", func(c *Config) { c.Endpoints = []string{"https://a:1", "b:1"} }, `all be https:// or none`},
		{"plaintext", func(c *Config) { c.TLS = &tls.Config{} }, `write https://`},
		{"no cluster", func(c *Config) { c.Cluster = "" }, `cluster's name must be a word`},
		{"cluster", func(c *Config) { c.Cluster = "a/b" }, `without a slash, not "a/b"`},
		{"TTL", func(c *Config) { c.TTL = 1500 * time.Millisecond }, `whole seconds, at least 1s, not 1.5s`},
		{"grace", func(c *Config) { c.Grace = -1 }, `must not be negative`},
		{"half a password", func(c *Config) { c.Username = "u" }, `go together`},
	} {
		c := Config{Endpoints: []string{"http://etcd:2379"}, Cluster: "a"}
		tc.change(&c)
		switch _, err := New(c); {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.what, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: got %v, want %q", tc.what, err, tc.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error tells the password: %v", tc.what, err)
		}
	}
	p, err := New(Config{Endpoints: []string{"etcd:2379"}, Cluster: "a", Prefix: "/x"})
	if err != nil || p.under(discovery.Host) != "/x/a/host/" {
		t.Errorf("keys are under %q, %v; want /x/a/host/", p.under(discovery.Host), err)
	}
	for what, err := range map[string]error{
		"Register": p.Register(t.Context(), discovery.Member{Role: "x"}),
		"Watch":    p.Watch(t.Context(), "x", nil),
	} {
		if err == nil {
			t.Errorf("%s takes a role that there is not", what)
		}
	}
}
