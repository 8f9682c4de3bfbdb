package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/supervisor"
)

// handler answers /status with what is known of both groups, and /status/NAME with what is known of one.
func handler(system *actor.ActorSystem, service *actor.PID) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		write(w, map[string]*supervisor.Report{
			"workers": report(r.Context(), system, service, "workers"), "job": report(r.Context(), system, service, "job"),
		})
	})
	mux.HandleFunc("GET /status/{name}", func(w http.ResponseWriter, r *http.Request) {
		known := report(r.Context(), system, service, r.PathValue("name"))
		if known == nil {
			http.NotFound(w, r)
			return
		}
		write(w, known)
	})
	return mux
}

// report asks for the report of a group, nil when there is none. A group that ends just now answers nobody; asked again,
// the service has its last report.
func report(ctx context.Context, system *actor.ActorSystem, service *actor.PID, name string) *supervisor.Report {
	for ctx.Err() == nil {
		answer, _ := system.Root.RequestFuture(service, &reportOf{name}, time.Second).Result()
		if r, is := answer.(*supervisor.Report); is {
			return r
		}
	}
	return nil
}

func write(w http.ResponseWriter, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // who asked may be gone
}
