package process

import "os"

// openStdin opens what a process reads. The supervisor's own is handed on as it is, wherever somebody has read it to.
func openStdin(path string) (*os.File, error) {
	switch {
	case path == "":
		return openNull()
	case path == "/dev/stdin":
		return duplicate(os.Stdin)
	}
	return os.Open(path)
}

// isFifo finds what a process has to open itself: it can be killed while it waits for a writer.
func isFifo(path string) bool {
	if path == "" || path == "/dev/stdin" {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
