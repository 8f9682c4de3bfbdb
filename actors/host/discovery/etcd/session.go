package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/status"

	"github.com/go-muster/muster/actors/host/discovery"
)

const (
	answer   = 2 * time.Second        // how long one request may take; the store is out of reach then
	retry    = 500 * time.Millisecond // between two attempts
	farewell = time.Second            // how long a member that leaves tries to say so
)

// A session is one connection to the store. It belongs to one goroutine.
type session struct {
	*clientv3.Client
	provider *Provider
	reason   atomic.Pointer[string] // what the connection last failed of
	ill      bool                   // the last request had no answer; belongs to health
}

// with connects, runs f, and ends the connection. What f is given dies with it, not with ctx: a member says farewell.
func (p *Provider) with(ctx context.Context, f func(*session) error) error {
	s := &session{provider: p}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	err := s.insist(ctx, func(context.Context) (err error) {
		stop := context.AfterFunc(ctx, end)
		defer stop()
		s.Client, err = clientv3.New(s.config(life)) // speaks to the store if it has to authenticate
		return err
	})
	if err == nil && ctx.Err() == nil {
		err = f(s)
	}
	if s.Client != nil {
		s.Close()
	}
	p.health.leave(s)
	return err
}

// config is how the client of etcd finds back soon: it redials every second at most, where gRPC would wait for minutes, and
// gives up a connection that swallows everything after 3 s. A ping every 10 s is what gRPC allows at most.
func (s *session) config(life context.Context) clientv3.Config {
	c := s.provider.config
	redial := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}
	return clientv3.Config{
		Context: life, Logger: zap.NewNop(),
		Endpoints: slices.Clone(c.Endpoints), TLS: c.TLS, Username: c.Username, Password: c.Password,
		DialTimeout: answer, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		PermitWithoutStream: true,
		DialOptions: []grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: redial, MinConnectTimeout: answer}),
			grpc.WithChainUnaryInterceptor(s.listen),
		},
	}
}

// listen keeps what a request failed of: the client only says that time was up.
func (s *session) listen(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := call(ctx, method, req, reply, conn, opts...)
	if err != nil {
		reason := status.Convert(err).Message()
		s.reason.Store(&reason)
	}
	return err
}

// insist calls f until the store answers, ctx is done, or f has failed for good, which is its error.
func (s *session) insist(ctx context.Context, f func(context.Context) error) error {
	for {
		err := s.try(ctx, f)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if final(err) {
			return err
		}
		pause(ctx, retry)
	}
}

// try makes one request and keeps account of whether the store is in reach.
func (s *session) try(ctx context.Context, f func(context.Context) error) error {
	request, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	s.reason.Store(nil)
	err := rpctypes.Error(f(request))
	switch {
	case err == nil:
		s.provider.health.note(s, nil)
	case ctx.Err() != nil: // nobody wants to know any more
	case final(err):
		err = fmt.Errorf("etcd: %s refuses: %w", s.where(), err)
	default:
		err = fmt.Errorf("%w: %s: %s", discovery.ErrUnreachable, s.where(), s.why(err))
		s.provider.health.note(s, err)
	}
	return err
}

func (s *session) where() string { return strings.Join(s.provider.config.Endpoints, ", ") }

// why is what people can use of an error. Whoever hangs up on us does not say that it wants TLS, or a certificate; we can.
func (s *session) why(err error) string {
	text := s.cause(err)
	switch c := s.provider.config; {
	case strings.Contains(text, "while dialing") || strings.Contains(text, "x509:"):
		return text
	case c.TLS == nil && !strings.HasPrefix(c.Endpoints[0], "https://"):
		return text + " (it was spoken to without TLS)"
	case c.TLS == nil || len(c.TLS.Certificates) == 0 && c.TLS.GetClientCertificate == nil:
		return text + " (it was shown no client certificate)"
	default:
		return text
	}
}

// cause is the innermost text of an error of gRPC.
func (s *session) cause(err error) string {
	text := status.Convert(err).Message()
	if reason := s.reason.Load(); reason != nil {
		text = *reason
	}
	for _, wrapper := range []string{"last connection error: ", "latest balancer error: ", `desc = "`, "transport: "} {
		if _, inner, ok := strings.Cut(text, wrapper); ok {
			text = strings.TrimSuffix(inner, `"`)
		}
	}
	return text
}

// final reports whether an error will not pass: waiting for it would hide it.
func final(err error) bool {
	for _, refusal := range []error{
		rpctypes.ErrAuthFailed, rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// pause returns after d, or when ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// health is whether the store is in reach of all sessions. It reports what has changed, in order.
type health struct {
	mu     sync.Mutex
	report func(error)
	ill    int // sessions that have no answer
}

// note is told how a session's request went.
func (h *health) note(s *session, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.ill == (err != nil) {
		return
	}
	s.ill = err != nil
	before := h.ill
	if s.ill {
		h.ill++
	} else {
		h.ill--
	}
	if h.report != nil && (before == 0 || h.ill == 0) {
		h.report(err)
	}
}

// leave forgets a session that has ended, without a word: nothing has become well.
func (h *health) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.ill {
		h.ill--
	}
}
