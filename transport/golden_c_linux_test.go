package transport_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/transport"
)

// TestGoldenInC holds the wire of examples/worker-c to the golden frames: a program around it reads each message, tells what
// it finds under the keys, and writes the message anew. Of what no writer makes it need not write the same bytes. A memory
// error or an overflow on the way ends it.
func TestGoldenInC(t *testing.T) {
	path := compileC(t, "../examples/worker-c/golden.c")
	entries := readGolden(t)
	for i, c := range goldenCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wire := framesOf(t, c)
			keys, want := flatFields(t, c.msg)
			back, told := throughC(t, path, wire, keys)
			if got := strings.Split(strings.TrimSuffix(told, "\n"), "\n"); len(keys) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("of %q it has found\n%.500q, want\n%.500q", keys, got, want)
			}
			if entries[i].DecodeOnly {
				return
			}
			if !bytes.Equal(back, wire) {
				t.Errorf("it was sent\n%.200x\nand has written\n%.200x", wire, back)
			}
		})
	}
}

// flatFields returns the keys of a message's numbers, texts and binary values, and the line that the program in C has for each.
func flatFields(t *testing.T, m transport.Message) (keys, lines []string) {
	t.Helper()
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue
		}
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("msgpack"), ",")
		line := ""
		switch f := v.Field(i); f.Kind() {
		case reflect.Int, reflect.Int64:
			line = fmt.Sprintf("%d ", f.Int())
		case reflect.Uint64:
			line = fmt.Sprintf("%d ", f.Uint())
		case reflect.Bool:
			line = map[bool]string{true: "1 ", false: "0 "}[f.Bool()]
		case reflect.String:
			line = fmt.Sprintf("0 %x", f.String())
		case reflect.Slice:
			b, ok := f.Interface().([]byte)
			if !ok {
				continue
			}
			line = fmt.Sprintf("0 %x", b)
		default:
			continue
		}
		keys, lines = append(keys, name), append(lines, line)
	}
	return keys, lines
}

// compileC builds a program with the sanitizers, where the compiler has them.
func compileC(t *testing.T, source string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler (install gcc and libc6-dev):", err)
	}
	for _, file := range []string{source, filepath.Join(filepath.Dir(source), "worker.c")} {
		if _, err := os.Stat(file); err != nil { // which makes a result of go test that is cached depend on it
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "golden")
	flags := []string{"-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-pthread", "-o", path, source}
	checked := append([]string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all"}, flags...)
	if exec.Command(cc, checked...).Run() == nil {
		return path
	}
	if out, err := exec.Command(cc, flags...).CombinedOutput(); err != nil {
		t.Fatalf("cc %v: %v\n%s", flags, err, out)
	}
	return path
}

// throughC returns what the program writes to the socket and to its standard output.
func throughC(t *testing.T, path string, wire []byte, keys []string) (back []byte, told string) {
	t.Helper()
	ours, theirs, err := transport.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, keys...)
	cmd.Env, cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = append(os.Environ(), transport.EnvFD+"=3"), []*os.File{theirs}, &stdout, &stderr
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends when all was read, or when the program is gone
		_, _ = ours.Write(wire)
		closeWrite(ours)
	}()
	if back, err = io.ReadAll(ours); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	return back, stdout.String()
}

// closeWrite ends what the other side can read.
func closeWrite(f *os.File) {
	conn, err := f.SyscallConn()
	if err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}
