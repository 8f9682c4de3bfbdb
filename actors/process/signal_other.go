//go:build !unix

package process

func signalName(Signal) string { return "" }
