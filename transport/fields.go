package transport

import (
	"fmt"
	"reflect"
)

const (
	mostElements = 64 // of a slice that is rendered
	mostNested   = 3  // levels of what a field holds
)

// fields returns the exported fields of an error, or of what a program panicked with, as text; nil when it is no struct.
// What is nil is left out. Of errors in fields nothing is said when they are the causes.
//
// This runs while a program fails, which must not fail of it: it calls String and Error only, under recover; it does not
// follow pointers, which may go round in a circle; it does not read maps, which another goroutine may be writing.
func fields(v any, causes bool) map[string]string {
	s := reflect.ValueOf(v)
	if s.Kind() == reflect.Pointer {
		s = s.Elem()
	}
	if s.Kind() != reflect.Struct {
		return nil
	}
	var all map[string]string
	for _, f := range reflect.VisibleFields(s.Type()) {
		value, err := s.FieldByIndexErr(f.Index)
		if err != nil || !f.IsExported() || !value.CanInterface() || isNil(value) || promotes(f) {
			continue
		}
		if causes && f.Type.Implements(errorType) {
			continue
		}
		if all == nil {
			all = make(map[string]string)
		}
		all[f.Name] = fieldText(value)
	}
	return all
}

// promotes reports whether a field's own fields stand for it.
func promotes(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.Anonymous && t.Kind() == reflect.Struct
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice, reflect.UnsafePointer:
		return v.IsNil()
	}
	return false
}

func fieldText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case error:
		return message(x)
	case fmt.Stringer:
		return panicText(x)
	case []byte:
		return fmt.Sprintf("%q", x[:min(len(x), maxAttribute)])
	}
	if v.Kind() == reflect.Interface {
		return fieldText(v.Elem())
	}
	if !plain(v.Type(), mostNested) {
		return fmt.Sprintf("(%v)", v.Type())
	}
	if v.Kind() == reflect.Slice && v.Len() > mostElements {
		return fmt.Sprintf("%+v… (%d)", v.Slice(0, mostElements), v.Len())
	}
	return fmt.Sprintf("%+v", v)
}

// plain reports whether all that a type can hold may be rendered, and calls no methods.
func plain(t reflect.Type, levels int) bool {
	if levels == 0 || levels < mostNested && hasText(t) {
		return false
	}
	switch t.Kind() {
	case reflect.Array:
		return t.Len() <= mostElements && plain(t.Elem(), levels-1)
	case reflect.Slice:
		return levels == mostNested && plain(t.Elem(), levels-1)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); !f.IsExported() || !plain(f.Type, levels-1) {
				return false
			}
		}
		return true
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.UnsafePointer:
		return false
	}
	return true
}

func hasText(t reflect.Type) bool {
	return t.Implements(errorType) || t.Implements(reflect.TypeFor[fmt.Stringer]())
}
