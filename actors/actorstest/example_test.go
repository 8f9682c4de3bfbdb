package actorstest_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
)

// keep is what is to be tested: it launches a process and stops it when it says its first word.
func keep(l process.Launcher) (<-chan process.Exit, error) {
	k := &keeper{said: make(chan struct{}, 1), exit: make(chan process.Exit, 1)}
	p, err := l.Launch(process.ID{}, process.Command{Args: []string{"train"}}, k)
	if err != nil {
		return nil, err
	}
	go func() { // ends with the first word
		<-k.said
		p.Stop("it spoke", time.Second)
	}()
	return k.exit, nil
}

type keeper struct {
	process.Observer
	said chan struct{}
	exit chan process.Exit
}

func (k *keeper) Output(process.Stream, []byte) { k.said <- struct{}{} }
func (k *keeper) Exited(e process.Exit)         { k.exit <- e }

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	launcher := actorstest.NewLauncher(t) // in a test, its own t
	exit, err := keep(launcher)
	if err != nil {
		log.Fatal(err)
	}
	p := launcher.Next(ctx)
	fmt.Println(p.ID, "runs", p.Command)
	p.Print(process.Stdout, "hello\n")
	fmt.Printf("%+v\n", p.Order(ctx))
	p.Exit(process.Exit{Code: 1})
	fmt.Println("stopped:", (<-exit).Stopped)
	// Output:
	// 0@0 runs train
	// {Reason:it spoke Grace:1s}
	// stopped: true
}

// t stands for the test that an example is not.
var t testing.TB = noTest{}

type noTest struct{ testing.TB }

func (noTest) Helper()        {}
func (noTest) Cleanup(func()) {}
