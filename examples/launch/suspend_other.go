//go:build !linux

package main

func stopSelf() {}

func continuable() bool { return false }
