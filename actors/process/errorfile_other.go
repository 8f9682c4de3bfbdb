//go:build !linux

package process

import "os"

// openErrorFile returns none: only Linux opens a pipe by the path of a descriptor in another process.
func openErrorFile() (f *os.File, path string, err error) { return nil, "", nil }
