// Package actors owns: a rank actor owns one process for its whole life and tells its parent what becomes of it.
//
//	pid := ctx.Spawn(actors.Rank(actors.Config{ID: id, Command: command, Launcher: process.Local()}))
//	…
//	case *actors.Ready:  // m.ID is about to run user code
//	case *actors.Raised: // m.ID raised m.Exception
//	case *actors.Exited: // nothing is left of m.ID; its actor has stopped itself
//
// The parent may answer with [Stop], [Kill], [Signal], [Dump] and [Abandon]. A rank actor decides nothing and never starts
// a second process: a restart is a new actor with a new generation, so a message of an old life has nobody to confuse
// (G-3).
package actors
