// Package host runs the ranks of one group on several machines. A program that owns the group opens a [Pool]; each machine runs an
// agent ([Serve]), which joins the pool and owns the processes that the group's ranks are there:
//
//	pool, err := host.Open(host.Config{Listen: "10.0.0.1:7070", TLS: certificates, PerHost: 4})
//	…
//	_, err = pool.Await(ctx, 2, 2, 0)
//	err = supervisor.Run(ctx, spec, supervisor.WithLauncher(pool))
//	pool.Close()
//
// and on the others
//
//	err := host.Serve(ctx, host.AgentConfig{Join: "10.0.0.1:7070", TLS: certificates})
//
// Nothing else changes: a strategy decides as for one machine, and a lost host is one more failure, [process.ErrHostLost].
//
// # How
//
// A rank actor of the root owns a life, which looks like a process and is one on another host. Its link is the root's actor for that
// host; the agent is an actor, too, and a tenant of it is the process's observer. What they tell each other are msgpack maps in frames
// of a session, which numbers, acknowledges and sends again, for the engine below may lose them. Three parts decide and are pure:
// session.go, lease.go and placement.go.
//
//	root actor ── rank actor ── life ─┐                                 ┌─ tenant ── process
//	                                  link ══ session over the engine ══ agent
//	door (lets agents in) ────────────┘                                 └─ watchdog (knows the lease)
//
// Only programs that import this package link gRPC.
package host
