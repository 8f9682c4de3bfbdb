package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portHolder names who listens on a TCP port, such as "python3 (pid 4711)"; "" where that cannot be seen: the process is another
// user's, or in another network namespace, or gone by now.
func portHolder(port string) string {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(table)
		listening(string(text), number, sockets)
	}
	if len(sockets) == 0 {
		return ""
	}
	found, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range found {
		if link, err := os.Readlink(fd); err == nil && sockets[link] {
			pid := filepath.Base(filepath.Dir(filepath.Dir(fd)))
			name, _ := os.ReadFile(filepath.Join("/proc", pid, "comm"))
			return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}

// listening collects the sockets of a table of the kernel that listen on a port, as links of descriptors name them.
func listening(table string, port uint64, sockets map[string]bool) {
	const address, state, inode, listens = 1, 3, 9, "0A"
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) <= inode || f[state] != listens {
			continue
		}
		_, hex, _ := strings.Cut(f[address], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && n == port {
			sockets["socket:["+f[inode]+"]"] = true
		}
	}
}
