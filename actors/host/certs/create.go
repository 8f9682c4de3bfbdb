package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// The files of a directory of a host, and those of the CA's.
const (
	CAFile    = "ca.pem"     // the certificate of the CA, in both
	CAKeyFile = "ca-key.pem" // its private key, in that of the CA alone
	CertFile  = "cert.pem"
	KeyFile   = "key.pem"
)

// ErrExists is that a host has a certificate already, which [Create] does not overwrite.
var ErrExists = errors.New("there is a certificate already")

// Options are how certificates are made. The zero value will do.
type Options struct {
	ValidFor time.Duration    // how long a host's certificate is good, by default a year
	Renew    bool             // replace the certificates of hosts that have one; their keys and names stay unless others are given
	Now      func() time.Time // by default time.Now
}

const (
	year     = 365 * 24 * time.Hour
	caYears  = 10
	backdate = time.Hour // clocks of hosts may be behind ours
)

// Create makes a certificate for each host in dir, by the CA that is there, or by a new one. A host is its name, which is also that
// of its directory, and what peers may reach it by besides, after commas: "a,a.example.com,10.0.0.1". It returns the directories
// of the hosts. Private keys are readable by their owner only.
//
// Nothing is written when a host is not named well, is named twice or, without Renew, has a certificate ([ErrExists]), when a host
// to be renewed has none, or when the CA in dir cannot be read or has expired.
func Create(dir string, hosts []string, o Options) ([]string, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ValidFor <= 0 {
		o.ValidFor = year
	}
	wanted, err := parse(dir, hosts, o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	ca, err := authority(dir, o)
	if err != nil {
		return nil, err
	}
	var made []string
	for _, h := range wanted {
		if err := ca.issue(h, o); err != nil {
			return made, fmt.Errorf("certs: host %s: %w", h.name, err)
		}
		made = append(made, h.dir)
	}
	return made, nil
}

// A host is one that a certificate is made for.
type host struct {
	name string
	also []string
	dir  string
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// parse checks all hosts before anything is written.
func parse(dir string, hosts []string, o Options) ([]host, error) {
	if len(hosts) == 0 {
		return nil, errors.New("certs: no host is named")
	}
	seen := map[string]bool{}
	var parsed []host
	for _, text := range hosts {
		names := strings.Split(text, ",")
		for _, n := range names {
			if !hostName.MatchString(n) && net.ParseIP(n) == nil {
				return nil, fmt.Errorf("certs: host %q: %q is neither a host name nor an IP address", text, n)
			}
		}
		h := host{name: names[0], also: names[1:], dir: filepath.Join(dir, strings.ReplaceAll(names[0], ":", "_"))}
		if seen[h.dir] {
			return nil, fmt.Errorf("certs: host %s is named twice", h.name)
		}
		seen[h.dir] = true
		if h.name == CAFile || h.name == CAKeyFile {
			return nil, fmt.Errorf("certs: no host can be named %s", h.name)
		}
		switch _, err := os.Stat(filepath.Join(h.dir, CertFile)); {
		case err == nil && !o.Renew:
			return nil, fmt.Errorf("certs: host %s: %w in %s (renew it, or remove it)", h.name, ErrExists, h.dir)
		case err != nil && o.Renew:
			return nil, fmt.Errorf("certs: host %s has nothing to renew: %w", h.name, err)
		}
		parsed = append(parsed, h)
	}
	return parsed, nil
}

// A ca is one that issues certificates.
type ca struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority reads the CA of dir, or makes one when there is none at all.
func authority(dir string, o Options) (*ca, error) {
	certPath, keyPath := filepath.Join(dir, CAFile), filepath.Join(dir, CAKeyFile)
	_, certErr := os.Stat(certPath)
	_, keyErr := os.Stat(keyPath)
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		return newAuthority(certPath, keyPath, o)
	}
	cert, err := readCert(certPath)
	if err != nil {
		return nil, err
	}
	key, err := readKey(keyPath)
	if err != nil {
		return nil, err
	}
	if !matches(cert, key) {
		return nil, fmt.Errorf("certs: %s is not the key of %s", keyPath, certPath)
	}
	if o.Now().After(cert.NotAfter) {
		return nil, fmt.Errorf("certs: the CA %s has expired at %v: make a new one elsewhere", certPath, cert.NotAfter)
	}
	return &ca{cert, key}, nil
}

func newAuthority(certPath, keyPath string, o Options) (*ca, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Muster CA"},
		NotBefore:             o.Now().Add(-backdate),
		NotAfter:              o.Now().Add(caYears * year),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	key, err := writeKey(keyPath)
	if err != nil {
		return nil, err
	}
	cert, err := sign(template, template, key.Public(), key, certPath)
	if err != nil {
		return nil, err
	}
	return &ca{cert, key}, nil
}

// issue writes the directory of a host. The certificate comes last: where it is, the rest is.
func (c *ca) issue(h host, o Options) error {
	var key crypto.Signer
	var err error
	certPath, keyPath := filepath.Join(h.dir, CertFile), filepath.Join(h.dir, KeyFile)
	names := append([]string{h.name}, h.also...)
	if o.Renew {
		old, err := readCert(certPath)
		if err != nil {
			return err
		}
		if key, err = readKey(keyPath); err != nil {
			return err
		}
		if len(h.also) == 0 {
			names = allNames(old)
		}
	} else {
		if err := os.MkdirAll(h.dir, 0o700); err != nil {
			return err
		}
		if key, err = writeKey(keyPath); err != nil {
			return err
		}
		if err := write(filepath.Join(h.dir, CAFile), "CERTIFICATE", c.cert.Raw, 0o644); err != nil {
			return err
		}
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: h.name},
		NotBefore:   o.Now().Add(-backdate),
		NotAfter:    earlier(o.Now().Add(o.ValidFor), c.cert.NotAfter),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	_, err = sign(template, c.cert, key.Public(), c.key, certPath)
	return err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// allNames returns what a certificate is good for.
func allNames(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// sign makes a certificate and writes it.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer, path string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		return nil, err
	}
	if err := write(path, "CERTIFICATE", der, 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func writeKey(path string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, write(path, "PRIVATE KEY", der, 0o600)
}

// write replaces a file as a whole: who reads it meanwhile sees the old or the new one.
func write(path, kind string, der []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // readable by the owner only
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
