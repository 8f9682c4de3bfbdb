package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/bench/compare/internal/results"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/transport/worker"
)

// compared runs in a group of one rank: whatever happens to this program, nothing that a contender has started is left.
var compared = worker.Func("compare", func(ctx context.Context, _ worker.Info, o options) (results.Results, error) {
	for _, kv := range os.Environ() { // our own contenders are to know nothing of it
		if name, _, _ := strings.Cut(kv, "="); inherited(name) {
			os.Unsetenv(name)
		}
	}
	return run(ctx, o, os.Stderr)
})

// inherited names what a rank is told.
func inherited(name string) bool {
	return strings.HasPrefix(name, "MUSTER_") || strings.HasPrefix(name, "TORCHELASTIC_") || strings.HasPrefix(name, "MASTER_") ||
		strings.HasSuffix(name, "RANK") || strings.HasSuffix(name, "WORLD_SIZE") || strings.HasPrefix(name, "ROLE_")
}

func main() {
	worker.Main()
	o, err := parseOptions(os.Args[1:])
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := compare(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, o options) error {
	if o.List {
		return list(ctx)
	}
	all, err := measured(ctx, o)
	if err != nil {
		return err
	}
	return publish(all, o)
}

// measured is what --from has, or else what is measured now.
func measured(ctx context.Context, o options) (results.Results, error) {
	if o.From != "" {
		f, err := os.Open(o.From)
		if err != nil {
			return results.Results{}, err
		}
		defer f.Close()
		return results.Read(f)
	}
	tell := supervisor.WithOutput(func(_ process.ID, _ process.Stream, lines []byte) { os.Stderr.Write(lines) })
	return supervisor.Call(ctx, supervisor.Spec{Name: "compare"}, compared, o, tell)
}

// list says who would take part.
func list(ctx context.Context) error {
	peers, have, err := look(ctx, false)
	if err != nil {
		return err
	}
	for _, p := range peers {
		fmt.Printf("%-24s %s%s\n", p.Name, p.Version, p.Missing)
	}
	for _, r := range rows {
		fmt.Printf("\n%s, n = %v: %s\n", r.name, r.sizes, r.title)
		for _, c := range r.contenders {
			missing := slices.DeleteFunc(slices.Clone(c.needs), func(n string) bool { return have[n] })
			if len(missing) > 0 {
				fmt.Printf("  %s (without %s it stays away)\n", c.name, strings.Join(missing, " and "))
				continue
			}
			fmt.Printf("  %s\n", c.name)
		}
	}
	return nil
}
