//go:build !unix

package process

import "os"

const opensItself = false

func duplicate(f *os.File) (*os.File, error) { return os.Open(f.Name()) }

func openNull() (*os.File, error) { return os.Open(os.DevNull) }
