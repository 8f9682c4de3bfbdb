//go:build !unix

package transport

import "reflect"

// errnoType is registered: nothing here is of it.
var errnoType = reflect.TypeFor[noErrno]()

type noErrno struct{}

func (noErrno) Error() string { return "" }

func portable(err error) any { return err }

func errnoNamed([]byte) error { return nil }
