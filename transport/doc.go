// Package transport carries what a supervisor and the worker inside a process say to each other: frames on an
// inherited socket, and the messages in them.
//
//	a, b, err := transport.Pair()           // a stays here, b becomes fd 3 of the process
//	conn := transport.NewConn(a)
//	msg, err := conn.Recv()                 // *Hello, *Ready, *Exception, *Result, *Heartbeat …
//	err = conn.Send(&transport.Stop{Reason: "rank 2 failed", Grace: 30 * time.Second})
//
// The byte format is docs/protocol.md; this package is its transliteration. A frame is read under a length cap, its
// body passes a structural walk before the msgpack decoder sees it, and the decoder runs under recover: no sequence of
// bytes can make a reader panic, exhaust memory or overflow the stack.
//
// An [Exception] is an error raised in a worker: a message on the wire, and an error in Go, whose causes errors.Is and
// errors.As walk.
//
// The package does not start processes, does not time anything out and does not decide anything.
package transport
