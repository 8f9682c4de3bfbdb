//go:build !linux

package host

func memory() uint64 { return 0 }

func gpus() int { return 0 }
