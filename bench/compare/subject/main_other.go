//go:build !linux

package main

func main() { panic("the comparison runs on Linux only") }
