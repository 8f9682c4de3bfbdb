//go:build unix

package transport_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/go-muster/muster/transport"
)

// TestErrorsOfTheSystem is S15 for the errors that programs are most likely to return: they are what they were, with no word of
// the program's.
func TestErrorsOfTheSystem(t *testing.T) {
	_, notThere := os.Open("/no/such/file")
	linked := os.Link("/no/such/file", "/no/such/link")
	full := fmt.Errorf("checkpoint: %w", &os.SyscallError{Syscall: "write", Err: syscall.ENOSPC})
	_, number := strconv.Atoi("x1")
	for _, err := range []error{notThere, linked, full, number, errors.Join(full, notThere), syscall.EADDRINUSE} {
		x := cross(t, err)
		for _, target := range []error{
			fs.ErrNotExist, fs.ErrExist, syscall.ENOENT, syscall.ENOSPC, syscall.EADDRINUSE, strconv.ErrSyntax, strconv.ErrRange,
		} {
			if errors.Is(x, target) != errors.Is(err, target) {
				t.Errorf("%v: that it is %v is %v", err, target, errors.Is(x, target))
			}
		}
		if anyTruncated(x) {
			t.Errorf("%v: something was left out", err)
		}
		same[*fs.PathError](t, x, err)
		same[*os.LinkError](t, x, err)
		same[*os.SyscallError](t, x, err)
		same[*strconv.NumError](t, x, err)
		same[syscall.Errno](t, x, err)
	}
}

// same compares the errors of a type in two trees.
func same[T error](t *testing.T, got, want error) {
	t.Helper()
	var g, w T
	switch is := errors.As(want, &w); {
	case errors.As(got, &g) != is:
		t.Errorf("%v: that it is a %T is %v", want, w, !is)
	case is && g.Error() != w.Error():
		t.Errorf("%v: the %T says %q, want %q", want, w, g, w)
	}
}

// TestErrnoOfAnotherSystem: a name or a value that there is not here is no error of ours.
func TestErrnoOfAnotherSystem(t *testing.T) {
	for _, value := range []any{"EDOOFUS", "", 2, nil} {
		b, err := transport.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		x := &transport.Exception{Type: "syscall.Errno", Message: "strange", Registered: "syscall.Errno", Value: b}
		var errno syscall.Errno
		if errors.As(x, &errno) || errors.Is(x, syscall.ENOENT) {
			t.Errorf("%v is %v", value, errno)
		}
	}
	if x := cross(t, syscall.Errno(4000)); errors.Is(x, syscall.Errno(0)) || x.Message != syscall.Errno(4000).Error() {
		t.Errorf("a number without a name: %+v", x)
	}
}
