// Package engine connects the actor systems of several hosts by protoactor-go's remote, in a way that can be exposed to a network:
// mutual TLS, one kind of message, to actors that were named, limits on everything, and no input that ends the process.
//
// It speaks remote's protocol, with remote's service and messages, by endpoints of its own (ADR 7).
//
// # What is sent, and what is lost
//
// Each direction has a connection of its own, which the first message opens. Messages to one actor arrive in order, at most once.
// Between two systems nothing but that is promised: numbers, acknowledgements and repetition belong to whoever needs them.
//
//   - Up to 64 MiB wait for a peer, bodies and 1 KiB for each message. What comes then is dropped, as is a message larger than
//     [MaxMessage].
//   - What waits stays while the connection is opened again. After 30 s without one it is dropped, [Engine.Unreachable] is told, and
//     the next message begins anew.
//   - What gRPC has taken, which is batches of up to 256 KiB as far as its windows go, is lost with a connection that breaks, and
//     nobody is told which part had arrived.
//   - [Engine.Stop] drops what waits.
//
// Drops are counted, and logged when the count passes a power of two.
//
// # When a connection is lost
//
// A peer that ends, or whose host answers that nobody is there, is known to be gone at once. One that falls silent is found out when
// something was sent and its kernel has not acknowledged it for 3 s (TCP_USER_TIMEOUT), or else, when its kernel does (SIGSTOP, a
// debugger) or nothing was sent, by a ping that is due 10 s after the last sign of life and has 3 s. Both ends look.
//
// It is then tried again after 60 ms, later after 250 ms: 1 s each for TCP, 5 s for TLS and HTTP/2. A connection that has survived a
// partition sends again within a second (TCP_RTO_MAX_MS, from Linux 6.15 on; before, up to 1.6 s). Measured between two network
// namespaces with a message every 10 ms, from the moment of healing until messages flow again, and how many of what was sent
// from the cut on are lost:
//
//	cut off for    flow again after    lost    without TCP_RTO_MAX_MS
//	1 s            0.2 s               none    0.2 s, none
//	2.2 s          0.1 to 0.9 s        none    1.6 s, those of 3.6 s
//	3 s            0.1 s               none    0.8 s, those of 3.7 s
//	10 s           0.9 to 1.1 s        those of 3.7 s, until it is noticed
//
// TestHealing logs these. TCP_THIN_LINEAR_TIMEOUTS made no difference.
//
// # An address that is somebody else's now
//
// An address is all that a peer is: when another program listens there, messages for the old one go to the actor of the same name in
// the new one, in which nobody is warned. They have to carry what tells them apart (package host: the number of a session), and with
// TLS [Peer] says who sent them. There are no blocked or dead addresses, and no state of a peer outlives its connection but what waits.
//
// # Who is refused
//
// [Probe] tells why a peer cannot be talked to, [Engine.TurnedAway] who could not talk to us, both as a [Refusal].
package engine
