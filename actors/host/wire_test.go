package host

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// TestExitOverHosts: everything that an exit says arrives, but for the moment, which is the root's.
func TestExitOverHosts(t *testing.T) {
	sent := process.Exit{
		Code: 3, Signal: 9, Core: true, Stopped: true, OOM: true, Silent: true, Err: fmt.Errorf("wrapped: %w", process.ErrNoResult),
		MaxRSS: 1 << 40, Dump: []byte("dump"), CPU: 90 * time.Second, Stderr: []byte("tail"), Report: "report",
		Left: []process.Leftover{{PID: 7, Name: "sh"}},
	}
	m, err := decode(encode(codeExited, &exited{Life: 9, Exit: exitOf(sent)}))
	if err != nil {
		t.Fatal(err)
	}
	got := m.(*exited).Exit.exit()
	if !errors.Is(got.Err, process.ErrNoResult) || errors.Is(got.Err, process.ErrLink) || got.Err.Error() != sent.Err.Error() {
		t.Errorf("error %v", got.Err)
	}
	got.Err, sent.Err, sent.Ended = nil, nil, got.Ended
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got  %+v\nsent %+v", got, sent)
	}
	for field := range reflect.TypeFor[process.Exit]().Fields() { // a new one must travel, too
		if _, is := reflect.TypeFor[exit]().FieldByName(field.Name); !is && field.Name != "Ended" {
			t.Errorf("Exit.%s does not travel", field.Name)
		}
	}
}

// TestFault: an error keeps its text and its conditions, and no more than a bound of either.
func TestFault(t *testing.T) {
	if faultOf(nil).error() != nil {
		t.Error("no error has become one")
	}
	err := faultOf(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}).error()
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Errorf("conditions of %v", err)
	}
	if n := len(faultOf(errors.New(string(make([]byte, 1<<20)))).Text); n > maxFault+8 {
		t.Errorf("%d bytes of text", n)
	}
}

// FuzzWire: no bytes from a peer do more than become a message or an error.
func FuzzWire(f *testing.F) {
	for c, fresh := range codes {
		f.Add(encode(c, fresh()))
	}
	f.Add([]byte{byte(codeLaunch), 0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil && !errors.Is(err, errUnknown) && !errors.Is(err, transport.ErrMalformed) {
			t.Fatal(err)
		}
		if l, is := m.(*launch); is && err == nil {
			_, _ = decodeCommand(l.Command)
		}
	})
}
