package supervisor

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
)

// TestReadReport: what was written comes back, and is written again to the same bytes.
func TestReadReport(t *testing.T) {
	written, err := os.ReadFile("testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := ReadReport(strings.NewReader(string(written)))
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.MarshalIndent(r, "", "  ")
	if err != nil || string(again)+"\n" != string(written) {
		t.Errorf("%v, it is written again as\n%s", err, again)
	}
	want := reportOfTwoGenerations().report()
	if f, w := r.Failures[0], want.Failures[0]; !f.At.Equal(w.At) || f.Uptime != w.Uptime || f.Uptime == 0 ||
		f.Error() != w.Error() || !reflect.DeepEqual(f.Exception, w.Exception) || f.StderrTail() != w.StderrTail() ||
		f.Directive.Action != Restart || f.Directive.Reason != w.Directive.Reason {
		t.Errorf("the failure is %+v, and was %+v", f, w)
	}
	if f := r.Failures[1]; f.Exit.Signal != syscall.SIGABRT || !f.Exit.Core || f.Err != nil {
		t.Errorf("the exit is %+v", f.Exit)
	}
	if k := r.Ranks[2]; !errors.Is(k.Exit.Err, ErrAbandoned) || !k.Exit.Stopped {
		t.Errorf("the rank that was abandoned is %+v", k.Exit)
	}
	if g, w := r.Generations[1], want.Generations[1]; !g.Started.Equal(w.Started) || !g.Ready.IsZero() || g.Reason != w.Reason {
		t.Errorf("the generation is %+v, and was %+v", g, w)
	}
}

// reported returns a report of one rank with one failure.
func reported(f Failure) Report {
	f.Seq, f.Kind, f.At = 1, Origin, epoch.Add(time.Second)
	return Report{
		Start: epoch, Outcome: Failed, Failures: []*Failure{&f}, Ranks: []RankReport{{Outcome: Failed}},
		Generations: []GenerationReport{{Started: epoch, Failed: f.At}},
	}
}

// TestReadFailures: failures of all sorts keep what a strategy asks for.
func TestReadFailures(t *testing.T) {
	lost := errors.New("the link broke")
	for name, f := range map[string]Failure{
		"not ready":       {Err: errors.Join(ErrStartTimeout), Uptime: time.Minute},
		"a code":          {Exit: &process.Exit{Code: 3}},
		"a signal":        {Exit: &process.Exit{Code: -1, Signal: syscall.SIGKILL}},
		"out of memory":   {Exit: &process.Exit{Code: -1, Signal: syscall.SIGKILL, OOM: true}},
		"without a name":  {Exit: &process.Exit{Code: -1, Signal: 99}},
		"an exit's error": {Exit: &process.Exit{Code: -1, Err: lost}, Err: lost},
		"a broken link":   {Err: lost},
		"no result":       {Exit: &process.Exit{Err: process.ErrNoResult}, Err: process.ErrNoResult},
		"a good exit":     {Exit: &process.Exit{}, Err: ErrEnded},
		"processes left":  {Exit: &process.Exit{Code: 1, Left: []process.Leftover{{PID: 7, Name: "sleep"}}}},
		"an odd uptime":   {Exit: &process.Exit{Code: 1}, Uptime: 123456789123456789},
		"a decision":      {Exit: &process.Exit{Code: 1}, Directive: Directive{Action: Ignore, Reason: "a: b"}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(reported(f))
			if err != nil {
				t.Fatal(err)
			}
			r, err := ReadReport(strings.NewReader(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			got := *r.Failures[0]
			if got.Error() != f.Error() || got.Uptime.Round(time.Microsecond) != f.Uptime.Round(time.Microsecond) ||
				got.Directive.Action != f.Directive.Action || got.Directive.Reason != f.Directive.Reason {
				t.Errorf("%+v, want %+v", got, f)
			}
			for _, is := range []error{ErrStartTimeout, ErrEnded, ErrAbandoned, process.ErrNoResult} {
				if errors.Is(&got, is) != errors.Is(&f, is) {
					t.Errorf("it is %v: %v", is, errors.Is(&got, is))
				}
			}
			if (got.Err == nil) != (f.Err == nil) || (got.Exit == nil) != (f.Exit == nil) {
				t.Errorf("%+v, want %+v", got, f)
			} else if x := f.Exit; x != nil && (got.Exit.Code != x.Code || got.Exit.Signal != x.Signal || got.Exit.KilledBy() != x.KilledBy()) {
				t.Errorf("the exit is %+v, want %+v", got.Exit, x)
			}
		})
	}
}

func TestReadWrongReports(t *testing.T) {
	for text, says := range map[string]string{
		``:                                     "at byte 0: unexpected end of JSON input",
		`{"outcome":`:                          "at byte 11: unexpected end of JSON input",
		`[]`:                                   "cannot unmarshal array",
		`{}`:                                   "it has no outcome",
		`{"outcome":"failed"} {}`:              "at byte 22: invalid character '{' after top-level value",
		`{"outcome":"failed","run":7}`:         "run of type string",
		`{"seq":1,"event":"spawn"}`:            "it has no outcome",
		`{"outcome":"f","world_size":2}`:       "world_size is 2, and there are 0 ranks",
		`{"outcome":"f","ranks":[{"rank":1}]}`: "ranks[0] is rank 1",
		`{"outcome":"f","failures":[{"rank":0,"kind":"origin"}]}`:                                                            "failures[0]: rank 0 of 0",
		`{"outcome":"f","ranks":[{"rank":0}],"failures":[{"rank":0}]}`:                                                       `failures[0]: kind ""`,
		`{"outcome":"f","ranks":[{"rank":0}],"failures":[{"rank":0,"kind":"origin","decision":"hope: ful"}]}`:                `decision "hope: ful" begins with no action`,
		`{"outcome":"f","ranks":[{"rank":0,"exit":{"signal":"SIGNIX"}}]}`:                                                    `there is no signal "SIGNIX"`,
		`{"outcome":"f","ranks":[{"rank":0}],"failures":[{"rank":0,"kind":"origin","decision":"terminate","uptime_s":"1"}]}`: "uptime_s of type float64",
	} {
		if _, err := ReadReport(strings.NewReader(text)); !errors.Is(err, ErrReport) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
	r, err := ReadReport(strings.NewReader(`{"outcome":"succeeded","later":{"x":[1]},"ranks":[{"rank":0,"later":1}]}`))
	if err != nil || r.Outcome != Succeeded || len(r.Ranks) != 1 {
		t.Errorf("keys that are not known: %+v, %v", r, err)
	}
}
