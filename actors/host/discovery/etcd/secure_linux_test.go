package etcd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/go-muster/muster/actors/host/discovery"
	"github.com/go-muster/muster/actors/host/discovery/etcd"
	"github.com/go-muster/muster/actors/process/processtest"
)

// Credentials that an etcd refuses are an error at once, of whoever registers and whoever watches; good ones work.
func TestRefusedCredentials(t *testing.T) {
	processtest.Check(t)
	s := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	demandPasswords(t, ctx, s.client())

	for _, tc := range []struct{ what, user, password, cluster, want string }{
		{"no user", "", "", "a", "user name is empty"},
		{"wrong password", "host", "wrong", "a", "invalid user ID or password"},
		{"no such user", "nobody", "secret", "a", "invalid user ID or password"},
		{"another's keys", "host", "secret", "b", "permission denied"},
	} {
		c := s.config()
		c.Username, c.Password, c.Cluster = tc.user, tc.password, tc.cluster
		c.Report = func(err error) {
			if err != nil {
				t.Errorf("%s: a refusal was reported as %v", tc.what, err)
			}
		}
		p := provider(t, c)
		for call, err := range map[string]error{
			"Register": p.Register(ctx, host("h0")),
			"Watch":    p.Watch(ctx, discovery.Host, func([]discovery.Member) { t.Error("shown nevertheless") }),
		} {
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), s.url) {
				t.Errorf("%s: %s returned %v, want %q and %s in it", tc.what, call, err, tc.want, s.url)
			}
		}
	}
	good := s.config()
	good.Username, good.Password = "host", "secret"
	r := read(t, good)
	register(t, good, "h0")
	r.shows(t, "h0")
}

// demandPasswords lets user "host" with password "secret" read and write cluster "a", and nobody else but root anything.
func demandPasswords(t *testing.T, ctx context.Context, c *clientv3.Client) {
	t.Helper()
	_, err := c.UserAdd(ctx, "root", "root")
	do := func(next func() error) {
		if err == nil {
			err = next()
		}
	}
	do(func() error { _, err := c.RoleAdd(ctx, "root"); return err })
	do(func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err })
	do(func() error { _, err := c.UserAdd(ctx, "host", "secret"); return err })
	do(func() error { _, err := c.RoleAdd(ctx, "a"); return err })
	do(func() error {
		_, err := c.RoleGrantPermission(ctx, "a", "/muster/a/", clientv3.GetPrefixRangeEnd("/muster/a/"),
			clientv3.PermissionType(clientv3.PermReadWrite))
		return err
	})
	do(func() error { _, err := c.UserGrantRole(ctx, "host", "a"); return err })
	do(func() error { _, err := c.AuthEnable(ctx); return err })
	if err != nil {
		t.Fatal(err)
	}
}

// With certificates on both sides members meet. One without them, and one that trusts others, is told why it waits.
func TestTLS(t *testing.T) {
	processtest.Check(t)
	ours, theirs := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	certificate := ours.write(t, dir)
	s := serve(t, "--cert-file", filepath.Join(dir, "cert"), "--key-file", filepath.Join(dir, "key"),
		"--trusted-ca-file", filepath.Join(dir, "ca"), "--client-cert-auth")
	plain := "http" + strings.TrimPrefix(s.url, "https")

	c := s.config()
	c.TLS = &tls.Config{RootCAs: ours.pool, Certificates: []tls.Certificate{certificate}}
	r := read(t, c)
	register(t, c, "h0")
	r.shows(t, "h0")

	for _, tc := range []struct {
		what string
		c    etcd.Config
		want string
	}{
		{"plaintext", etcd.Config{Endpoints: []string{plain}, Cluster: "a"}, "(it was spoken to without TLS)"},
		{"no certificate", etcd.Config{Endpoints: []string{s.url}, Cluster: "a", TLS: &tls.Config{RootCAs: ours.pool}}, "(it was shown no client certificate)"},
		{"another authority", etcd.Config{Endpoints: []string{s.url}, Cluster: "a", TLS: &tls.Config{RootCAs: theirs.pool}}, "unknown authority"},
	} {
		r := read(t, tc.c)
		r.outOfReach(t)
		if err := r.reports[0].Error(); !strings.Contains(err, tc.want) || !strings.Contains(err, tc.c.Endpoints[0]) {
			t.Errorf("%s is reported as %q, want %q and %s in it", tc.what, err, tc.want, tc.c.Endpoints[0])
		}
	}
}

// Where nobody listens, a reader is told so, and ends when it is asked to.
func TestNobodyListens(t *testing.T) {
	processtest.Check(t)
	r := read(t, etcd.Config{Endpoints: freePorts(t, 1), Cluster: "a"})
	r.outOfReach(t)
	if err := r.reports[0].Error(); !strings.Contains(err, "connection refused") {
		t.Errorf("reported as %q", err)
	}
	c := etcd.Config{Endpoints: freePorts(t, 1), Cluster: "a", Username: "u", Password: "p"}
	told := make(chan error, 1)
	c.Report = func(err error) { told <- err }
	leave := register(t, c, "h0")
	if err := (<-told).Error(); !strings.Contains(err, "connection refused") {
		t.Errorf("reported as %q", err)
	}
	leave()
}

// An authority is a CA of the test's own.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, a.cert = sign(t, template, nil)
	a.pool.AddCert(a.cert)
	return a
}

// write makes a certificate for 127.0.0.1, for both directions, writes it, its key and the authority to a directory, and
// returns it.
func (a *authority) write(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	key, cert := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "etcd"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca": {Type: "CERTIFICATE", Bytes: a.cert.Raw}, "cert": {Type: "CERTIFICATE", Bytes: cert.Raw}, "key": {Type: "PRIVATE KEY", Bytes: pkcs},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// sign makes a key and its certificate, signed by an authority, or by itself.
func sign(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}
