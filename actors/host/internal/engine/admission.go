package engine

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

const (
	// rememberTime is how long nothing more is said of a peer that was turned away for the same reason.
	rememberTime = 10 * time.Minute
	// maxRemembered is how many there can be, and so how many lines in that time.
	maxRemembered = 256
)

// An admission is how peers that connect are received: as the credentials say. It tells of those that are turned away, each once for
// each reason: they come again several times a second.
type admission struct {
	credentials.TransportCredentials
	logger *slog.Logger
	away   atomic.Pointer[func(address string, why *Refusal)]
	now    func() time.Time

	mu    sync.Mutex
	seen  map[turned]bool
	since time.Time // of the first that was seen
}

// turned is a peer that was turned away.
type turned struct {
	host string
	why  Reason
}

func newAdmission(c credentials.TransportCredentials, logger *slog.Logger) *admission {
	return &admission{TransportCredentials: c, logger: logger, now: time.Now}
}

// ServerHandshake receives one peer.
func (a *admission) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := a.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		if why := notAdmitted(err); why != nil {
			a.turnAway(raw.RemoteAddr(), why)
		}
		return nil, nil, err
	}
	if info.AuthType() == "insecure" {
		conn = &opening{Conn: conn, admission: a}
	}
	return conn, info, nil
}

// Clone keeps who is told.
func (a *admission) Clone() credentials.TransportCredentials { return a }

func (a *admission) turnAway(from net.Addr, why *Refusal) {
	host, _, err := net.SplitHostPort(from.String())
	if err != nil {
		host = from.String()
	}
	if f := a.away.Load(); f != nil {
		(*f)(host, why)
	}
	if a.news(turned{host, why.Reason}) {
		a.logger.Warn("a peer was turned away", "peer", host, "reason", why.Text)
	}
}

// news reports whether this was not said lately.
func (a *admission) news(t turned) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.now(); a.seen == nil || now.Sub(a.since) > rememberTime {
		a.seen, a.since = map[turned]bool{}, now
	}
	if a.seen[t] || len(a.seen) >= maxRemembered {
		return false
	}
	a.seen[t] = true
	return true
}

// An opening is a connection without TLS, whose first byte tells whether the peer wants some.
type opening struct {
	net.Conn
	admission *admission
	begun     bool
}

// handshakeRecord is the type of what TLS begins with: RFC 8446, section 5.1.
const handshakeRecord = 22

// Read reads as the connection does. One goroutine of gRPC's reads.
func (o *opening) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	if n > 0 && !o.begun {
		o.begun = true
		if b[0] == handshakeRecord {
			o.admission.turnAway(o.RemoteAddr(), refusal(Encrypted, nil,
				"it speaks TLS, and we have no certificate: %s", bothOrNeither))
		}
	}
	return n, err
}
