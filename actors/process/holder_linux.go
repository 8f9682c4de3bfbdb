package process

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// endNames returns the names under which /proc shows the ends of pipes and sockets, whoever holds them.
func endNames(files []*os.File) []string {
	names := make([]string, 0, len(files))
	for _, f := range files {
		if name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd()))); err == nil {
			names = append(names, name)
		}
	}
	return names
}

// holders lists the processes that have one of the ends open, as far as we may look. It reads all of /proc: it is for
// when a stream did not end with its process.
func holders(ends []string) []Leftover {
	pids, _ := filepath.Glob("/proc/[0-9]*")
	var left []Leftover
	for _, dir := range pids {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || !holds(dir+"/fd", ends) {
			continue
		}
		if comm, _, alive := stat(filepath.Base(dir)); alive {
			left = append(left, Leftover{PID: pid, Name: comm})
		}
	}
	return left
}

// holds looks at the descriptors that can be written to: both ends of a pipe have one name, and a process that is just
// being started has ours for a moment.
func holds(dir string, ends []string) bool {
	entries, _ := os.ReadDir(dir)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		name, err := os.Readlink(dir + "/" + e.Name())
		if err != nil || !slices.Contains(ends, name) {
			return false
		}
		info, err := os.Lstat(dir + "/" + e.Name())
		return err == nil && info.Mode()&0o200 != 0
	})
}
