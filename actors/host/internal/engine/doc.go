// Package engine connects the actor systems of several hosts by protoactor-go's remote, in a way that can be exposed to a network:
// mutual TLS, one kind of message, to actors that were named, limits on everything, and no input that ends the process.
//
// It speaks remote's protocol, with remote's service and messages, by endpoints of its own (ADR 7).
package engine
