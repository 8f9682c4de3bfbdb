// Customstrategy runs a group under a strategy that one may choose: one of its own, one of protoactor's, or rules with the
// first one behind them. Its ranks only pretend to train, and rank 1 has the trouble that it is told to have.
//
//	go run ./examples/customstrategy                              # it loses a peer, then it is too slow
//	go run ./examples/customstrategy -trouble memory
//	go run ./examples/customstrategy -strategy protoactor
//	go run ./examples/customstrategy -strategy rules -trouble mistake
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/rules"
	"github.com/go-muster/muster/transport/worker"
)

// train is what each rank does: rank 1 has in each generation the trouble that the list has for it.
var train = worker.Func("train", func(_ context.Context, me worker.Info, list []string) (string, error) {
	time.Sleep(200 * time.Millisecond) // work: a rank that fails while others are starting takes all of them along
	if me.Rank == 1 && me.Generation < len(list) {
		return "", fmt.Errorf("step 7: %w", troubles[list[me.Generation]])
	}
	return fmt.Sprintf("rank %d@%d has trained", me.Rank, me.Generation), nil
})

func main() {
	worker.Main() // does not return in a rank
	name := flag.String("strategy", "own", "who decides: own, protoactor or rules")
	trouble := flag.String("trouble", "peer,slow", "what rank 1 meets, generation by generation: memory, peer, slow or mistake")
	ranks := flag.Int("n", 3, "how many ranks there are")
	perHour := flag.Int("per-hour", 3, "how many restarts there may be in an hour")
	flag.Parse()
	list, err := parse(*trouble)
	if err != nil {
		log.Fatal(err)
	}
	strategy, err := choose(*name, *perHour)
	if err != nil {
		log.Fatal(err)
	}
	arguments := make([][]string, max(0, *ranks))
	for rank := range arguments {
		arguments[rank] = list
	}
	results, err := supervisor.Map(context.Background(), supervisor.Spec{Strategy: strategy}, train, arguments,
		supervisor.WithObserver(explain))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Join(results, "\n"))
}

func choose(name string, perHour int) (supervisor.Strategy, error) {
	switch name {
	case "own":
		return training{perHour}, nil
	case "protoactor":
		return supervisor.FromProtoactor(theirs(perHour)), nil
	case "rules":
		return ruled(perHour)
	}
	return nil, fmt.Errorf("there is no strategy %q: use own, protoactor or rules", name)
}

// theirs is a strategy of protoactor-go, as it would stand above actors. It counts the restarts of each rank.
func theirs(perHour int) actor.SupervisorStrategy {
	return actor.NewAllForOneStrategy(perHour, time.Hour, func(reason any) actor.Directive {
		if failure, is := reason.(*supervisor.Failure); is && errors.Is(failure, errMemory) {
			return actor.EscalateDirective
		}
		return actor.RestartDirective
	})
}

//go:embed rules.yaml
var rulesFile []byte

// ruled puts rules in front of our strategy, which decides whatever they do not match.
func ruled(perHour int) (supervisor.Strategy, error) {
	list, err := rules.Parse("rules.yaml", rulesFile)
	if err != nil {
		return nil, err
	}
	list.Else = training{perHour}
	return list, nil
}

func parse(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	words := strings.Split(list, ",")
	for _, word := range words {
		if troubles[word] == nil {
			return nil, fmt.Errorf("there is no trouble %q: use memory, peer, slow or mistake", word)
		}
	}
	return words, nil
}

// explain prints what was decided, and why.
func explain(e supervisor.Event) {
	if e.Kind == supervisor.EventDecided {
		fmt.Printf("%v -> %v (%s)\n", e.Failure, e.Action, e.Reason)
	}
}
