// Talk runs a group of ranks that stay, and talks to them: they divide a text among themselves without any port or file, say
// what they do, and answer questions until they are asked to stop.
//
//	go run ./examples/talk
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport/worker"
)

const text = "the quick brown fox jumps over the lazy dog and the dog does not mind the fox"

func init() { worker.Register("counter", count) }

// count is a rank: it takes its share of the text and answers how often words are in it.
func count(ctx context.Context, me worker.Info) error {
	words, err := worker.Broadcast(ctx, 0, strings.Fields(text)) // rank 0 brings the text for all
	if err != nil {
		return err
	}
	mine := words[len(words)*me.Rank/me.World : len(words)*(me.Rank+1)/me.World]
	sizes, err := worker.AllGather(ctx, len(mine))
	if err != nil {
		return err
	}
	if err := worker.Tell(ctx, "ready", fmt.Sprintf("%d of %v words are mine", len(mine), sizes)); err != nil {
		return err
	}
	for {
		select {
		case m := <-worker.Messages():
			if err := answer(m, mine); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func answer(m *worker.Message, words []string) error {
	var wanted string
	if err := m.Decode(&wanted); err != nil {
		return m.Fail(err)
	}
	n := 0
	for _, word := range words {
		if word == wanted {
			n++
		}
	}
	return m.Reply(n)
}

func main() {
	worker.Main() // does not return in a rank
	if err := talk(context.Background(), 3, []string{"the", "fox", "cat"}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// talk asks n ranks for words.
func talk(ctx context.Context, n int, words []string) error {
	ready := make(chan string, n)
	group, err := supervisor.Start(ctx, supervisor.Spec{Ranks: supervisor.Repeat(n, process.Reexec("counter"))},
		supervisor.WithMessages(func(m *supervisor.Message) {
			var said string
			_ = m.Decode(&said)
			ready <- fmt.Sprintf("rank %d says: %s", m.From.Rank, said)
		}))
	if err != nil {
		return err
	}
	defer func() {
		group.Stop("all is said")
		_ = group.Wait()
	}()
	for range n {
		select {
		case said := <-ready:
			fmt.Println(said)
		case <-group.Done():
			return group.Wait()
		}
	}
	for _, word := range words {
		sum := 0
		for rank := range n {
			var found int
			if err := group.Request(ctx, rank, "count", word, &found); err != nil {
				return err // a rank that ends in between is an error at once: *supervisor.MessageError
			}
			sum += found
		}
		fmt.Printf("%q: %d\n", word, sum)
	}
	return nil
}
