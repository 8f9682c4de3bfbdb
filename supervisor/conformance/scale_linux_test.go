package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport"
	"github.com/go-muster/muster/transport/worker"
)

const many = 256

// Every result of 256 functions arrives, in its place.
func TestManyFunctions(t *testing.T) {
	processtest.Check(t)
	places, err := supervisor.Map(context.Background(), supervisor.Spec{RunID: "many"}, whoAmI, make([]string, many))
	if err != nil {
		t.Fatal(err)
	}
	for rank, place := range places {
		if want := (worker.Info{Rank: rank, World: many, LocalRank: rank, LocalWorld: many, RunID: "many"}); place != want {
			t.Errorf("rank %d is %+v", rank, place)
		}
	}
}

// One of 256 commands fails; the exit of each is told, and its output arrives.
func TestManyCommands(t *testing.T) {
	processtest.Check(t)
	g := newGate(t)
	ranks := supervisor.Repeat(many, sh("echo here; exec sleep 1000"))
	ranks[many-1] = sh(`exec 9<"$1"; echo here; read _ <&9; exit 9`, g.path)
	x := beginWith(t, context.Background(), supervisor.Spec{Ranks: ranks})
	x.lineOfAll(0, "here")
	g.open()
	f := x.failure()
	if f.Rank != many-1 || f.Exit.Code != 9 || len(f.Stopped) != many-1 || len(f.Collateral) != 0 {
		t.Errorf("%v, %d stopped, collateral %v", f, len(f.Stopped), f.Collateral)
	}
	for kind, want := range map[supervisor.EventKind]int{
		supervisor.EventStarted: many, supervisor.EventStop: many - 1, supervisor.EventKill: 0, supervisor.EventExited: many,
	} {
		if got := len(x.all(kind)); got != want {
			t.Errorf("%d events %s", got, kind)
		}
	}
}

// starved is a supervisor with few descriptors, in a process of its own as the limit is the whole process's. It tries to
// run more ranks than it can, either from the start or because others take the descriptors after it has looked, and
// prints what has become of them.
var starved = processtest.Helper("starved", func() {
	before := descriptors() // opens what the runtime keeps
	var limit unix.Rlimit
	check(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	limit.Cur = 60
	var eaten []*os.File
	eat := func(e supervisor.Event) {
		for e.Kind == supervisor.EventSpawn && e.Seq == 1 && os.Args[2] == "eaten" && descriptors() < 550 {
			f, err := os.Open(os.DevNull)
			check(err)
			eaten = append(eaten, f)
		}
	}
	if os.Args[2] == "eaten" {
		limit.Cur = 600
	}
	check(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	ranks := supervisor.Repeat(40, sh("exec sleep 1000"))
	if os.Args[1] == function.name {
		c := process.Reexec("act")
		c.Argument, _ = transport.Marshal([]string{"hang"})
		ranks = supervisor.Repeat(40, c)
	}
	err := supervisor.Run(context.Background(), supervisor.Spec{Ranks: ranks}, supervisor.WithObserver(eat))
	for _, f := range eaten {
		f.Close()
	}
	var failure *supervisor.Failure
	fmt.Printf("descriptors %v, spec %v, failure %v, children %q, descriptors more %d\n", errors.Is(err, unix.EMFILE),
		errors.Is(err, supervisor.ErrSpec), errors.As(err, &failure), children(), descriptors()-before)
	fmt.Println(err)
})

// TestTooFewDescriptors: too few at the start are told before anything starts; when they run out later, what was started
// is rolled back.
func TestTooFewDescriptors(t *testing.T) {
	for when, want := range map[string]string{
		"few":   `descriptors true, spec true, failure false, children "", descriptors more 0`,
		"eaten": `descriptors true, spec false, failure true, children "", descriptors more 0`,
	} {
		for _, m := range []mode{function, command} {
			t.Run(when+" for a "+m.name, func(t *testing.T) {
				x := begin(t, supervisor.Spec{Ranks: []process.Command{processtest.Command(t, starved, m.name, when)}})
				if err := x.end(); err != nil {
					t.Fatal(err)
				}
				if said := x.lines[process.ID{}]; len(said) != 2 || said[0] != want || !strings.HasSuffix(said[1], "too many open files") {
					t.Errorf("%q", said)
				}
			})
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	check(err)
	return len(entries)
}

// children lists the children of this process, zombies too.
func children() string {
	var all []string
	tasks, err := os.ReadDir("/proc/self/task")
	check(err)
	for _, task := range tasks {
		b, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		all = append(all, string(bytes.TrimSpace(b)))
	}
	return strings.Join(strings.Fields(strings.Join(all, " ")), " ")
}
