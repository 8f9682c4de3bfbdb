// Package watchdog ends what a supervisor started when the supervisor itself is killed.
//
// The watchdog is a process of its own: this very binary, executed again, which never reaches its main. It holds the
// reading end of a lifeline whose writing end only the supervisor has. What to end, it is told over the lifeline; when
// the lifeline ends, however that came about, it ends it, and itself.
//
//	w, err := watchdog.Start()
//	w.Tell(watchdog.Orders{Cgroup: "/sys/fs/cgroup/muster-4711-1", Mark: "MUSTER_TREE=5e0c…"})
//	…
//	w.Stop() // nothing is left to guard
//
// A process cannot be made a watchdog by its environment: it must have been executed under a name that no program has,
// and hear the right first word on the right descriptor.
package watchdog
