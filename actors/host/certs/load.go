package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Load reads the directory of a host that [Create] has made and returns the configuration for both directions: TLS 1.3, this
// host's certificate, and no peer without a certificate of the same CA. A certificate that is renewed there later is used from the
// next connection on.
//
// It returns an error that says which file is missing or wrong: when the key is not the certificate's, when the CA has not issued
// it, or when it has expired or is not good yet. What x509 says of it can be got with [errors.As].
func Load(dir string) (*tls.Config, error) {
	if _, err := os.Stat(filepath.Join(dir, CAKeyFile)); err == nil {
		return nil, fmt.Errorf("certs: %s is the directory of the CA: each host needs its own, which is in there", dir)
	}
	root, err := readCert(filepath.Join(dir, CAFile))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	own := &current{dir: dir, roots: pool}
	if _, err := own.get(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		RootCAs:              pool,
		ClientCAs:            pool,
		ClientAuth:           tls.RequireAndVerifyClientCert,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own.get() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own.get() },
	}, nil
}

// current is the certificate that is in a directory now.
type current struct {
	dir   string
	roots *x509.CertPool

	mu     sync.Mutex
	loaded *tls.Certificate
	at     time.Time // when its file was written
}

// get reads the certificate when it is another than the last time. One that cannot be used does not replace one that was.
func (c *current) get() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(filepath.Join(c.dir, CertFile))
	if c.loaded != nil && (err != nil || info.ModTime().Equal(c.at)) {
		return c.loaded, nil
	}
	loaded, readErr := c.read()
	if readErr != nil && c.loaded == nil {
		return nil, readErr
	}
	if readErr == nil {
		c.loaded, c.at = loaded, info.ModTime()
	}
	return c.loaded, nil
}

func (c *current) read() (*tls.Certificate, error) {
	certPath, keyPath := filepath.Join(c.dir, CertFile), filepath.Join(c.dir, KeyFile)
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
	_, err = cert.Verify(x509.VerifyOptions{Roots: c.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return nil, fmt.Errorf("certs: %s is good from %v to %v (renew it, or set the clock): %w", certPath, cert.NotBefore, cert.NotAfter, err)
	}
	if err != nil {
		return nil, fmt.Errorf("certs: %s and %s do not go together: %w", certPath, filepath.Join(c.dir, CAFile), err)
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

func readCert(path string) (*x509.Certificate, error) {
	der, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certs: %s: %w", path, err)
	}
	return cert, nil
}

func readKey(path string) (crypto.Signer, error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("certs: %s: %w", path, err)
	}
	signer, is := key.(crypto.Signer)
	if !is {
		return nil, fmt.Errorf("certs: %s: a %T cannot sign", path, key)
	}
	return signer, nil
}

// readPEM reads the first block of a file, which has to be of the kind. It never tells what is in the file.
func readPEM(path, kind string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("certs: %s has no %s in PEM", path, kind)
	}
	return block.Bytes, nil
}

// matches reports whether the key is the certificate's.
func matches(c *x509.Certificate, key crypto.Signer) bool {
	public, is := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return is && public.Equal(c.PublicKey)
}
