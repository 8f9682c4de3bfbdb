// Package actorstest is for tests of what stands above processes: a [process.Launcher] whose processes are scripts.
//
// A test plays the processes. It takes each one as it is launched, lets it say and do things, and sees the orders that it
// is given:
//
//	launcher := actorstest.NewLauncher(t)
//	// … start what is to be tested with launcher …
//	rank := launcher.Next(ctx)
//	rank.Ready()
//	rank.Raise(&transport.Exception{Type: "ValueError"})
//	if order := rank.Order(ctx); order != (actors.Stop{Reason: "rank 0 failed", Grace: time.Second}) { … }
//	rank.Exit(process.Exit{Code: 1})
//
// Nothing happens unless the test makes it happen, in the order in which it does: a call such as Ready returns once its
// observer has taken the fact. Where many processes do the same, [Launcher.Play] gives each a script of its own.
//
// [Hosts] does the same for a launcher with several hosts, which join and are lost when the test says so.
//
// No process is ever started, and no signal ever sent.
package actorstest
