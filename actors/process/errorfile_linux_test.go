package process_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/transport"
	inject "github.com/go-muster/muster/transport/worker/python"
)

// reporting is a shell that has an error file, in $f. $1 is a report.
func reporting(script string, args ...string) process.Command {
	c := shell("f=$TORCHELASTIC_ERROR_FILE; "+script, args...)
	c.ErrorFile = true
	return c
}

// torchReport is what torch.distributed.elastic writes.
const torchReport = `{"message": {"message": "ValueError: no learning rate", "extraInfo": ` +
	`{"py_callstack": "Traceback (most recent call last):\n  …\nValueError: no learning rate\n", "timestamp": "1700000000"}}}`

// What a process writes to its error file is an exception, if it can be read and the process fails; else it is told beside the
// exit (the torch rows E15, E19, E20).
func TestErrorFile(t *testing.T) {
	for _, test := range []struct {
		name    string
		command process.Command
		raised  transport.Exception // its type, message and time
		exit    string
	}{
		{"torch's own", reporting(`printf %s "$1" > $f; exit 7`, torchReport),
			transport.Exception{Type: "ValueError", Message: "no learning rate", Time: 1700000000e9}, "exit status 7"},
		{"a mere text", reporting(`echo '{"message": "disk is full: stop", "timestamp": 17.5}' > $f; exit 1`),
			transport.Exception{Message: "disk is full: stop", Time: 17e9}, "exit status 1"},
		{"a type without a text", reporting(`echo '{"message": "KeyError: ", "timestamp": "soon"}' > $f; exit 1`),
			transport.Exception{Type: "KeyError"}, "exit status 1"},
		{"a text of many lines", reporting(`printf %s '{"message": "pkg.Error: a\nb: c"}' > $f; exit 1`),
			transport.Exception{Type: "pkg.Error", Message: "a\nb: c"}, "exit status 1"},
		{"and a signal", reporting(`printf %s "$1" > $f; kill -9 $$`, torchReport),
			transport.Exception{Type: "ValueError", Message: "no learning rate", Time: 1700000000e9}, "signal: killed (SIGKILL)"},
		{"the last of two", reporting(`echo '{"message": "first"}' > $f; echo '{"message": "second"}' > $f; exit 1`),
			transport.Exception{Message: "second"}, "exit status 1"},
		{"and another that is cut off", reporting(`echo '{"message": "first"}' > $f; echo '{"message": ' > $f; exit 1`),
			transport.Exception{Message: "first"}, "exit status 1"},
		{"by a child without our descriptors", reporting(`(exec 3>&- 4>&- 5>&- 6>&- 7>&-; echo '{"message": "child"}' > $f); exit 1`),
			transport.Exception{Message: "child"}, "exit status 1"},
		{"nothing", reporting(`: > $f; exit 1`), transport.Exception{}, "exit status 1"},
		{"garbage", reporting(`printf 'caf\351 !' > $f; exit 3`), transport.Exception{},
			`exit status 3, and an unparseable report (invalid character 'c' looking for beginning of value): "caf` + "\uFFFD" + ` !"`},
		{"another shape", reporting(`echo '[1]' > $f; exit 3`), transport.Exception{}, "exit status 3, and an unparseable report (json: " +
			"cannot unmarshal array into Go value of type process.reportDocument): \"[1]\\n\""},
		{"no message", reporting(`echo '{"a": 1}' > $f; exit 3`), transport.Exception{},
			`exit status 3, and an unparseable report (no message in it): "{\"a\": 1}\n"`},
		{"too much", reporting(`head -c 5000000 /dev/zero | tr '\0' x > $f; exit 3`), transport.Exception{},
			`exit status 3, and an unparseable report (longer than 1 MiB): "` + strings.Repeat("x", 1<<10) + `"`},
		{"a good end", reporting(`printf %s "$1" > $f`, torchReport), transport.Exception{}, "exit status 0"},
		{"a file of the user's", withEnv(reporting(`echo $f >&2; exit 1`), "TORCHELASTIC_ERROR_FILE=/mine"), transport.Exception{}, "exit status 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			l, exit := run(t, test.command)
			var x transport.Exception
			if all := l.exceptions(); len(all) > 0 {
				x = *all[0]
			}
			if x.Type != test.raised.Type || x.Message != test.raised.Message || x.Time != test.raised.Time {
				t.Errorf("%+v is raised, want %+v", x, test.raised)
			}
			if exit.Error() != test.exit {
				t.Errorf("exit %q, want %q", exit.Error(), test.exit)
			}
			if strings.Contains(test.command.Args[2], `"$1"`) && x.Type != "" && !strings.HasPrefix(x.Traceback, "Traceback") {
				t.Errorf("traceback %q", x.Traceback)
			}
		})
	}
}

func withEnv(c process.Command, kv string) process.Command {
	c.Env = append(c.Env, kv)
	return c
}

// The variable of a supervisor that is a rank itself is not for its ranks: its path would mean another file there.
func TestErrorFileOfOthers(t *testing.T) {
	t.Setenv("TORCHELASTIC_ERROR_FILE", "/of/another")
	for _, test := range []struct {
		name    string
		command process.Command
		ours    bool
	}{
		{"asked for", reporting(`echo $f`), true},
		{"not asked for", shell(`echo $TORCHELASTIC_ERROR_FILE`), false},
		{"unset", process.Command{Args: reporting(`echo $f`).Args, ErrorFile: true, Unset: []string{"TORCHELASTIC_ERROR_FILE"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			l, _ := run(t, test.command)
			path := strings.TrimSpace(l.stdout())
			if ours := strings.HasPrefix(path, fmt.Sprintf("/proc/%d/fd/", os.Getpid())); ours != test.ours || !ours && path != "" {
				t.Errorf("%q", path)
			}
		})
	}
}

// A worker that speaks for itself is believed: its error file may be a child's.
func TestErrorFileSaysLess(t *testing.T) {
	processtest.Check(t)
	better, err := transport.Marshal(&transport.Exception{Type: "Better"})
	if err != nil {
		t.Fatal(err)
	}
	frame := t.TempDir() + "/frame"
	if err := os.WriteFile(frame, transport.AppendFrame(nil, transport.KindException, 0, better), 0o600); err != nil {
		t.Fatal(err)
	}
	l, exit := run(t, reporting(`echo '{"message": "worse"}' > $f; cat $2 >&3; exit 1`, "", frame))
	if all := l.exceptions(); len(all) != 1 || all[0].Type != "Better" || exit.Report != "" {
		t.Errorf("%v, exit %v", all, exit)
	}
}

// What was written before we asked it to stop is not why it ended (G-6).
func TestErrorFileOfTheStopped(t *testing.T) {
	processtest.Check(t)
	l := launch(t, reporting(`trap 'echo "{\"message\": \"SignalException: 15\"}" > $f; exit 1' TERM; echo here; while :; do sleep 0.01; done`))
	l.awaitOutput(process.Stdout, "here")
	l.Stop("the test", time.Minute)
	if exit := l.awaitExit(); len(l.exceptions()) > 0 || !exit.Stopped || exit.Error() != "exit status 1" {
		t.Errorf("%v, exit %v", l.exceptions(), exit)
	}
}

// A grandchild that holds the error file holds up nobody, not even for the drain of the other streams; one that writes to it
// without end ends by that (G-5).
func TestErrorFileHeld(t *testing.T) {
	withLayers(t, bare)
	for _, test := range []struct{ name, script string }{
		{"it sleeps", `exec sleep 60`},
		{"it writes without end", `yes >&9; exec sleep 60`},
	} {
		t.Run(test.name, func(t *testing.T) {
			processtest.Check(t)
			l, exit := run(t, reporting(`mkfifo $1; setsid sh -c 'exec 9>$TORCHELASTIC_ERROR_FILE; echo $$ > $1; `+test.script+
				`' sh $1 >/dev/null 2>&1 3>&- & read -r pid < $1; echo $pid; exit 3`, t.TempDir()+"/fifo"))
			pid, err := strconv.Atoi(strings.TrimSpace(l.stdout()))
			if err != nil {
				t.Fatalf("exit %+v after %q", exit, l.stdout())
			}
			if exit.Code != 3 || len(exit.Left) > 0 || len(l.exceptions()) > 0 {
				t.Errorf("exit %+v, raised %v", exit, l.exceptions())
			}
			_ = process.SendTo(-pid, syscall.SIGKILL)
		})
	}
}

// Programs under torch's @record report unchanged, and so do their children, which Python starts without our descriptors.
func TestErrorFileOfTorch(t *testing.T) {
	const python = "/usr/bin/python3"
	if out, err := exec.Command(python, "-c", "import torch.distributed.elastic").CombinedOutput(); err != nil {
		t.Skipf("there is no torch: %s: %v, %s", python, err, out)
	}
	const main = `
from torch.distributed.elastic.multiprocessing.errors import record
@record
def main(): raise ValueError("no learning rate")
main()`
	const parent = `import subprocess, sys; sys.exit(subprocess.call([sys.executable, "-c", sys.argv[1]]))`
	injected := func(args ...string) process.Command {
		argv, speaks := inject.Inject(args)
		return process.Command{Args: argv, Speaks: speaks, ErrorFile: true}
	}
	for name, c := range map[string]process.Command{
		"the rank itself":             {Args: []string{python, "-c", main}, ErrorFile: true, Plain: true},
		"a child of it":               {Args: []string{python, "-c", parent, main}, ErrorFile: true, Plain: true},
		"the rank, with the SDK":      injected(python, "-c", main),
		"a child of one with the SDK": injected(python, "-c", parent, main),
	} {
		t.Run(name, func(t *testing.T) {
			processtest.Check(t)
			before := time.Now().Truncate(time.Second)
			l, exit := run(t, c)
			all := l.exceptions()
			if len(all) != 1 || all[0].Error() != "ValueError: no learning rate" || exit.Error() != "exit status 1" {
				t.Fatalf("%v, exit %v\n%s", all, &exit, exit.Stderr)
			}
			if x := all[0]; !strings.Contains(x.Traceback, "in main\n") || time.Unix(0, x.Time).Before(before) || x.PID != l.PID() ||
				(x.Module == "builtins") != (name == "the rank, with the SDK") {
				t.Errorf("%+v", x)
			}
		})
	}
}
