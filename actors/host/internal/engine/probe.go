package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// What both sides of HTTP/2 begin with: RFC 9113, section 3.4. A server that talks to us begins with settings.
const (
	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00" + "\x04" + "\x00\x00\x00\x00\x00" // settings, none
	frameHeader   = 9
	frameType     = 3 // its place there
	frameSettings = 4
)

// probeTimeout bounds a probe: a peer that is there says so at once.
const probeTimeout = 4 * time.Second

// Probe connects to an address as an engine with this configuration would, and hangs up. It returns the name in the certificate of
// the peer, "" without TLS. Its error is a [*Refusal], after a few seconds at the latest, or the context's.
func Probe(ctx context.Context, address string, c *tls.Config) (peer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := dial(ctx, address, c == nil)
	switch {
	case errors.Is(err, context.Canceled):
		return "", err
	case err != nil:
		return "", notDialled(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	peer, err = greet(conn, address, c)
	if errors.Is(ctx.Err(), context.Canceled) {
		return "", ctx.Err()
	}
	if err == nil {
		return peer, nil
	}
	var known *Refusal
	if c == nil && !errors.As(err, &known) && encrypted(ctx, address) {
		return "", refusal(Encrypted, err, "it speaks TLS, and we have no certificate: %s", bothOrNeither)
	}
	if known == nil {
		known = notAccepted(err)
	}
	return "", known
}

// greet does what two engines begin with. The first that a peer says, who has accepted our certificate, are settings of HTTP/2.
func greet(conn net.Conn, address string, c *tls.Config) (peer string, err error) {
	if c != nil {
		secure := tls.Client(conn, named(c, address))
		if err := secure.Handshake(); err != nil {
			return "", err
		}
		conn, peer = secure, secure.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if _, err := io.WriteString(conn, preface); err != nil {
		return "", err
	}
	var first [frameHeader]byte
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		return "", err
	}
	if first[frameType] != frameSettings {
		return "", refusal(Stranger, nil, "what listens there is something else: is this its port?")
	}
	return peer, nil
}

// named returns the configuration for one address.
func named(c *tls.Config, address string) *tls.Config {
	c = hardened(c)
	c.ServerName, _, _ = net.SplitHostPort(address)
	c.NextProtos = []string{"h2"}
	return c
}

// encrypted reports whether a peer that has hung up on plaintext answers TLS. Nothing is said to it.
func encrypted(ctx context.Context, address string) bool {
	conn, err := dial(ctx, address, true)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	// It is not asked for its certificate to trust it: whatever it is, this is the end.
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	return secure.Handshake() == nil
}
