//go:build !unix

package process

// signalNames are those of the signals that package syscall knows everywhere.
var signalNames = map[Signal]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
	9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
}

func signalName(s Signal) string { return signalNames[s] }

func signalNamed(name string) Signal {
	for s, n := range signalNames {
		if n == name {
			return s
		}
	}
	return 0
}
