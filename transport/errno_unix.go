//go:build unix

package transport

import (
	"reflect"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// errnoType is registered: its errors travel by name, as the same name may have another number on another system.
var errnoType = reflect.TypeFor[syscall.Errno]()

// mostErrno is above the numbers of errors of all systems that Go knows.
const mostErrno = 4096

// errnos are the errors of the system by name.
var errnos = sync.OnceValue(func() map[string]syscall.Errno {
	all := map[string]syscall.Errno{}
	for n := syscall.Errno(1); n < mostErrno; n++ {
		if name := unix.ErrnoName(n); name != "" {
			all[name] = n
		}
	}
	return all
})

// portable returns what travels in place of an error: the name of one of the system, and any other itself.
func portable(err error) any {
	if n, is := err.(syscall.Errno); is {
		return unix.ErrnoName(n)
	}
	return err
}

// errnoNamed is the inverse of portable for an error of the system, nil where it has no such error.
func errnoNamed(value []byte) error {
	var name string
	if Unmarshal(value, &name) != nil {
		return nil
	}
	if n, known := errnos()[name]; known {
		return n
	}
	return nil
}
