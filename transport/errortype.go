package transport

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"sync"
)

// errorTypes are the error types known by name on both sides of the process boundary: a package variable for the reason
// that sentinels is one.
var errorTypes = struct {
	sync.RWMutex
	byName map[string]reflect.Type
	byType map[reflect.Type]string
}{byName: map[string]reflect.Type{}, byType: map[reflect.Type]string{}}

func init() {
	RegisterErrorType[*fs.PathError]("fs.PathError")
	RegisterErrorType[*os.LinkError]("os.LinkError")
	RegisterErrorType[*os.SyscallError]("os.SyscallError")
	RegisterErrorType[*strconv.NumError]("strconv.NumError")
	registerErrorType("syscall.Errno", errnoType)
}

// RegisterErrorType makes errors of type T, a value or a pointer, survive the process boundary as what they are: of an
// exception made from an error of exactly this type, in a binary where name means T, [errors.As] gives a T in a supervisor
// where name means T as well.
//
//	type QuotaError struct{ User string; Limit int; Err error }
//
//	func (e *QuotaError) Error() string { … }
//	func (e *QuotaError) Unwrap() error { return e.Err }
//	func init()                         { transport.RegisterErrorType[*QuotaError]("mypkg.QuotaError") }
//
// Its exported fields travel as msgpack, under the rules of that library, at most 64 KiB: an error that cannot be encoded
// or is larger arrives as one of a type that nobody registered does, with its type, its text and its exported fields as
// text, and is marked as truncated. A field of type error arrives as the exception's cause, when it was that, and else as
// its text. Each look makes a copy.
//
// Call it while the program initialises; it panics when there is no name, when T is an interface, or when the name or the
// type is registered otherwise, as that is a mistake in the program. [*fs.PathError], [*os.LinkError], [*os.SyscallError] and
// [*strconv.NumError] are registered already, and [syscall.Errno], which travels by name, such as ENOSPC.
func RegisterErrorType[T error](name string) { registerErrorType(name, reflect.TypeFor[T]()) }

func registerErrorType(name string, t reflect.Type) {
	if name == "" || t.Kind() == reflect.Interface {
		panic(fmt.Sprintf("transport: RegisterErrorType[%v](%q): a type of errors needs a name, and may be no interface", t, name))
	}
	errorTypes.Lock()
	defer errorTypes.Unlock()
	if known, taken := errorTypes.byName[name]; taken && known != t {
		panic(fmt.Sprintf("transport: RegisterErrorType[%v]: %q is registered as another type (%v)", t, name, known))
	}
	if other, taken := errorTypes.byType[t]; taken && other != name {
		panic(fmt.Sprintf("transport: RegisterErrorType[%v](%q): it is registered as %q", t, name, other))
	}
	errorTypes.byName[name], errorTypes.byType[t] = t, name
}

func errorTypeNamed(name string) reflect.Type {
	errorTypes.RLock()
	defer errorTypes.RUnlock()
	return errorTypes.byName[name]
}

// addValue lets the exception carry the error itself, if its type is registered and it can be carried.
func (e *Exception) addValue(err error) {
	errorTypes.RLock()
	name := errorTypes.byType[reflect.TypeOf(err)]
	errorTypes.RUnlock()
	if name == "" {
		return
	}
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.IsNil() {
		return
	}
	value, failed := encodeWithin(portable(err), maxValue)
	if failed == nil {
		_, failed = readable(value) // as who reads it will find
	}
	if failed != nil {
		e.Truncated = true
		return
	}
	e.Registered, e.Value = name, value
}

// encodeWithin is Marshal up to a limit in bytes: what goes round in a circle ends there.
func encodeWithin(v any, limit int) ([]byte, error) {
	var buf bytes.Buffer
	err := encode(&within{&buf, limit}, v)
	return buf.Bytes(), err
}

// within is a buffer with a limit.
type within struct {
	buf  *bytes.Buffer
	left int
}

func (w *within) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, ErrTooLarge
	}
	return w.buf.Write(b)
}

// WriteByte spares the encoder a writer of its own around this one.
func (w *within) WriteByte(b byte) error {
	if w.left--; w.left < 0 {
		return ErrTooLarge
	}
	return w.buf.WriteByte(b)
}

// concrete returns a copy of the error that the exception was made from, nil when its type is not registered here or is
// another one there.
func (e *Exception) concrete() error {
	t := errorTypeNamed(e.Registered)
	if t == nil || len(e.Value) == 0 {
		return nil
	}
	if t == errnoType {
		return errnoNamed(e.Value)
	}
	pointer := t.Kind() == reflect.Pointer
	base := t
	if pointer {
		base = t.Elem()
	}
	v := reflect.New(base)
	if Unmarshal(e.Value, v.Interface()) != nil {
		return nil
	}
	e.putCause(v.Elem())
	if !pointer {
		v = v.Elem()
	}
	err, _ := v.Interface().(error)
	return err
}

// putCause puts the cause in place of its mere text, in the fields that held it.
func (e *Exception) putCause(v reflect.Value) {
	if e.Cause == nil || v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Type() != errorType || !f.CanSet() || f.IsNil() {
			continue
		}
		if text, _ := f.Interface().(error); message(text) == e.Cause.Message {
			f.Set(reflect.ValueOf(told{e.Cause}))
		}
	}
}

// told is an exception in a field of an error, whose own text may hold the field's: that is to stay as it was.
type told struct{ *Exception }

func (t told) Error() string { return t.Message }
func (t told) Unwrap() error { return t.Exception }

var errorType = reflect.TypeFor[error]()

// As puts a copy of the error that the exception was made from into target, if its type is registered and fits: see
// [RegisterErrorType]. It is for [errors.As].
func (e *Exception) As(target any) bool {
	t, into := errorTypeNamed(e.Registered), reflect.ValueOf(target)
	if t == nil || into.Kind() != reflect.Pointer || into.IsNil() || !t.AssignableTo(into.Type().Elem()) {
		return false
	}
	err := e.concrete()
	if err != nil {
		into.Elem().Set(reflect.ValueOf(err))
	}
	return err != nil
}

// isConcrete reports whether the error that the exception was made from is target by comparison, or by its own account.
func (e *Exception) isConcrete(target error) bool {
	err := e.concrete()
	if err == nil || target == nil {
		return false
	}
	same := reflect.ValueOf(err).Comparable() && reflect.ValueOf(target).Comparable() && err == target
	return same || isItself(err, target)
}
