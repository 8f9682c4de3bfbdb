//go:build !linux

package process

func (*guard) preflight([]Command) error { return nil }
