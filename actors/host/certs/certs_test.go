package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func create(t *testing.T, dir string, o Options, hosts ...string) {
	t.Helper()
	if _, err := Create(dir, hosts, o); err != nil {
		t.Fatal(err)
	}
}

// shake has a client of one configuration talk to a server of another, and returns how that went for each.
func shake(t *testing.T, client, server *tls.Config, name string) (clientErr, serverErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			_, err = tls.Server(conn, server).Write([]byte("x"))
		}
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client = client.Clone()
	client.ServerName = name
	_, clientErr = io.ReadFull(tls.Client(c, client), make([]byte, 1)) // a client hears only then whether it was accepted
	c.Close()
	return clientErr, <-done
}

func TestCreateAndLoad(t *testing.T) {
	dir := t.TempDir()
	create(t, dir, Options{}, "a,a.example.com,10.0.0.1", "b")
	create(t, dir, Options{}, "c,::1") // later, by the same CA
	configs := map[string]*tls.Config{}
	for _, h := range []string{"a", "b", "c"} {
		c, err := Load(filepath.Join(dir, h))
		if err != nil {
			t.Fatal(err)
		}
		configs[h] = c
	}
	for _, row := range []struct{ client, server, name string }{
		{"b", "a", "a"}, {"b", "a", "a.example.com"}, {"c", "a", "10.0.0.1"}, {"a", "b", "b"}, {"a", "c", "::1"},
	} {
		if c, s := shake(t, configs[row.client], configs[row.server], row.name); c != nil || s != nil {
			t.Errorf("%s to %s as %s: %v, %v", row.client, row.server, row.name, c, s)
		}
	}
	var name x509.HostnameError
	if err, _ := shake(t, configs["b"], configs["a"], "10.0.0.2"); !errors.As(err, &name) {
		t.Errorf("an address that the certificate is not for: %v", err)
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if info, _ := d.Info(); strings.HasSuffix(path, KeyFile) && info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if strings.Contains(path, ".new-") {
			t.Errorf("%s is left", path)
		}
		return nil
	})
}

func TestStrangers(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	create(t, ours, Options{}, "a", "b")
	create(t, theirs, Options{}, "b")
	a, _ := Load(filepath.Join(ours, "a"))
	b, _ := Load(filepath.Join(ours, "b"))
	stranger, _ := Load(filepath.Join(theirs, "b"))
	nobody := &tls.Config{RootCAs: b.RootCAs}
	old := b.Clone()
	old.MinVersion, old.MaxVersion = 0, tls.VersionTLS12
	trusting := stranger.Clone()
	trusting.RootCAs = a.RootCAs
	for name, client := range map[string]*tls.Config{
		"another CA": stranger, "another CA that trusts ours": trusting, "no certificate": nobody, "TLS 1.2": old,
	} {
		if _, err := shake(t, client, a, "a"); err == nil {
			t.Errorf("%s: admitted", name)
		}
	}
	var unknown x509.UnknownAuthorityError
	if err, _ := shake(t, b, stranger, "b"); !errors.As(err, &unknown) {
		t.Errorf("a server of another CA: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	create(t, dir, Options{}, "a")
	before, _ := os.ReadFile(filepath.Join(dir, "a", KeyFile))
	for _, row := range []struct {
		hosts []string
		o     Options
		want  string
	}{
		{nil, Options{}, "no host"},
		{[]string{"new", "a"}, Options{}, "already"},
		{[]string{"new", "new,x"}, Options{}, "twice"},
		{[]string{"new", ""}, Options{}, "neither a host name"},
		{[]string{"new", "../x"}, Options{}, "neither a host name"},
		{[]string{"new", "x,"}, Options{}, "neither a host name"},
		{[]string{"a", "new"}, Options{Renew: true}, "nothing to renew"},
		{[]string{"ca.pem"}, Options{}, "can be named"},
		{[]string{"new"}, Options{Now: func() time.Time { return time.Now().Add(20 * year) }}, "expired"},
	} {
		if _, err := Create(dir, row.hosts, row.o); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: %v, want %q", row.hosts, err, row.want)
		}
	}
	if _, err := Create(dir, []string{"a"}, Options{}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	after, _ := os.ReadFile(filepath.Join(dir, "a", KeyFile))
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil || string(before) != string(after) {
		t.Error("something was written nevertheless")
	}
	if err := os.Remove(filepath.Join(dir, CAKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, []string{"new"}, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a CA without its key: %v", err)
	}
}

func TestRenew(t *testing.T) {
	dir := t.TempDir()
	past := time.Now().Add(-2 * time.Hour)
	create(t, dir, Options{ValidFor: 3 * time.Hour, Now: func() time.Time { return past }}, "a,10.0.0.1")
	own := filepath.Join(dir, "a")
	c, err := Load(own)
	if err != nil {
		t.Fatal(err)
	}
	old, _ := c.GetCertificate(nil)
	create(t, dir, Options{Renew: true}, "a")
	// A file system with coarse times must not hide it.
	if err := os.Chtimes(filepath.Join(own, CertFile), time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	renewed, _ := c.GetClientCertificate(nil)
	if !renewed.Leaf.NotAfter.After(old.Leaf.NotAfter) || renewed.Leaf.VerifyHostname("10.0.0.1") != nil {
		t.Errorf("renewed until %v for %v, was until %v", renewed.Leaf.NotAfter, allNames(renewed.Leaf), old.Leaf.NotAfter)
	}
	if err := os.WriteFile(filepath.Join(own, CertFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if kept, err := c.GetCertificate(nil); err != nil || kept != renewed {
		t.Errorf("a broken file replaces a good certificate: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	long := func() time.Time { return time.Now().Add(-2 * year) }
	other := t.TempDir()
	create(t, other, Options{}, "a")
	for name, row := range map[string]struct {
		o     Options
		spoil func(own string) error
		want  []string
	}{
		"no key":      {spoil: func(own string) error { return os.Remove(filepath.Join(own, KeyFile)) }, want: []string{KeyFile, "no such file"}},
		"no CA":       {spoil: func(own string) error { return os.Remove(filepath.Join(own, CAFile)) }, want: []string{CAFile, "no such file"}},
		"expired":     {o: Options{Now: long}, want: []string{CertFile, "expired", "renew"}},
		"other key":   {spoil: func(own string) error { return replace(own, other, KeyFile) }, want: []string{KeyFile, "is not the key of"}},
		"other CA":    {spoil: func(own string) error { return replace(own, other, CAFile) }, want: []string{CertFile, CAFile, "do not go together"}},
		"no PEM":      {spoil: func(own string) error { return os.WriteFile(filepath.Join(own, CertFile), []byte("x"), 0o600) }, want: []string{CertFile, "PEM"}},
		"swapped":     {spoil: func(own string) error { return os.Rename(filepath.Join(own, CertFile), filepath.Join(own, KeyFile)) }, want: []string{"no such file"}},
		"in the CA's": {spoil: func(own string) error { return os.WriteFile(filepath.Join(own, CAKeyFile), nil, 0o600) }, want: []string{"the CA"}},
	} {
		dir := t.TempDir()
		create(t, dir, row.o, "a")
		own := filepath.Join(dir, "a")
		if row.spoil != nil {
			if err := row.spoil(own); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Load(own)
		for _, part := range row.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q", name, err, part)
			}
		}
	}
}

func replace(own, other, file string) error {
	text, err := os.ReadFile(filepath.Join(other, "a", file))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(own, file), text, 0o600)
}

func TestTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	root, err := OpenTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	cli, _ := OpenTokens(path) // another process that adds one meanwhile
	token, err := cli.New()
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	if info, _ := os.Stat(path); info.Mode() != 0o600 || strings.Contains(string(text), token) {
		t.Errorf("the token is to be seen in %v %q", info.Mode(), text)
	}
	for _, row := range []struct {
		token, agent string
		want         error
	}{
		{"", "a", ErrTokenUnknown},
		{token + "x", "a", ErrTokenUnknown},
		{token + "\n", "a", nil}, // as it is read from a file
		{token, "b", ErrTokenUsed},
		{token, "a", nil}, // comes back
	} {
		err := root.Admit(row.token, row.agent)
		if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
			t.Errorf("%q of %s: %v, want %v", row.token, row.agent, err, row.want)
		}
		if err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("the error tells the token: %v", err)
		}
	}
	resumed, _ := OpenTokens(path)
	if err := resumed.Admit(token, "b"); !errors.Is(err, ErrTokenUsed) {
		t.Errorf("after a restart of the root: %v", err)
	}
	for _, agent := range []string{"", "a b", "a\n"} {
		if err := root.Admit(token, agent); err == nil {
			t.Errorf("agent %q is admitted", agent)
		}
	}
}

// TestTokensAtOnce: two roots that share the file admit one agent.
func TestTokensAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	first, _ := OpenTokens(path)
	token, err := first.New()
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	results := make([]error, 16)
	for i := range results {
		wait.Go(func() {
			own, _ := OpenTokens(path)
			results[i] = own.Admit(token, string(rune('a'+i)))
		})
	}
	wait.Wait()
	admitted := 0
	for _, err := range results {
		if err == nil {
			admitted++
		} else if !errors.Is(err, ErrTokenUsed) {
			t.Error(err)
		}
	}
	if admitted != 1 {
		t.Errorf("%d agents are admitted", admitted)
	}
}

func TestTokensOfBadFile(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for text, want := range map[string]string{
		"# none\n\n" + hash + "\n":  "",
		hash:                        "", // edited by hand
		"secret\n":                  ":1:",
		hash + "\n" + hash + " a b": ":2:",
		hash + " host":              "no end",
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		tokens, err := OpenTokens(path)
		if got := err != nil; got != (want != "") || got && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err == nil {
			if token, err := tokens.New(); err != nil || tokens.Admit(token, "a") != nil {
				t.Errorf("%q: what is added cannot be used", text)
			}
		}
	}
}
