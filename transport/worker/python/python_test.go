package python

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestMain fails a run that leaves descriptors open.
func TestMain(m *testing.M) {
	flag.Parse()
	before := descriptors()
	code := m.Run()
	if after := descriptors(); after > before && code == 0 {
		fmt.Fprintf(os.Stderr, "%d descriptors are open, %d before the tests\n", after, before)
		code = 1
	}
	os.Exit(code)
}

// descriptors counts open descriptors, where the system shows them. Those of the runtime's poller are open already: the
// first pipe opens them.
func descriptors() int {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	open, _ := os.ReadDir("/proc/self/fd")
	return len(open)
}

func TestArgs(t *testing.T) {
	got := Args("train.py", "--lr", "0.1")
	want := []string{"python3", "-c", boot, shim, "file", "train.py", "--lr", "0.1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", brief(got))
	}
}

func TestInject(t *testing.T) {
	// A worker's command line is written here with SHIM in place of -c, boot and shim.
	for _, tt := range []struct{ argv, want string }{
		{"python3 train.py", "python3 SHIM file train.py"},
		{"python train.py --lr 0.1 -c -m", "python SHIM file train.py --lr 0.1 -c -m"},
		{"/usr/bin/python3.11 -m pkg.mod a b", "/usr/bin/python3.11 SHIM module pkg.mod a b"},
		{"python3 -u -X dev train.py --lr 0.1", "python3 -u -X dev SHIM file train.py --lr 0.1"},
		{"python3.13t x.py", "python3.13t SHIM file x.py"},
		{"python3.exe x.py", "python3.exe SHIM file x.py"},
		{"pypy3 x.py", "pypy3 SHIM file x.py"},
		{"pypy3.10 x.py", "pypy3.10 SHIM file x.py"},
		{"train.py", "python3 SHIM file train.py"},
		{"./train.py -h", "python3 SHIM file ./train.py -h"},
		{"python3 dir", "python3 SHIM file dir"},
		{"python3 -- -odd.py a", "python3 SHIM file -odd.py a"},
		{"python3 -u -- x.py", "python3 -u SHIM file x.py"},
		{"python3 -c pass a", "python3 SHIM code pass a"},
		{"python3 -cpass a", "python3 SHIM code pass a"},
		{"python3 -c -m", "python3 SHIM code -m"},
		{"python3 -mmod a", "python3 SHIM module mod a"},
		{"python3 -m mod -V", "python3 SHIM module mod -V"},
		{"python3 -um mod a", "python3 -u SHIM module mod a"},
		{"python3 -uBmmod a", "python3 -uB SHIM module mod a"},
		{"python3 -Wignore -Xdev x.py", "python3 -Wignore -Xdev SHIM file x.py"},
		{"python3 -W ignore -OO x.py", "python3 -W ignore -OO SHIM file x.py"},
		{"python3 -uW ignore x.py", "python3 -uW ignore SHIM file x.py"},
		{"python3 -IP x.py", "python3 -IP SHIM file x.py"},
		{"python3 --check-hash-based-pycs never x.py", "python3 --check-hash-based-pycs never SHIM file x.py"},

		{"", ""},
		{"python3", ""},
		{"python3 -", ""},
		{"python3 - a", ""},
		{"python3 -u", ""},
		{"python3 -u -", ""},
		{"python3 --", ""},
		{"python3 -- -", ""},
		{"python3 -m", ""},
		{"python3 -c", ""},
		{"python3 -W", ""},
		{"python3 -W ignore", ""},
		{"python3 -V", ""},
		{"python3 -V x.py", ""},
		{"python3 --version", ""},
		{"python3 -h", ""},
		{"python3 -? x.py", ""},
		{"python3 --help-all", ""},
		{"python3 -i x.py", ""},
		{"python3 -ui x.py", ""},
		{"python3 -x x.py", ""},
		{"python3 -y x.py", ""},
		{"python3 --unknown x.py", ""},
		{"python2 x.py", ""},
		{"python2.7 x.py", ""},
		{"python3-config --libs", ""},
		{"ipython x.py", ""},
		{"bash -c python3", ""},
		{"env python3 x.py", ""},
	} {
		t.Run(tt.argv, func(t *testing.T) {
			argv := slices.Grow(strings.Fields(tt.argv), 8) // room into which Inject must not append
			got, ok := Inject(argv)
			if ok != (tt.want != "") {
				t.Fatalf("ok = %v", ok)
			}
			if want := tt.want; ok && strings.Join(brief(got), " ") != want {
				t.Errorf("got %q, want %q", brief(got), want)
			}
			if !ok && !reflect.DeepEqual(got, argv) {
				t.Errorf("got %q, want it unchanged", got)
			}
			if !reflect.DeepEqual(argv, strings.Fields(tt.argv)) {
				t.Errorf("the argument is now %q", argv)
			}
		})
	}
}

// brief writes SHIM in place of the three arguments that carry it.
func brief(argv []string) []string {
	var short []string
	for i := 0; i < len(argv); i++ {
		if i+2 < len(argv) && argv[i] == "-c" && argv[i+1] == boot && argv[i+2] == shim {
			short, i = append(short, "SHIM"), i+2
			continue
		}
		short = append(short, argv[i])
	}
	return short
}

// TestShimTravels holds the shim to what an argument can be: Python decodes it before it knows any encoding, and Linux
// limits one argument to 128 KiB.
func TestShimTravels(t *testing.T) {
	for i, c := range []byte(shim) {
		if c >= 0x80 || c == 0 {
			t.Fatalf("byte %d of shim.py is %#x, not ASCII", i, c)
		}
	}
	if len(shim) > 64<<10 {
		t.Errorf("shim.py has %d bytes", len(shim))
	}
	if strings.Count(shim, "\f") != 3 {
		t.Error("shim.py does not have four pages")
	}
}
