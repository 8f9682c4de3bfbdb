// Package process is what a rank actor owns: one process of the operating system, from its start to the moment when
// nothing of it is left.
//
//	p, err := process.Local().Launch(process.ID{Rank: 0}, process.Command{Args: []string{"python3", "train.py"}}, observer)
//	…
//	p.Stop("a peer failed", 30*time.Second) // begins the end
//	p.Kill()                                // ends the patience
//	                                        // observer.Exited tells the end, once and last
//
// A process runs in a process group of its own, dies with the supervisor where the system can arrange that, has its
// standard output and error on pipes that are read by line, and (unless its Command is plain) one end of a socket on
// descriptor 3. Waiting costs no thread: on Linux the end comes from a pidfd through the runtime's poller.
//
// The package knows nothing of actors, strategies or restarts, and never signals or reaps a process that it did not
// start.
package process
