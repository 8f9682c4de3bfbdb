package runs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrRoot is a directory of runs that cannot be used, because of who else could, or could have made it.
var ErrRoot = errors.New("runs: unsafe directory")

// ErrUnsupported is what all of this gives on a system on which it was not made to work.
var ErrUnsupported = fmt.Errorf("runs: running groups cannot be reached on this system: %w", errors.ErrUnsupported)

// The files of a run.
const (
	infoFile   = "launch.json"
	socketFile = "socket"
	newPrefix  = ".new-" // of a directory that is not complete yet
)

// Root returns the directory of the runs of this user, and whether somebody has chosen it.
func Root() (dir string, chosen bool) {
	if dir := os.Getenv("LAUNCH_RUN_DIR"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			abs = dir
		}
		return abs, true
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && owned(dir) == nil {
		return filepath.Join(dir, "muster"), false
	}
	return filepath.Join(os.TempDir(), "muster-"+strconv.Itoa(os.Geteuid())), false
}

// makeRoot returns the directory of runs, which it makes if need be, and makes sure that it is ours alone.
func makeRoot() (string, error) {
	dir, _ := Root()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("%w: %w", ErrRoot, err)
	}
	return dir, checkRoot(dir)
}

// checkRoot makes sure that nobody else has, or may put, anything into the directory of runs.
func checkRoot(dir string) error {
	if err := owned(dir); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRoot, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%w: %s is open to others (%v): chmod 700 it, or set LAUNCH_RUN_DIR", ErrRoot, dir, info.Mode().Perm())
	}
	return nil
}

// nameOf is the name of a run's directory: a run may be called what no file can be.
func nameOf(run string) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == '/' || r == filepath.Separator || r == 0x7f {
			return '_'
		}
		return r
	}, run)
	if name == "" || name[0] == '.' {
		name = "_" + name
	}
	const most = 128 // bytes, of the 255 that a name may have
	return strings.ToValidUTF8(name[:min(len(name), most)], "")
}
