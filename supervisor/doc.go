// Package supervisor decides: it runs a group of processes as one thing, and says what happens when one of them fails.
//
//	func init() { worker.Register("hello", hello) }
//
//	func hello(ctx context.Context, me worker.Info) error {
//		fmt.Printf("hello from rank %d of %d\n", me.Rank, me.World)
//		return nil
//	}
//
//	func main() {
//		worker.Main() // does not return in a rank
//		err := supervisor.Run(context.Background(), supervisor.Spec{
//			Ranks:    supervisor.Repeat(4, process.Reexec("hello")),
//			Strategy: supervisor.AllForOne{Restarts: 3, Within: time.Hour},
//		})
//		var failure *supervisor.Failure
//		if errors.As(err, &failure) {
//			log.Fatal(failure) // rank 2@3: panic: boom
//		}
//	}
//
// [Run] is [Start] and [Group.Wait]. A [Spec] is data, a [Strategy] is a pure function from a [State] and a [Failure] to a
// [Directive], an [Option] is plumbing. [Map] runs a typed function once per argument and returns the results by rank.
//
// A rank has failed as soon as its worker says so (an exception, even if the process lives on), or when its process ends
// badly. The first failure of a generation is decided upon once; what fails while the ranks are being stopped joins it.
// No rank of the next generation starts before the last process of the old one, and its process group, is gone.
//
// Inside, a root actor is the shell around a pure machine, and each rank actor owns one process: see docs/design.md,
// and docs/states.md for the machine's table. The machine begins in machine.go, the shell in root.go; what is called bench is the
// virtual world in which both strategies and the machine are tried (package supervisortest), and nothing of it runs in a group.
package supervisor
