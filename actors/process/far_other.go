//go:build !linux

package process

// far is for systems that have a stage for processes that begin with something that may hang.
func far(string) bool { return false }
