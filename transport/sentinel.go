package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
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
	"strconv.ErrRange":         strconv.ErrRange,
	"strconv.ErrSyntax":        strconv.ErrSyntax,
	"transport.ErrTooLarge":    ErrTooLarge,
}}

// RegisterError makes a sentinel error survive the process boundary: an exception made from an error that is err, in
// a binary where name means err, satisfies errors.Is(exception, err) in a supervisor where name means err as well.
// Call it while the program initialises; it panics when there is no name or no error, or when the name is taken by
// another error, as that is a mistake in the program. The usual sentinels of io, io/fs, os, errors and context are
// registered already.
func RegisterError(name string, err error) {
	if name == "" || err == nil {
		panic(fmt.Sprintf("transport: RegisterError(%q, %v): a sentinel needs a name and an error", name, err))
	}
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

// sentinelOf returns the name of the sentinel that err itself is, its causes left aside; "" for none. Of several the
// error's own name counts most, then the order of the alphabet.
func sentinelOf(err error) string {
	sentinels.RLock()
	known := maps.Clone(sentinels.byName) // Is is the user's code and may come back here
	sentinels.RUnlock()
	names := slices.Sorted(maps.Keys(known))
	if reflect.ValueOf(err).Comparable() {
		for _, name := range names {
			if err == known[name] {
				return name
			}
		}
	}
	for _, name := range names {
		if isItself(err, known[name]) {
			return name
		}
	}
	return ""
}

// isItself asks the error's own Is, which may panic.
func isItself(err, sentinel error) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	e, asks := err.(interface{ Is(error) bool })
	return asks && e.Is(sentinel)
}
