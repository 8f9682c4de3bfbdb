package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// options are what one may choose. They travel to the process that measures.
type options struct {
	Rows    []string
	Sizes   []int
	Rounds  int
	Limit   time.Duration
	Idle    time.Duration
	Quick   bool
	Install bool
	JSON    string
	Charts  string
	Docs    string
	From    string
	List    bool
}

const usageText = `Compare runs Muster beside what one would use instead, in turns, and prints tables of ratios.

  go run ./bench/compare                        all rows: a quarter of an hour
  go run ./bench/compare --quick                a look at everything, in seconds
  go run ./bench/compare --rows launch --sizes 8,64 --rounds 20
  go run ./bench/compare --docs docs            the tables and charts of docs/performance.md, anew
  go run ./bench/compare --from docs/performance/results.json --docs docs   the same, from what was measured

`

func parseOptions(args []string) (o options, err error) {
	f := pflag.NewFlagSet("compare", pflag.ContinueOnError)
	f.SortFlags = false
	f.StringSliceVar(&o.Rows, "rows", nil, "only these rows: "+strings.Join(rowNames(), ", "))
	f.IntSliceVar(&o.Sizes, "sizes", nil, "only these numbers of ranks, of those that a row has")
	f.IntVar(&o.Rounds, "rounds", 0, "rounds at each size (default: each row's own)")
	f.DurationVar(&o.Limit, "limit", 60*time.Second, "time that a trial may take")
	f.DurationVar(&o.Idle, "idle", idleTime, "time for which idle supervisors are watched")
	f.BoolVar(&o.Quick, "quick", false, "few ranks, two rounds, and nobody who takes seconds")
	f.BoolVar(&o.Install, "install", false, "install peers that are missing, with apt-get")
	f.StringVar(&o.JSON, "json", "", "write what was measured to this `FILE`")
	f.StringVar(&o.Charts, "charts", "", "draw charts into this `DIR`, as SVG and PNG")
	f.StringVar(&o.Docs, "docs", "", "write tables, charts and JSON to `DIR`/performance.md and DIR/performance/")
	f.StringVar(&o.From, "from", "", "measure nothing: take an earlier run's JSON `FILE`")
	f.BoolVar(&o.List, "list", false, "list rows and contenders, and who is missing; run nothing")
	f.Usage = func() { fmt.Print(usageText, f.FlagUsages()) }
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.Quick && !f.Changed("idle") {
		o.Idle = time.Second
	}
	return o, errors.Join(o.check(), unexpected(f.Args()))
}

func unexpected(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected: %s", join(args))
	}
	return nil
}

func (o options) check() error {
	var errs []error
	for _, name := range o.Rows {
		if !slices.Contains(rowNames(), name) {
			errs = append(errs, fmt.Errorf("there is no row %q: there are %s", name, strings.Join(rowNames(), ", ")))
		}
	}
	if o.Rounds < 0 {
		errs = append(errs, fmt.Errorf("--rounds %d: at least 1, or 0 for each row's own", o.Rounds))
	}
	if o.Limit <= 0 || o.Idle <= 0 {
		errs = append(errs, errors.New("--limit and --idle are times above 0, such as 30s"))
	}
	for _, n := range o.Sizes {
		if n < 1 {
			errs = append(errs, fmt.Errorf("--sizes %d: at least 1", n))
		}
	}
	return errors.Join(errs...)
}

// rowNames are what --rows takes. hosts is asked of the simulation.
func rowNames() []string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return append(names, "hosts")
}

func (o options) wants(name string) bool { return len(o.Rows) == 0 || slices.Contains(o.Rows, name) }

func (o options) chosen() []row {
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !o.wants(r.name) })
}
