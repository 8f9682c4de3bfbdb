package process_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
)

// TestLookup: Check and Launch agree, and say what is wrong and what to do about it.
func TestLookup(t *testing.T) {
	processtest.Check(t)
	dir := t.TempDir()
	file := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file("tool", "#!/bin/sh\nexit 3\n", 0o755)
	file("alone", "#!/bin/sh\n", 0o755)
	data := file("data", "#!/bin/sh\n", 0o644)
	widow := file("widow", "#! /no/such/interpreter -x\n", 0o755)
	windows := file("windows", "#!/bin/sh\r\nexit 0\r\n", 0o755)
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("PATH", "."+string(filepath.ListSeparator)+os.Getenv("PATH"))
	for _, test := range []struct {
		name    string
		command process.Command
		target  error
		text    string // a part of the message
	}{
		{"no arguments", process.Command{}, nil, "name a program"},
		{"an empty program", process.Command{Args: []string{""}}, nil, "name a program"},
		{"not in PATH", process.Command{Args: []string{"muster-no-such-program"}}, exec.ErrNotFound, `"muster-no-such-program" is not in PATH`},
		{"only in the current directory", process.Command{Args: []string{"alone"}}, exec.ErrDot, "write ./alone"},
		{"missing", process.Command{Args: []string{"./nowhere"}}, fs.ErrNotExist, "nowhere"},
		{"a directory", process.Command{Args: []string{dir}}, fs.ErrPermission, "is a directory"},
		{"a pipe", process.Command{Args: []string{fifo}}, fs.ErrPermission, "is no file"},
		{"not executable", process.Command{Args: []string{data}}, fs.ErrPermission, "chmod +x"},
		{"no interpreter", process.Command{Args: []string{widow}}, fs.ErrNotExist, `the interpreter "/no/such/interpreter"`},
		{"lines that end in CR LF", process.Command{Args: []string{windows}}, fs.ErrNotExist, `"/bin/sh\r"`},
		{"no working directory", process.Command{Args: []string{"true"}, Dir: "/no/such/dir"}, fs.ErrNotExist, "the working directory"},
		{"a file as working directory", process.Command{Args: []string{"true"}, Dir: data}, fs.ErrInvalid, "is a file"},
		{"relative to Dir", process.Command{Args: []string{"./tool"}, Dir: "/"}, fs.ErrNotExist, "/tool"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := process.Local().Launch(process.ID{}, test.command, newRecorder(t))
			if p != nil || err == nil {
				t.Fatal("it was launched")
			}
			if check := process.Local().Check(test.command); check == nil || check.Error() != err.Error() {
				t.Errorf("Check says %v, Launch says %v", check, err)
			}
			if test.target != nil && !errors.Is(err, test.target) {
				t.Errorf("%v is not %v", err, test.target)
			}
			if !strings.HasPrefix(err.Error(), "process: ") || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%q", err)
			}
		})
	}
	t.Run("a good one", func(t *testing.T) {
		for _, c := range []process.Command{
			{Args: []string{"./tool"}},
			{Args: []string{"./tool"}, Dir: dir},
			{Args: []string{filepath.Join(dir, "tool")}, Dir: "/"},
			{Args: []string{"sh", "-c", "exit 3"}},
		} {
			if err := process.Local().Check(c); err != nil {
				t.Errorf("Check(%v): %v", c, err)
			}
			if _, exit := run(t, c); exit.Code != 3 {
				t.Errorf("%v: exit %+v", c, exit)
			}
		}
	})
}

// TestDir: the working directory, and PWD with it.
func TestDir(t *testing.T) {
	processtest.Check(t)
	dir := t.TempDir()
	c := shell("pwd -P; echo $PWD")
	c.Dir = dir
	if l, _ := run(t, c); l.stdout() != dir+"\n"+dir+"\n" {
		t.Errorf("%q in place of %s", l.stdout(), dir)
	}
}

// TestEnvironment: what a process inherits, what wins, and what is the supervisor's alone.
func TestEnvironment(t *testing.T) {
	processtest.Check(t)
	t.Setenv("MUSTER_FD", "77")
	t.Setenv("MUSTER_CRASH_FD", "78")
	t.Setenv("MUSTER_ENTRY", "") // with a value, nothing would be launched at all
	t.Setenv("INHERITED", "yes")
	t.Setenv("OVERRIDDEN", "parent")
	script := "env | grep -E '^(MUSTER_(FD|CRASH_FD|ENTRY)|INHERITED|OVERRIDDEN|EMPTY)=' | sort"
	for _, test := range []struct {
		name   string
		change func(*process.Command)
		want   string
	}{
		{"a command", func(*process.Command) {}, "INHERITED=yes\nMUSTER_FD=3\nOVERRIDDEN=parent\n"},
		{"a plain command", func(c *process.Command) { c.Plain = true }, "INHERITED=yes\nOVERRIDDEN=parent\n"},
		{"a function", func(c *process.Command) { c.Entry = "e" },
			"INHERITED=yes\nMUSTER_CRASH_FD=4\nMUSTER_ENTRY=e\nMUSTER_FD=3\nOVERRIDDEN=parent\n"},
		{"the last value wins", func(c *process.Command) {
			c.Env = []string{"OVERRIDDEN=first", "EMPTY=", "OVERRIDDEN=last"}
		}, "EMPTY=\nINHERITED=yes\nMUSTER_FD=3\nOVERRIDDEN=last\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := shell(script)
			test.change(&c)
			if l, _ := run(t, c); l.stdout() != test.want {
				t.Errorf("%q in place of %q", l.stdout(), test.want)
			}
		})
	}
}
