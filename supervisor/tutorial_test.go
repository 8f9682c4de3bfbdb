package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/rules"
	"github.com/go-muster/muster/transport"
)

// TestTutorial: every block of Go in docs/strategies.md and docs/messages.md stands in a file that is compiled: the examples
// below, or a program in examples.
func TestTutorial(t *testing.T) {
	var docs []byte
	for _, page := range []string{"strategies", "messages"} {
		text, err := os.ReadFile("../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, text...)
	}
	var sources []string
	for _, pattern := range []string{"tutorial_test.go", "strategy.go", "../examples/*/*.go"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, flat(string(text)))
		}
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(docs), -1)
	if len(blocks) < 13 {
		t.Errorf("there are %d blocks", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(strings.Join(sources, ""), flat(b[1])) {
			t.Errorf("this is compiled nowhere:\n%s", b[1])
		}
	}
}

// flat is a text without the indentation of its lines, and without blank ones.
func flat(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString("\n" + line)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func ExampleRun() {
	err := supervisor.Run(context.Background(), supervisor.Spec{
		Ranks:    supervisor.Repeat(4, process.Command{Args: []string{"./train"}}),
		Strategy: supervisor.AllForOne{Restarts: 3, Within: time.Hour},
	})
	if err != nil {
		log.Fatal(err) // gave up after 3 restarts: rank 2@3: signal: segmentation fault (SIGSEGV)
	}
}

func ExampleAllForOne() {
	strategy := supervisor.AllForOne{
		Restarts:  5,
		Within:    time.Hour,
		MinUptime: 10 * time.Second,
		Backoff:   supervisor.Backoff{Min: time.Second, Max: time.Minute},
	}

	now := time.Now()
	state := supervisor.State{Now: now, Size: 4, Random: 0.5, Restarts: []time.Time{now.Add(-2 * time.Hour), now.Add(-time.Minute)}}
	fmt.Println(strategy.Decide(state, &supervisor.Failure{Rank: 2, Uptime: time.Minute}).Reason)
	fmt.Println(strategy.Decide(state, &supervisor.Failure{Rank: 2, Uptime: time.Second}).Reason)
	// Output:
	// restart 2 of 5
	// it lived 1s, and a restart is worth while after 10s
}

func ExampleRestartType() {
	spec := supervisor.Spec{
		Ranks: []process.Command{
			{Args: []string{"./server"}},
			{Args: []string{"./migrate"}},
			{Args: []string{"./warm-the-cache"}},
		},
		RestartTypes: []supervisor.RestartType{supervisor.Permanent, supervisor.Transient, supervisor.Temporary},
		Strategy:     supervisor.OneForOne{Restarts: 5, Within: time.Minute},
	}
	_ = spec
}

func ExampleSuccess() {
	ranks := supervisor.Repeat(5, process.Command{Args: []string{"./solve"}})

	quorum := supervisor.Spec{Ranks: ranks, Success: supervisor.Success{Need: 3}}                      // any three; the others are stopped
	leader := supervisor.Spec{Ranks: ranks, Success: supervisor.Success{Ranks: []int{0}, Await: true}} // rank 0; the others may finish

	_, _ = quorum, leader
}

func ExampleShutdown() {
	spec := supervisor.Spec{
		Ranks:        supervisor.Repeat(3, process.Command{Args: []string{"./member"}}),
		Significant:  []int{0, 1},
		AutoShutdown: supervisor.AllSignificant,
	}
	_ = spec
}

func ExampleSpec_ordered() {
	spec := supervisor.Spec{
		Ranks: []process.Command{
			{Args: []string{"./database"}},
			{Args: []string{"./index"}},
			{Args: []string{"./server"}},
		},
		Ordered:  true,
		Strategy: supervisor.RestForOne{Restarts: 3, Within: time.Hour},
	}
	_ = spec
}

func ExampleLiveness() {
	spec := supervisor.Spec{
		Ranks:    supervisor.Repeat(4, process.Command{Args: []string{"./train"}, Speaks: true}),
		Liveness: supervisor.Liveness{Heartbeat: time.Second, Stall: 10 * time.Minute},
		Strategy: supervisor.AllForOne{Restarts: 3, Within: time.Hour},
	}
	_ = spec
}

func ExampleDirective_drop() {
	strategy := supervisor.StrategyFunc(func(s supervisor.State, f *supervisor.Failure) supervisor.Directive {
		if f.Rank != 0 && f.Generation > 0 {
			return supervisor.Directive{Action: supervisor.Drop, Reason: "it failed twice"}
		}
		return supervisor.OneForOne{Restarts: 10}.Decide(s, f)
	})

	second := &supervisor.Failure{Rank: 3, Generation: 1, Exit: &process.Exit{Code: 1}}
	fmt.Println(strategy.Decide(supervisor.State{Size: 4}, second).Action)
	// Output: drop
}

func ExampleFromProtoactor() {
	decider := func(reason any) actor.Directive {
		var exception *transport.Exception
		if failure, is := reason.(*supervisor.Failure); is && errors.As(failure, &exception) && exception.Type == "ValueError" {
			return actor.EscalateDirective
		}
		return actor.RestartDirective
	}
	strategy := supervisor.FromProtoactor(actor.NewOneForOneStrategy(3, time.Hour, decider))

	d := strategy.Decide(supervisor.State{Size: 2}, &supervisor.Failure{Rank: 1, Exception: &transport.Exception{Type: "ValueError"}})
	fmt.Println(d.Action)
	// Output: terminate
}

func ExampleGroup_SetStrategy() {
	rehearse := func(group *supervisor.Group) error {
		return group.SetStrategy(supervisor.OneForOne{Restarts: 100, Within: time.Hour})
	}
	_ = rehearse
}

func ExampleGroup_SetTerms() {
	rehearse := func(group *supervisor.Group) error {
		return group.SetTerms(supervisor.Terms{Success: supervisor.Success{Need: 1}})
	}
	_ = rehearse
}

func ExampleGroup_Add() {
	rehearse := func(group *supervisor.Group, worker process.Command) ([]int, error) {
		more, err := group.Add(supervisor.Repeat(2, worker), "the queue is long")
		return more, err
	}
	_ = rehearse
}

func ExampleGroup_Remove() {
	rehearse := func(group *supervisor.Group) error {
		err := group.Remove(2, "it is too slow")
		return err
	}
	_ = rehearse
}

func ExampleGroup_Resize() {
	rehearse := func(group *supervisor.Group, worker process.Command) error {
		err := group.Resize(supervisor.Repeat(3, worker), "a machine is gone")
		return err
	}
	_ = rehearse
}

func ExampleGroup_Restart() {
	rehearse := func(group *supervisor.Group) error {
		err := group.Restart("new weights", 2)
		return err
	}
	_ = rehearse
}

func ExampleElastic() {
	spec := supervisor.Spec{Ranks: supervisor.Repeat(16, process.Reexec("train"))}
	spec.MinRanks, spec.MaxRanks = 8, 16
	spec.Elastic = supervisor.Elastic{Fit: true, Regrow: true}
	fmt.Println(spec.Check(process.Local())) // which has one host
	// Output: supervisor: bad spec: Elastic is for a launcher with several hosts, and this one has one: leave it out
}

func Example_rules() {
	file, err := os.ReadFile("rules.yaml")
	if err != nil {
		log.Fatal(err)
	}
	list, err := rules.Parse("rules.yaml", file)
	if err != nil {
		log.Fatal(err) // rules.yaml:9:5: a rule has no key …
	}
	list.Else = supervisor.AllForOne{Restarts: 3} // what no rule matches
	spec := supervisor.Spec{Ranks: supervisor.Repeat(4, process.Command{Args: []string{"./train"}}), Strategy: list}
	_ = spec
}

func ExampleGaveUpError() {
	tell := func(err error) {
		var gaveUp *supervisor.GaveUpError
		var failure *supervisor.Failure
		var exception *transport.Exception
		switch {
		case err == nil:
			fmt.Println("done")
		case errors.Is(err, supervisor.ErrSpec):
			fmt.Println("nothing was started:", err)
		case errors.Is(err, supervisor.ErrStrategy):
			fmt.Println("a mistake in the strategy:", err)
		case errors.As(err, &exception):
			fmt.Println("a rank raised", exception.Type, exception.Traceback)
		case errors.As(err, &gaveUp):
			fmt.Println("failed", len(gaveUp.History), "times")
		case errors.As(err, &failure):
			fmt.Println("rank", failure.Rank, "failed, and with it", len(failure.Collateral), "others")
		case errors.Is(err, supervisor.ErrStopped), errors.Is(err, context.Canceled):
			fmt.Println("somebody ended it")
		default:
			fmt.Println(err) // ErrTimeout, ErrAbandoned, ErrSuccess
		}
	}

	tell(&supervisor.GaveUpError{Restarts: 1, History: []*supervisor.Failure{{Rank: 1}, {Rank: 1, Generation: 1}}})
	// Output: failed 2 times
}
