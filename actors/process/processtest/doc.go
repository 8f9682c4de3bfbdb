// Package processtest is for tests that start real processes, in this module and in programs that are built on it.
//
//	func TestMain(m *testing.M) { processtest.Main(m) }
//
//	var exit = processtest.Helper("exit", func() { os.Exit(len(os.Args) - 1) })
//
//	func TestExit(t *testing.T) {
//		processtest.Check(t) // nothing of what the test starts may outlive it
//		p, err := process.Local().Launch(process.ID{}, processtest.Command(t, exit, "a", "b"), observer)
//		…
//	}
//
// A test binary that calls [Main] can be executed again as one of the helper commands that stand beside its tests, and as
// an entry point of transport/worker, for process.Reexec. A helper nobody uses fails a complete run.
//
// [Check] finds what a test leaves behind: goroutines, descriptors, zombies, and every process that descends from it, even
// one that has left its group, its session and its parents.
package processtest
