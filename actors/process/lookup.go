package process

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode"

	"github.com/go-muster/muster/actors/process/stage"
)

// lookup finds a command's program and says everything that is wrong with the command: a program that is missing, a
// directory, not executable, or a script whose interpreter is missing; a directory or an input that is not there; settings
// that cannot be made. It may take for ever: see lookupInTime.
func lookup(c Command) (place, error) {
	dir := c.checkDir()
	path, err := c.findProgram(dir == nil)
	seen, script := c.inDir(path), ""
	if err == nil {
		script, err = findInterpreter(seen)
	}
	if err := errors.Join(dir, c.checkSetup(), err); err != nil {
		return place{}, err
	}
	return place{
		path: path, far: far(c.Dir) || far(seen) || far(script),
		stdin: opensItself && (isFifo(c.Stdin) || far(c.Stdin)),
	}, nil
}

// findProgram looks for the program; one that is relative to a directory only where that is one.
func (c Command) findProgram(dir bool) (string, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return "", fmt.Errorf("process: the command is empty: name a program")
	}
	path := c.Args[0]
	if !strings.ContainsRune(path, filepath.Separator) {
		found, err := exec.LookPath(path)
		if errors.Is(err, exec.ErrDot) {
			return "", fmt.Errorf("process: %q (write ./%s if you mean that): %w", path, path, exec.ErrDot)
		}
		if info, here := os.Stat(c.inDir(path)); err != nil && here == nil && info.Mode().IsRegular() {
			return "", fmt.Errorf("process: %q is not in PATH (write ./%s for the file here): %w", path, path, exec.ErrNotFound)
		}
		if err != nil {
			return "", fmt.Errorf("process: %q is not in PATH: %w", path, exec.ErrNotFound)
		}
		return found, nil
	}
	if !dir && !filepath.IsAbs(path) {
		return path, nil
	}
	return path, checkProgram(c.inDir(path))
}

// inDir returns the path under which the supervisor sees what the process calls path.
func (c Command) inDir(path string) string {
	if c.Dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Dir, path)
}

// checkSetup finds what is certain to fail in what a command asks for besides its program.
func (c Command) checkSetup() error {
	var errs []error
	if c.Stdin != "" {
		if _, err := os.Stat(c.Stdin); err != nil { // to open a fifo would wait for its writer
			errs = append(errs, fmt.Errorf("process: standard input: %w", err))
		}
	}
	if c.Heartbeat < 0 || c.Heartbeat > 0 && c.Heartbeat < time.Millisecond {
		return fmt.Errorf("process: a heartbeat every %v: give a millisecond or more, or 0 for none: %w", c.Heartbeat, fs.ErrInvalid)
	}
	if strings.ContainsFunc(c.Role, func(r rune) bool { return r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return fmt.Errorf("process: the role %q: write a name without blanks and slashes: %w", c.Role, fs.ErrInvalid)
	}
	if c.Ready != nil {
		if err := c.Ready.Check(); err != nil {
			return err
		}
	}
	if runtime.GOOS != "linux" && (c.Memory > 0 || c.PIDs > 0) {
		errs = append(errs, fmt.Errorf("process: bounds of memory and processes need Linux: %w", errors.ErrUnsupported))
	}
	who, err := c.identity()
	return errors.Join(append(errs, err, stage.Plan{Settings: c.Setup, As: who}.Check())...)
}

func (c Command) checkDir() error {
	if c.Dir == "" {
		return nil
	}
	info, err := os.Stat(c.Dir)
	if err != nil {
		return fmt.Errorf("process: the working directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("process: the working directory %s is a file: %w", c.Dir, fs.ErrInvalid)
	}
	return nil
}

func checkProgram(path string) error {
	info, err := os.Stat(path)
	if _, lerr := exec.LookPath(path); lerr != nil {
		switch {
		case err != nil:
			return fmt.Errorf("process: the program %s: %w", path, errors.Unwrap(err))
		case info.IsDir():
			return fmt.Errorf("process: %s is a directory: %w", path, fs.ErrPermission)
		}
		if info.Mode().IsRegular() {
			return fmt.Errorf("process: %s is not executable (chmod +x %s, or run %s %s): %w", path, path, runner(path), path, fs.ErrPermission)
		}
	}
	if err == nil && !info.Mode().IsRegular() { // to look for an interpreter in a pipe would take for ever
		return fmt.Errorf("process: %s is no file: %w", path, fs.ErrPermission)
	}
	return nil
}

// findInterpreter returns the absolute program of a script's first line, "" when there is none.
func findInterpreter(path string) (string, error) {
	words := firstLine(path)
	if len(words) == 0 || !filepath.IsAbs(words[0]) {
		return "", nil
	}
	if _, err := os.Stat(words[0]); err != nil {
		return "", fmt.Errorf("process: the interpreter %q of %s: %w", words[0], path, errors.Unwrap(err))
	}
	return words[0], nil
}

// runner is what may run a file that is not executable: what its first line means, or else its name.
func runner(path string) string {
	words := firstLine(path)
	switch {
	case len(words) == 0 && filepath.Ext(path) == ".sh":
		return "sh"
	case len(words) == 0:
		return "python3"
	case filepath.Base(words[0]) == "env":
		return words[len(words)-1]
	}
	return filepath.Base(words[0])
}

// firstLine is the words of a script's first line after #!, none when it has none.
func firstLine(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	line, _ := bufio.NewReaderSize(f, 256).ReadSlice('\n')
	rest, script := strings.CutPrefix(string(line), "#!")
	if !script {
		return nil
	}
	return strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' }) // \r is a name's
}

func startError(id ID, path string, err error) error {
	return fmt.Errorf("process: start %v (%s): %w", id, path, err)
}
