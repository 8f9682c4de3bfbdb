package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-muster/muster/transport"
)

// A quotaError is registered as a pointer.
type quotaError struct {
	User   string
	Limit  int
	Used   map[string]int
	Since  time.Time
	Err    error
	secret string
}

func (e *quotaError) Error() string { return fmt.Sprintf("quota of %s: %v", e.User, e.Err) }
func (e *quotaError) Unwrap() error { return e.Err }

// A codeError is registered as a value; one of a code is any of that code.
type codeError struct{ Code int }

func (e codeError) Error() string        { return fmt.Sprint("code ", e.Code) }
func (e codeError) Temporary() bool      { return e.Code == 7 }
func (e codeError) Is(target error) bool { return e.Code == 7 && target == errSample }

// A numberError is a registered type that is no struct.
type numberError int

func (e numberError) Error() string { return fmt.Sprint("number ", int(e)) }

// An oddError is registered, and cannot always be carried.
type oddError struct {
	Text string
	Next *oddError
	Any  []any
	Do   *loud
}

func (e *oddError) Error() string { return "odd" }

// loud panics where it is encoded.
type loud struct{}

func (*loud) MarshalMsgpack() ([]byte, error) { panic("loud") }

// A funcError holds what msgpack cannot.
type funcError struct{ Fn func() }

func (funcError) Error() string { return "func" }

// A strangeError is encoded as something that cannot be decoded.
type strangeError struct{ N int }

func (strangeError) Error() string                   { return "strange" }
func (strangeError) MarshalMsgpack() ([]byte, error) { return []byte{0xc1}, nil }

func init() {
	transport.RegisterErrorType[*quotaError]("transport_test.quotaError")
	transport.RegisterErrorType[codeError]("transport_test.codeError")
	transport.RegisterErrorType[numberError]("transport_test.numberError")
	transport.RegisterErrorType[*oddError]("transport_test.oddError")
	transport.RegisterErrorType[funcError]("transport_test.funcError")
	transport.RegisterErrorType[strangeError]("transport_test.strangeError")
}

// TestErrorsAs: an error of a registered type is a value of that type on the other side, wherever it stands in the tree.
func TestErrorsAs(t *testing.T) {
	since := time.Unix(1767225600, 123456789).UTC()
	_, missing := os.Open("/no/such/file")
	quota := &quotaError{User: "ada", Limit: 7, Used: map[string]int{"disk": 8}, Since: since, Err: missing, secret: "s"}
	for name, err := range map[string]error{
		"alone": quota, "wrapped": fmt.Errorf("shard 3: %w", quota), "joined": errors.Join(io.EOF, fmt.Errorf("x: %w", quota)),
	} {
		t.Run(name, func(t *testing.T) {
			x := cross(t, err)
			var got *quotaError
			if !errors.As(x, &got) || got == quota {
				t.Fatalf("%+v", x)
			}
			if got.User != "ada" || got.Limit != 7 || !maps.Equal(got.Used, quota.Used) || !got.Since.Equal(since) || got.secret != "" {
				t.Errorf("got %+v, want %+v", got, quota)
			}
			if !errors.Is(got, fs.ErrNotExist) || !errors.Is(x, fs.ErrNotExist) || errors.Is(x, fs.ErrExist) || got.Error() != quota.Error() {
				t.Errorf("it does not hold its cause: %v", got.Err)
			}
		})
	}
	t.Run("a value", func(t *testing.T) {
		var got codeError
		x := cross(t, fmt.Errorf("outer: %w", codeError{7}))
		if !errors.As(x, &got) || got.Code != 7 || !errors.Is(x, codeError{7}) || errors.Is(x, codeError{8}) {
			t.Errorf("got %+v of %+v", got, x)
		}
		if !errors.Is(x, errSample) || errors.Is(cross(t, codeError{8}), errSample) {
			t.Error("its own account of what it is is lost")
		}
	})
	t.Run("an interface", func(t *testing.T) {
		var temporary interface{ Temporary() bool }
		if x := cross(t, codeError{7}); !errors.As(x, &temporary) || !temporary.Temporary() {
			t.Errorf("got %v", temporary)
		}
	})
	t.Run("no struct", func(t *testing.T) {
		var got numberError
		if x := cross(t, numberError(-3)); !errors.As(x, &got) || got != -3 {
			t.Errorf("got %d", got)
		}
	})
	t.Run("a cause that is only text", func(t *testing.T) {
		var got *oddError
		var quota *quotaError
		x := cross(t, errors.Join(&oddError{Text: "text"}, &quotaError{Err: context.Canceled}))
		if !errors.As(x, &got) || got.Text != "text" || !errors.As(x, &quota) || !errors.Is(quota.Err, context.Canceled) {
			t.Errorf("got %+v, %+v", got, quota)
		}
	})
	t.Run("out of a report", func(t *testing.T) {
		text, err := json.Marshal(cross(t, fmt.Errorf("x: %w", quota)))
		x, got := &transport.Exception{}, (*quotaError)(nil)
		if err := errors.Join(err, json.Unmarshal(text, x)); err != nil || !errors.As(x, &got) || got.User != "ada" || !errors.Is(got, fs.ErrNotExist) {
			t.Errorf("%v, got %+v", err, got)
		}
	})
	t.Run("a panic's", func(t *testing.T) {
		var got codeError
		if x := recovered(func() { panic(codeError{9}) }); !errors.As(x, &got) || got.Code != 9 {
			t.Errorf("got %+v of %+v", got, x)
		}
	})
	t.Run("the other one of pointer and value", func(t *testing.T) {
		var value codeError
		var pointer *codeError
		if x := cross(t, &codeError{7}); errors.As(x, &value) || errors.As(x, &pointer) || x.Attributes["Code"] != "7" {
			t.Errorf("got %+v", x)
		}
	})
}

// TestErrorsAsNot: what cannot be carried arrives by its type, its text and its fields as text.
func TestErrorsAsNot(t *testing.T) {
	circle := &oddError{Text: "circle"}
	circle.Next = circle
	list := &oddError{Any: []any{nil}}
	list.Any[0] = list.Any
	tests := []struct {
		name string
		err  error
	}{
		{"too large", &oddError{Text: strings.Repeat("x", transport.MaxValue)}},
		{"a circle", circle},
		{"a list in itself", list},
		{"a function", funcError{func() {}}},
		{"one that panics", &oddError{Do: &loud{}}},
		{"one that nobody can decode", strangeError{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := cross(t, fmt.Errorf("outer: %w", tt.err))
			var odd *oddError
			if c := x.Cause; errors.As(x, &odd) || c.Value != nil || c.Registered != "" || !c.Truncated ||
				c.Message != tt.err.Error() || c.Type != fmt.Sprintf("%T", tt.err) {
				t.Errorf("got %.300v", fmt.Sprintf("%+v", c))
			}
		})
	}
	t.Run("a nil pointer", func(t *testing.T) {
		var odd *oddError
		if x := cross(t, (*oddError)(nil)); errors.As(x, &odd) || x.Registered != "" || x.Truncated {
			t.Errorf("got %+v", x)
		}
	})
	t.Run("another type of that name", func(t *testing.T) {
		x := cross(t, &oddError{Text: "text"})
		x.Registered = "transport_test.numberError"
		var odd *oddError
		var number numberError
		if errors.As(x, &odd) || errors.As(x, &number) || errors.Is(x, numberError(0)) {
			t.Errorf("got %+v, %v", odd, number)
		}
	})
	t.Run("a name that nobody has", func(t *testing.T) {
		x := &transport.Exception{Registered: "nobody's", Value: []byte{0xc0}}
		if errors.As(x, new(*oddError)) || errors.Is(x, io.EOF) || x.As(nil) || x.As(7) {
			t.Error("it became something")
		}
	})
	t.Run("a value that came too large", func(t *testing.T) {
		x := &transport.Exception{Registered: "transport_test.oddError", Value: make([]byte, transport.MaxValue+1)}
		if x.Limit(); x.Registered != "" || x.Value != nil || !x.Truncated {
			t.Errorf("%d bytes are left of %q", len(x.Value), x.Registered)
		}
	})
}

func TestRegisterErrorType(t *testing.T) {
	const taken = "transport_test.codeError"
	tests := []struct {
		name     string
		register func()
		panic    string
	}{
		{"the same again", func() { transport.RegisterErrorType[codeError](taken) }, ""},
		{"a taken name", func() { transport.RegisterErrorType[*codeError](taken) },
			`transport: RegisterErrorType[*transport_test.codeError]: "transport_test.codeError" is registered as another type (transport_test.codeError)`},
		{"another name", func() { transport.RegisterErrorType[codeError]("mine") },
			`transport: RegisterErrorType[transport_test.codeError]("mine"): it is registered as "transport_test.codeError"`},
		{"no name", func() { transport.RegisterErrorType[*codeError]("") },
			`transport: RegisterErrorType[*transport_test.codeError](""): a type of errors needs a name, and may be no interface`},
		{"an interface", func() { transport.RegisterErrorType[error]("mine") },
			`transport: RegisterErrorType[error]("mine"): a type of errors needs a name, and may be no interface`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if p := recover(); fmt.Sprint(p) != tt.panic && (p != nil || tt.panic != "") {
					t.Errorf("panic %v, want %q", p, tt.panic)
				}
			}()
			tt.register()
		})
	}
}

// A Base is what others embed.
type Base struct{ Op string }

// A fieldsError has a field of each kind that is rendered in its own way.
type fieldsError struct {
	*Base
	Text   string
	Count  int
	After  time.Duration
	Kind   transport.Kind
	Raw    []byte
	Hosts  []string
	Long   []int
	Pair   [2]bool
	Where  struct{ Line, Column int }
	Err    error
	Any    any
	Loud   loudValue
	Labels map[string]string
	Next   *fieldsError
	Hidden struct{ secret string }
	None   *int
	secret string
}

func (e *fieldsError) Error() string { return "fields" }

// TestFields: what an error of a type that nobody registered holds arrives as text.
func TestFields(t *testing.T) {
	err := &fieldsError{Base: &Base{"open"}, Text: "a text", Count: 3, After: time.Minute, Kind: transport.KindDump, Raw: []byte("a\xff"),
		Hosts: []string{"a", "b"}, Long: make([]int, 1000), Err: io.EOF, Any: 7, Labels: map[string]string{"k": "v"}}
	err.Next, err.Where.Line = err, 12
	err.secret, err.Hidden.secret = "s", "s"
	want := map[string]string{
		"Op": "open", "Text": "a text", "Count": "3", "After": "1m0s", "Kind": "Dump", "Raw": `"a\xff"`, "Hosts": "[a b]",
		"Long": "[" + strings.Repeat("0 ", 63) + "0]… (1000)", "Pair": "[false false]", "Where": "{Line:12 Column:0}", "Err": "EOF",
		"Any": "7", "Loud": "%!v(PANIC=String method: loud)", "Labels": "(map[string]string)", "Next": "fields",
		"Hidden": "(struct { secret string })",
	}
	if x := cross(t, err); !reflect.DeepEqual(x.Attributes, want) || x.Truncated {
		t.Errorf("got %v\nwant %v", x.Attributes, want)
	}
	t.Run("embedded nil", func(t *testing.T) {
		if x := cross(t, &fieldsError{}); x.Attributes["Op"] != "" || x.Attributes["Text"] != "" || len(x.Attributes) != 8 {
			t.Errorf("got %v", x.Attributes)
		}
	})
	t.Run("a cause is not told twice", func(t *testing.T) {
		x := cross(t, &fs.PathError{Op: "open", Path: "p", Err: io.EOF})
		if want := map[string]string{"Op": "open", "Path": "p"}; !maps.Equal(x.Attributes, want) || x.Cause.Sentinel != "io.EOF" {
			t.Errorf("got %v", x.Attributes)
		}
	})
	t.Run("a panic's value", func(t *testing.T) {
		x := recovered(func() { panic(Base{"close"}) })
		if x.Message != `transport_test.Base{Op:"close"}` || x.Attributes["Op"] != "close" {
			t.Errorf("got %q, %v", x.Message, x.Attributes)
		}
	})
}
