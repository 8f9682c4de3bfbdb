package process

import "os"

// openStdin opens what a process reads. Its own is handed on as it is, wherever somebody has read it to, and a named pipe
// is opened by the process itself, who can be killed while it waits for a writer.
func openStdin(path string) (*os.File, error) {
	switch {
	case path == "" || opensItself && isFifo(path):
		path = os.DevNull
	case path == "/dev/stdin":
		return duplicate(os.Stdin)
	}
	return os.Open(path)
}

func isFifo(path string) bool {
	if path == "" || path == "/dev/stdin" {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
