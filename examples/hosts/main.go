// Hosts counts prime numbers on many machines: a root that hands out pieces, and an agent on each machine that runs some of them.
//
//	hosts root 127.0.0.1:7070 2     # waits for two agents
//	hosts agent 127.0.0.1:7070 a    # on one machine, or in another terminal
//	hosts agent 127.0.0.1:7070 b
//
// The same binary is root, agent and worker. Off the loopback interface all want certificates, which launch certs makes, or package
// certs: the last argument is the directory of one's own.
//
//	hosts root 10.0.0.1:7070 2 certs/root
//	hosts agent 10.0.0.1:7070 a certs/a
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/go-muster/muster/actors/host"
	"github.com/go-muster/muster/actors/host/certs"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport/worker"
)

// A piece is numbers from one to before another.
type piece struct{ From, To int }

var primes = worker.Func("primes", func(_ context.Context, _ worker.Info, p piece) (n int, _ error) {
	for i := max(2, p.From); i < p.To; i++ {
		if isPrime(i) {
			n++
		}
	}
	return n, nil
})

func isPrime(n int) bool {
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}

func main() {
	worker.Main() // does not return in a rank
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // who asks twice does not want to wait
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hosts:", err)
		os.Exit(1)
	}
}

// perHost is how many ranks each host runs.
const perHost = 4

func run(ctx context.Context, args []string, out io.Writer) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var secure *tls.Config
	if len(args) == 4 {
		var err error
		if secure, err = certs.Load(args[3]); err != nil {
			return err
		}
		args = args[:3]
	}
	switch {
	case len(args) == 3 && args[0] == "root":
		hosts, err := strconv.Atoi(args[2])
		if err != nil || hosts < 1 {
			return fmt.Errorf("%q is no number of hosts", args[2])
		}
		return root(ctx, host.Config{Listen: args[1], TLS: secure, PerHost: perHost, Logger: logger}, hosts, out)
	case len(args) == 3 && args[0] == "agent":
		return host.Serve(ctx, host.AgentConfig{
			Join: args[1], Name: args[2], TLS: secure, Slots: perHost, Patience: time.Minute, Logger: logger,
		})
	}
	return errors.New("write root HOST:PORT HOSTS [CERTS], or agent HOST:PORT NAME [CERTS]")
}

// root waits for hosts and has them count. What is lost with a host is counted again, on those that are left.
func root(ctx context.Context, c host.Config, hosts int, out io.Writer) error {
	pool, err := host.Open(c)
	if err != nil {
		return err
	}
	defer pool.Close()
	fmt.Fprintf(out, "waiting for %d hosts at %s\n", hosts, pool.Addr())
	if _, err := pool.Await(ctx, hosts, hosts, 0); err != nil {
		return err
	}
	const each = 25_000
	var pieces []piece
	for i := range perHost * hosts {
		pieces = append(pieces, piece{i * each, (i + 1) * each})
	}
	counts, err := supervisor.Map(ctx, supervisor.Spec{Name: "primes", Strategy: supervisor.OneForOne{Restarts: 3}}, primes, pieces,
		supervisor.WithLauncher(pool))
	if err != nil {
		return err
	}
	sum := 0
	for _, n := range counts {
		sum += n
	}
	_, err = fmt.Fprintf(out, "%d primes below %d\n", sum, perHost*hosts*each)
	return err
}
