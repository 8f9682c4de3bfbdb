//go:build !unix

package main

import "os"

func inForeground(*os.File) bool { return true }

func onSuspend(*screen) (stop func()) { return func() {} }
