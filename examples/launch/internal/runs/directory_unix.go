//go:build linux || darwin

package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// longestPath is the longest path of a socket, in bytes, that all systems take: macOS has room for 104, with the zero.
const longestPath = 103

// owned makes sure that a directory is ours, and no symbolic link.
func owned(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRoot, err)
	}
	switch uid := info.Sys().(*syscall.Stat_t).Uid; {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%w: %s is a symbolic link: remove it, or set LAUNCH_RUN_DIR", ErrRoot, dir)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is no directory: remove it, or set LAUNCH_RUN_DIR", ErrRoot, dir)
	case int(uid) != os.Geteuid():
		return fmt.Errorf("%w: %s belongs to user %d: set LAUNCH_RUN_DIR to a directory of your own", ErrRoot, dir, uid)
	}
	return nil
}

// A directory is that of one run, and locked while it is open.
type directory struct {
	path string
	lock *os.File
}

// lockDirectory opens a directory and locks it; errLocked when somebody else has.
func lockDirectory(path string) (*os.File, error) {
	f, err := openDirectory(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errLocked
		}
		return nil, err
	}
	return f, nil
}

func openDirectory(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

var errLocked = errors.New("it is locked")

// makeDirectory makes the directory of a run with its socket. It has its name when it is complete, so that nobody sees it
// before.
func makeDirectory(info Info) (*directory, *net.UnixListener, error) {
	root, err := makeRoot()
	if err != nil {
		return nil, nil, err
	}
	sweep(root)
	path, err := os.MkdirTemp(root, newPrefix)
	if err != nil {
		return nil, nil, err
	}
	d := &directory{path: path}
	if d.lock, err = lockDirectory(path); err != nil {
		d.remove()
		return nil, nil, err
	}
	l, err := d.fill(root, info)
	if err != nil {
		d.remove()
		return nil, nil, err
	}
	return d, l, nil
}

func (d *directory) fill(root string, info Info) (*net.UnixListener, error) {
	text, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(d.path, infoFile), text, 0o600); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketPath(d.path, d.lock), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the directory goes with all that is in it
	name := filepath.Join(root, nameOf(info.Run))
	err = os.Rename(d.path, name)
	if err != nil { // two runs of one name: their starts tell them apart
		name += fmt.Sprintf("~%d", info.PID)
		err = os.Rename(d.path, name)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	d.path = name
	return l, nil
}

// remove removes the directory, of which nothing but our own files is touched, and then gives the lock back.
func (d *directory) remove() {
	for _, name := range []string{socketFile, infoFile} {
		_ = os.Remove(filepath.Join(d.path, name))
	}
	_ = os.Remove(d.path)
	if d.lock != nil {
		d.lock.Close()
	}
}

// socketPath names the socket in an open directory. The address of a socket has room for some hundred bytes: a longer path goes
// through the descriptor, where the system has a name for that.
func socketPath(dir string, open *os.File) string {
	path := filepath.Join(dir, socketFile)
	if len(path) <= longestPath {
		return path
	}
	if by := fmt.Sprintf("/proc/self/fd/%d", open.Fd()); exists(by) {
		return by + "/" + socketFile
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// sweep removes what launches have left that are gone.
func sweep(root string) { _, _ = list(root) }

// list returns the runs whose launch lives, and removes the others.
func list(root string) (all []Run, err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if r, ok := look(filepath.Join(root, entry.Name()), entry); ok {
			all = append(all, r)
		}
	}
	return all, nil
}

// look returns a run, if its launch lives. What is no run's is left alone: the directory of runs may be one in which people
// keep other things.
func look(path string, entry fs.DirEntry) (r Run, ok bool) {
	if !entry.IsDir() || owned(path) != nil {
		return r, false
	}
	unfinished := strings.HasPrefix(entry.Name(), newPrefix)
	info, err := readInfo(filepath.Join(path, infoFile))
	if err != nil && !unfinished {
		return r, false
	}
	lock, err := lockDirectory(path)
	switch {
	case errors.Is(err, errLocked):
		return Run{Info: info, dir: path}, !unfinished
	case err != nil:
		return r, false
	case unfinished && !old(path): // its launch may be about to lock it
		lock.Close()
	default:
		(&directory{path, lock}).remove()
	}
	return r, false
}

func old(path string) bool {
	info, err := os.Stat(path)
	return err == nil && time.Since(info.ModTime()) > time.Minute
}

// readInfo reads what a launch has said of itself.
func readInfo(path string) (info Info, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return info, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRequest))
	if err == nil {
		err = json.Unmarshal(text, &info)
	}
	if err == nil && (info.Run == "" || info.PID <= 0) {
		err = errors.New("it is not a launch's")
	}
	return info, err
}

// dial connects to a launch.
func dial(dir string) (*net.UnixConn, error) {
	open, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer open.Close()
	c, err := net.DialTimeout("unix", socketPath(dir, open), patience)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}
