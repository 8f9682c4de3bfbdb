package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"sync"
)

// sentinels are the errors known by name on both sides of the process boundary. A package variable, because which errors
// a program knows is a property of the program, settled while it initialises.
var sentinels = struct {
	sync.RWMutex
	byName map[string]error
}{byName: map[string]error{
	"io.EOF":                   io.EOF,
	"io.ErrUnexpectedEOF":      io.ErrUnexpectedEOF,
	"io.ErrClosedPipe":         io.ErrClosedPipe,
	"context.Canceled":         context.Canceled,
	"context.DeadlineExceeded": context.DeadlineExceeded,
	"fs.ErrNotExist":           fs.ErrNotExist,
	"fs.ErrExist":              fs.ErrExist,
	"fs.ErrPermission":         fs.ErrPermission,
	"fs.ErrInvalid":            fs.ErrInvalid,
	"os.ErrDeadlineExceeded":   os.ErrDeadlineExceeded,
	"errors.ErrUnsupported":    errors.ErrUnsupported,
}}

// RegisterError makes a sentinel error survive the process boundary: an exception made from an error that is err, in
// a binary where name means err, satisfies errors.Is(exception, err) in a supervisor where name means err as well.
// Call it while the program initialises; it panics when the name is taken by another error, as that is a mistake in the
// program. The usual sentinels of io, io/fs, os, errors and context are registered already.
func RegisterError(name string, err error) {
	sentinels.Lock()
	defer sentinels.Unlock()
	if known, taken := sentinels.byName[name]; taken && known != err {
		panic(fmt.Sprintf("transport: RegisterError: %q is registered as another error (%v)", name, known))
	}
	sentinels.byName[name] = err
}

func sentinelNamed(name string) error {
	sentinels.RLock()
	defer sentinels.RUnlock()
	return sentinels.byName[name]
}

// sentinelOf returns the name of the sentinel that err itself is, its causes left aside; "" for none.
func sentinelOf(err error) string {
	sentinels.RLock()
	defer sentinels.RUnlock()
	is, _ := err.(interface{ Is(error) bool })
	comparable := reflect.TypeOf(err).Comparable()
	for name, s := range sentinels.byName {
		if comparable && err == s || is != nil && is.Is(s) {
			return name
		}
	}
	return ""
}
