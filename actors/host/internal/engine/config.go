package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// check finds what is wrong with a configuration before anything is started.
func (c Config) check() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("the address to listen at is %q, want host:port", c.Listen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("the port of Listen is %q, want 0 (any) to 65535", port)
	}
	if c.Advertise == "" && wildcard(host) {
		return fmt.Errorf("the address to listen at is %q, all addresses of this host: Advertise has to say which of them peers use", c.Listen)
	}
	if err := c.checkAdvertise(); err != nil {
		return err
	}
	if c.TLS == nil {
		return loopback(context.Background(), c.Listen)
	}
	if err := checkTLS(c.TLS); err != nil {
		return err
	}
	return covers(c.TLS, c.advertised(0))
}

// checkAdvertise refuses an address that nobody could dial.
func (c Config) checkAdvertise() error {
	host, port, err := net.SplitHostPort(c.advertised(0))
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if _, noIP := netip.ParseAddr(host); noIP != nil && strings.ContainsAny(host, ": /") || err != nil || wildcard(host) {
		return fmt.Errorf("the address to advertise is %q, want host or host:port as peers dial it", c.Advertise)
	}
	return nil
}

// covers returns an error when peers that connect to the address would not accept this host's certificate.
func covers(c *tls.Config, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the address to advertise is %q, want host or host:port", address)
	}
	var own *tls.Certificate
	if c.GetCertificate != nil {
		if own, err = c.GetCertificate(&tls.ClientHelloInfo{ServerName: host}); err != nil {
			return err
		}
	} else {
		own = &c.Certificates[0]
	}
	leaf := own.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(own.Certificate[0]); err != nil {
			return err
		}
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return fmt.Errorf("peers would refuse this host at %s: %w", address, err)
	}
	return nil
}

func checkTLS(c *tls.Config) error {
	switch {
	case c.ClientAuth != tls.RequireAndVerifyClientCert:
		return errors.New("TLS would admit peers without a certificate: ClientAuth has to be RequireAndVerifyClientCert")
	case c.ClientCAs == nil || c.RootCAs == nil:
		return errors.New("TLS would trust whom the system trusts: RootCAs and ClientCAs have to be set")
	case c.InsecureSkipVerify:
		return errors.New("TLS would trust any peer: InsecureSkipVerify is set")
	case len(c.Certificates) == 0 && (c.GetCertificate == nil || c.GetClientCertificate == nil):
		return errors.New("TLS has no certificate")
	}
	return nil
}

func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// loopback returns an error when a plaintext connection to or at the address could leave this host.
func loopback(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if wildcard(host) {
		return fmt.Errorf("%s is not a loopback address: TLS is required", address)
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return err
	}
	for _, ip := range ips {
		if !ip.IP.IsLoopback() {
			return fmt.Errorf("%s is not a loopback address: TLS is required", address)
		}
	}
	return nil
}

// advertised returns the address that peers use when this is the port.
func (c Config) advertised(port int) string {
	host, own, err := net.SplitHostPort(c.Advertise)
	switch {
	case c.Advertise == "":
		host, _, _ = net.SplitHostPort(c.Listen)
	case err != nil:
		host = strings.Trim(c.Advertise, "[]")
	case own != "0":
		return c.Advertise
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
