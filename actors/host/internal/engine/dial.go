package engine

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

const (
	keepaliveTime    = 10 * time.Second // the least that gRPC allows
	keepaliveTimeout = 3 * time.Second  // also how long what was sent may stay unacknowledged: TCP_USER_TIMEOUT
	connectTimeout   = time.Second      // for TCP alone: how often a host that does not answer is asked
	maxBackoff       = 250 * time.Millisecond
)

func dialOptions(creds credentials.TransportCredentials, plain bool) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, address, plain) }),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: maxBackoff / 4, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxBackoff},
			MinConnectTimeout: handshakeTimeout,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true,
		}),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallSendMsgSize(maxBatch), grpc.MaxCallRecvMsgSize(overhead)),
		grpc.WithIdleTimeout(0),
		grpc.WithDisableServiceConfig(),
	}
}

func dial(ctx context.Context, address string, plain bool) (net.Conn, error) {
	if plain {
		if err := loopback(ctx, address); err != nil {
			return nil, err
		}
	}
	return (&net.Dialer{Timeout: connectTimeout, Control: eager}).DialContext(ctx, "tcp", address)
}
