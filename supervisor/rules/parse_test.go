package rules

import (
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

var update = flag.Bool("update", false, "write testdata/bad.txt anew")

// TestParse: every key of a file arrives in its field.
func TestParse(t *testing.T) {
	l := list(t, `
budget: {restarts: 5, within: 1h, min_uptime: 10s, backoff: "1s, 1m"}
rules:
  - name: n
    when:
      exit: 3
      rank: [0, "2-3"]
      generation: "!0"
      uptime: {min: 1s, max: 1h}
      phase: running
    do: restart rest
    free: true
    linger: 5s
    backoff: 2s,1m
    reason: |
      because
  - when: {signal: [SIGSEGV, 9], killed_by: [stranger, oom], oom: true}
    do: ignore
  - {when: {exception: [A, b.C]}, do: restart rank}
  - {when: {start_timeout: true}, do: fail}
  - {do: restart group}
`)
	want := List{
		Budget: &Budget{
			Restarts: 5, Within: time.Hour, MinUptime: 10 * time.Second,
			Backoff: supervisor.Backoff{Min: time.Second, Max: time.Minute},
		},
		Rules: []Rule{
			{
				Name: "n", Do: RestartRest, Free: true, Linger: 5 * time.Second, Reason: "because", Line: 4,
				Backoff: supervisor.Backoff{Min: 2 * time.Second, Max: time.Minute},
				When: When{
					Exit: Numbers{[]Range{{3, 3}}, false}, Rank: Numbers{[]Range{{0, 0}, {2, 3}}, false},
					Generation: Numbers{[]Range{{0, 0}}, true},
					Uptime:     Uptime{time.Second, time.Hour}, Phase: Running,
				},
			},
			{Do: Ignore, Line: 17, When: When{
				Signal: []process.Signal{syscall.SIGSEGV, 9}, OOM: true,
				KilledBy: []process.Killer{process.ByStranger, process.ByOOM},
			}},
			{Do: RestartRank, Line: 19, When: When{Exception: []string{"A", "b.C"}}},
			{Do: Fail, Line: 20, When: When{StartTimeout: true}},
			{Do: RestartGroup, Line: 21},
		},
	}
	if !reflect.DeepEqual(*l, want) {
		t.Errorf("%+v\nwant\n%+v", *l, want)
	}
}

// TestParseJSON: JSON is read as it is, tabs, escapes and all.
func TestParseJSON(t *testing.T) {
	l := list(t, "{\n\t\"budget\": {\"restarts\": 0, \"decay\": \"1h\"},\n\t\"rules\": [\n\t\t"+
		`{"name": "\u00e9\n", "when": {"message": ["\\d+"], "exit": [1, "2-3"]}, "do": "restart group", "free": false}`+"\n\t]\n}\n")
	r := l.Rules[0]
	if l.Budget.Decay != time.Hour || r.Name != "é" || r.When.Message[0].String() != `\d+` || r.Do != RestartGroup ||
		!reflect.DeepEqual(r.When.Exit, Numbers{[]Range{{1, 1}, {2, 3}}, false}) {
		t.Errorf("%+v", l)
	}
}

// TestProblems: all that is wrong with a file is said at once, each at its place.
func TestProblems(t *testing.T) {
	text, err := os.ReadFile("testdata/bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Parse("bad.yaml", text)
	if l != nil || err == nil {
		t.Fatalf("%+v, %v", l, err)
	}
	var p *Problem
	if !errors.As(err, &p) || p.File != "bad.yaml" || p.Line != 2 {
		t.Errorf("the first problem is %+v", p)
	}
	got := err.Error() + "\n"
	if *update {
		if err := os.WriteFile("testdata/bad.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/bad.txt")
	if err != nil || got != string(want) {
		t.Errorf("%v; testdata/bad.txt should be (go test -update writes it anew)\n%s", err, got)
	}
}

// TestWrongFiles: files that are no list of rules at all.
func TestWrongFiles(t *testing.T) {
	for text, want := range map[string]string{
		"":           "f:1:1: the file is empty: it must have the key rules",
		"# later\n":  "f:1:1: the file is empty: it must have the key rules",
		"rules":      "f:1:1: the file must have keys: budget, rules",
		"- do: fail": "f:1:1: the file must have keys: budget, rules",
		"budget: {within: 1h}\nrules: [{do: fail}]":     "f:1:9: budget: write restarts, how many there may be; without a budget that of the caller is used",
		"budget: {restarts: 1}":                         "f:1:1: the file has no key rules: write a list of rules under it",
		"rules:":                                        "f:1:8: rules: write a list, each rule after a dash",
		"rules: []":                                     "f:1:8: rules: write a list, each rule after a dash",
		"rules: {do: fail}":                             "f:1:8: rules: write a list, each rule after a dash",
		"rules:\n- do: fail\nrules":                     "f:3:1: the file cannot be read as YAML: non-map value is specified",
		"rules: [{do: fail}":                            "f:1:8: the file cannot be read as YAML: sequence end token ']' not found",
		"rules:\n- {do: fail, do: ignore}":              "f:2:14: the file cannot be read as YAML: mapping key \"do\" already defined at [2:4]",
		"rules: [{do: fail}]\n---\nrules: [{do: fail}]": "f:3:1: a second document begins here: one is read",
		"rules: [{do: fail}]\xff":                       "f:1:1: the file is no UTF-8 text",
		"rules:\n- when: {exit: !0}\n  do: fail": "f:2:18: the file cannot be read as YAML: found invalid tag character '}'" +
			` (what begins with ! needs quotes, such as "!0")`,
		"rules:\n- do: fail\n- when: {exit: 3}\n  do: ignore": "f:3:3: this rule never matches: the one in line 2 matches everything: put it last",
		"rules:\n- {when: {rank: 0-}, do: fail}\n- {do: fail}\n- {do: fail}": "f:3:3: this rule never matches: the one in line 2 matches everything: put it last\n" +
			"f:4:3: this rule never matches: the one in line 2 matches everything: put it last",
	} {
		if l, err := Parse("f", []byte(text)); l != nil || err == nil || err.Error() != want {
			t.Errorf("%q: %+v, %v, want %s", text, l, err, want)
		}
	}
}

// TestHostileFiles: none of these costs more than a file of rules may.
func TestHostileFiles(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'n'; c++ {
		bomb += strings.ReplaceAll("N: &N [*P, *P, *P, *P, *P, *P, *P, *P, *P]\n", "N", string(c))
		bomb = strings.ReplaceAll(bomb, "*P", "*"+string(c-1))
	}
	for name, test := range map[string]struct{ text, says string }{
		"too long":           {strings.Repeat("# rules\n", 1<<14), "f:1:1: the file has 131072 bytes, and at most 65536 are read"},
		"brackets":           {strings.Repeat("[", 1<<15), "f:1:17: this is nested deeper than 16"},
		"braces":             {"rules: " + strings.Repeat("{a: ", 1<<13), "nested deeper than 16"},
		"dashes":             {strings.Repeat("- ", 1<<14), "f:1:33: this is nested deeper than 16"},
		"question marks":     {strings.Repeat("? ", 1<<14), "nested deeper than 16"},
		"anchors":            {strings.Repeat("&a ", 1<<14), "nested deeper than 16"},
		"tags":               {strings.Repeat("!a ", 1<<14), "nested deeper than 16"},
		"a bomb of aliases":  {bomb, `f:1:1: the file has no key "a": it may have budget, rules`},
		"an alias of itself": {"rules: &r [*r]", "rules: write a list"},
		"an anchored rule":   {"rules:\n- &r {do: fail}", "f:2:3: a rule: anchors, aliases and tags are not read: write it out"},
		"a merged mapping":   {"rules:\n- do: fail\n- <<: {do: fail}", `f:3:3: a rule has no key ""`},
		"a long expression":  {`rules: [{do: fail, when: {message: "((a{100}){100}){100}"}}]`, "f:1:36: message: error parsing regexp"},
	} {
		if l, err := Parse("f", []byte(test.text)); l != nil || err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %.1000v, want %q", name, err, test.says)
		}
	}
}

// FuzzParse: whatever the text, there is a list that decides, or an error of which every line names a place.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/bad.yaml", "../../examples/launch/rules.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse("f", []byte(text))
		var p *Problem
		switch {
		case err == nil:
			if err := l.Check(); err != nil {
				t.Errorf("what was read is refused: %v", err)
			}
			for _, x := range []*supervisor.Failure{code(1), died(9), oom, late, lost, torn, golang, of(3, 3, time.Hour)} {
				l.Decide(state(3, 2), x)
			}
		case l != nil || !errors.As(err, &p) || p.Line < 1 || p.Column < 1:
			t.Errorf("%+v, %v", l, err)
		}
	})
}
