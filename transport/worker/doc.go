// Package worker is the Go side of a rank: the code inside a process that a supervisor started.
//
// A program registers the functions that ranks may run and calls [Main] first thing in main. In the process that people
// start, Main returns at once; in a process that a supervisor started by re-executing the program, it runs the
// registered function and never returns.
//
//	func init() { worker.Register("hello", hello) }
//
//	func hello(ctx context.Context, me worker.Info) error {
//		fmt.Printf("hello from rank %d of %d\n", me.Rank, me.World)
//		return nil
//	}
//
//	func main() {
//		worker.Main()
//		err := supervisor.Run(context.Background(), supervisor.Spec{
//			Ranks: supervisor.Repeat(4, process.Reexec("hello")),
//		})
//		…
//	}
//
// [Func] does the same with a typed argument and a typed result, and returns a handle which the parent passes to
// supervisor.Map.
//
// [Progress] tells the supervisor how far the work is. Heartbeats, and the stacks of all goroutines when the supervisor asks
// for them, are sent from beside the function, which need not know.
//
// Ranks that are talked to take [Messages], and [Tell] or [Request] the other way. They meet by [Barrier], [Broadcast] and
// [AllGather], and find each other by [Set] and [Get]: no port is opened, and no file written.
//
// What goes wrong travels to the supervisor as an exception: a returned error with everything it wraps and joins, a
// panic of the function with its stack, a panic or fatal error of any other goroutine as the runtime describes it. Sentinel
// errors that both sides name with transport.RegisterError satisfy errors.Is there, errors of a type that both name with
// transport.RegisterErrorType errors.As. A function that calls os.Exit reports nothing: its exit says so.
//
// The package imports the standard library, msgpack and x/sys only: a worker binary links no actor library.
package worker
