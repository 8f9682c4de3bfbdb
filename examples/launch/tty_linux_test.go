package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/charmbracelet/x/vt"
	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/processtest"
)

// newTerminal opens both ends of one.
func newTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("needs pseudo-terminals:", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs /dev/pts:", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// A seat is launch on a terminal of its own, of which every byte is kept.
type seat struct {
	*cli
	master *os.File
	shown  text
	read   chan struct{}
	width  int
}

// sit starts launch on a terminal of some width.
func sit(t *testing.T, width int, env []string, args ...string) *seat {
	t.Helper()
	processtest.Check(t)
	master, slave := newTerminal(t)
	s := &seat{cli: prepare(t, nil, args...), master: master, read: make(chan struct{}), width: width}
	s.resize(width)
	s.cmd.Env = append(append(s.cmd.Env, "TERM=xterm-256color", "NO_COLOR="), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.begin()
	slave.Close()
	go func() { // ends with the last process that has the terminal
		defer close(s.read)
		_, _ = io.Copy(&s.shown, master)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the terminal got %q", s.shown.String())
		}
	})
	return s
}

func (s *seat) resize(width int) {
	s.Helper()
	if err := unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(width)}); err != nil {
		s.Fatal(err)
	}
}

// rows waits for the end and returns the terminal's rows, none of which has scrolled away.
func (s *seat) rows(code int) []string {
	s.Helper()
	s.wants(code)
	<-s.read
	return rowsOf(s.shown.String(), s.width)
}

// rowsOf is what bytes look like.
func rowsOf(shown string, width int) []string {
	screen := vt.NewEmulator(width, strings.Count(shown, "\n")+10)
	_, _ = screen.WriteString(shown)
	var rows []string
	for row := range strings.SplitSeq(strings.TrimRight(screen.String(), "\n "), "\n") {
		rows = append(rows, strings.TrimRight(row, " "))
	}
	return rows
}
