package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"syscall"
)

// A Reason is a kind of [Refusal].
type Reason int

// What keeps two engines from talking.
const (
	Unreachable Reason = iota + 1 // there is no way to the address, or no answer from there
	Absent                        // nobody listens there
	Silent                        // somebody listens there, and says nothing
	Stranger                      // what listens there is no engine
	Plaintext                     // it speaks no TLS, and we do
	Encrypted                     // it speaks TLS, and we do not
	Foreign                       // another CA than ours has issued its certificate
	Misnamed                      // its certificate does not cover the address
	Expired                       // its certificate has expired, or is not good yet
	Unwanted                      // it takes no certificate, or not the one that was shown
)

// A Refusal says why a peer cannot be talked to, or was turned away, and what to do about that, in words that go after its address.
// What is quoted in it is the peer's.
type Refusal struct {
	Reason Reason
	Text   string
	Err    error // that it was told by; may be nil
}

func (r *Refusal) Error() string { return r.Text }

func (r *Refusal) Unwrap() error { return r.Err }

// Final reports whether the same two programs will never talk: one does not trust the other's certificate.
func (r *Refusal) Final() bool { return r.Reason == Foreign || r.Reason == Unwanted }

func refusal(reason Reason, err error, format string, args ...any) *Refusal {
	return &Refusal{reason, fmt.Sprintf(format, args...), err}
}

const (
	bothOrNeither = "start both with certificates, or both without"
	oneCA         = "both need certificates from the same run of certs"
	renew         = "renew it, or set the clocks"
)

// notDialled says why there is no connection.
func notDialled(err error) *Refusal {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return refusal(Absent, err, "nobody listens there: is it started, and is this its port?")
	case errors.As(err, &timeout) && timeout.Timeout():
		return refusal(Unreachable, err, "there is no answer: is the address right, the host up, and no firewall between?")
	}
	return refusal(Unreachable, err, "there is no way to it: %v", err)
}

// notAccepted says why we and a peer that we connected to do not talk, by the error of the handshake or of what follows.
func notAccepted(err error) *Refusal {
	var plain tls.RecordHeaderError
	var timeout net.Error
	alert, alerted := alertOf(err)
	switch {
	case errors.As(err, &plain):
		return refusal(Plaintext, err, "it does not speak TLS: %s", bothOrNeither)
	case alerted && alert == alertNoProtocol:
		return refusal(Stranger, err, "what listens there is something else: is this its port?")
	case alerted && alert == alertExpired:
		return refusal(Unwanted, err, "it says that our certificate has expired: %s", renew)
	case alerted && slices.Contains(alertsOfCertificates, alert):
		return refusal(Unwanted, err, "it does not trust our certificate (%v): %s", alert, oneCA)
	case errors.As(err, &timeout) && timeout.Timeout():
		return refusal(Silent, err, "it takes connections and says nothing: is it stopped, or something else?")
	}
	return untrusted(err, "its certificate")
}

// notAdmitted says why a peer that has connected to us was turned away. It returns nil for one that only had a look.
func notAdmitted(err error) *Refusal {
	var plain tls.RecordHeaderError
	var invalid *tls.CertificateVerificationError
	alert, alerted := alertOf(err)
	switch {
	case errors.As(err, &plain):
		return refusal(Plaintext, err, "it does not speak TLS, and has no certificate: %s", bothOrNeither)
	case errors.As(err, &invalid):
		return untrusted(err, "its certificate")
	case alerted:
		return refusal(Unwanted, err, "it does not trust our certificate (%v): %s, and ours has to cover the address that it uses", alert, oneCA)
	case err.Error() == "tls: client didn't provide a certificate": // there is no type for it
		return refusal(Unwanted, err, "it has no certificate of our CA: %s", oneCA)
	}
	return nil
}

// untrusted says what is wrong with a peer's certificate.
func untrusted(err error, what string) *Refusal {
	if v := (*tls.CertificateVerificationError)(nil); errors.As(err, &v) && len(v.UnverifiedCertificates) > 0 {
		what += fmt.Sprintf(" (of %.64q)", v.UnverifiedCertificates[0].Subject.CommonName)
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return refusal(Foreign, err, "%s was issued by another CA than ours: %s", what, oneCA)
	case errors.As(err, &name):
		return refusal(Misnamed, err, "%s does not cover this address (%q): use one that it covers, or issue it anew", what, name.Error())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return refusal(Expired, err, "%s has expired, or is not good yet: %s", what, renew)
	case errors.As(err, &invalid):
		return refusal(Foreign, err, "%s is not good: %q", what, err.Error())
	}
	return refusal(Stranger, err, "what is there breaks off (%q): is this its port?", err.Error())
}

// The alerts of TLS that are told apart: RFC 8446, section 6.
const (
	alertExpired    tls.AlertError = 45
	alertNoProtocol tls.AlertError = 120
)

// alertsOfCertificates are those from bad_certificate to certificate_unknown, unknown_ca, access_denied and certificate_required.
var alertsOfCertificates = []tls.AlertError{42, 43, 44, 45, 46, 48, 49, 116}

// alertOf returns the alert that the other side has sent. Outside of QUIC crypto/tls does not export its type, which is a number.
func alertOf(err error) (tls.AlertError, bool) {
	op := (*net.OpError)(nil)
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return tls.AlertError(v.Uint()), true
}
