// Embed is a service with actors of its own. One of them has two groups of processes for children: workers that answer
// questions and are there for good, and a job that comes to an end.
//
//	go run ./examples/embed -listen 127.0.0.1:8080
//	curl 127.0.0.1:8080/status
//	kill PID
//
// A worker that dies is started again, and nobody else is. When the workers die too often the service ends, with status 1;
// SIGTERM ends it in order, with status 0: first the ranks, then the actors, then the server.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/transport/worker"
)

func main() {
	worker.Main() // does not return in a rank
	listen := flag.String("listen", "127.0.0.1:0", "where the service answers")
	workers := flag.Int("workers", 2, "how many processes answer questions")
	flag.Parse()
	if err := serve(*listen, *workers); err != nil {
		log.Fatal(err)
	}
}

// serve runs the service until a signal comes, or until it can go on no longer.
func serve(address string, workers int) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	service, err := newService(workers)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	system := actor.NewActorSystem()
	pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return service }))
	server := &http.Server{Handler: handler(system, pid)}
	go func() { _ = server.Serve(listener) }() // ends with Shutdown
	fmt.Printf("pid %d answers at http://%v/status\n", os.Getpid(), listener.Addr())

	select {
	case <-ctx.Done():
		system.Root.Send(pid, &shutDown{})
	case <-service.done:
	}
	<-service.done // nothing of a group is left
	_ = server.Shutdown(context.Background())
	system.Shutdown()
	return service.err
}
