package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/go-muster/muster/bench/compare/internal/results"
)

// A comparison asks the rows that were chosen.
type comparison struct {
	kit    *kit
	have   map[string]bool // peers
	rounds int             // 0 means each row's own
	sizes  []int           // nil means each row's own
	limit  time.Duration   // of a trial
	idle   time.Duration   // of a look at an idle supervisor
	log    io.Writer       // what is being done
}

// ask measures a row. What goes wrong with a contender is part of what is measured; an error is of the comparison itself.
func (c *comparison) ask(ctx context.Context, r row) ([]results.Row, error) {
	measured := []results.Row{{Name: r.name, Title: r.title, Unit: r.unit, More: r.more, Reference: r.reference}}
	measured = append(measured, r.parts...)
	out := dropped{}
	for _, n := range c.sizesOf(r) {
		for i := range c.roundsOf(r) {
			contenders := out.without(among(r.contenders, c.have, n, c.kit.quick))
			before := probe(runtime.NumCPU())
			began := time.Now()
			trials, err := c.round(ctx, r, contenders, n)
			if err != nil {
				return nil, err
			}
			noise := max(before, probe(runtime.NumCPU()))
			for part := range measured {
				measured[part].Rounds = append(measured[part].Rounds, results.Round{N: n, Probe: noise, Trials: trials[part]})
			}
			out.note(trials[0])
			fmt.Fprintf(c.log, "%s, n = %d: round %d of %d took %.1fs\n", r.name, n, i+1, c.roundsOf(r), time.Since(began).Seconds())
		}
	}
	return measured, nil
}

func (c *comparison) sizesOf(r row) []int {
	sizes := r.sizes
	if c.kit.quick {
		sizes = r.quick
	}
	if c.sizes == nil {
		return sizes
	}
	return slices.DeleteFunc(slices.Clone(sizes), func(n int) bool { return !slices.Contains(c.sizes, n) })
}

func (c *comparison) roundsOf(r row) int {
	switch {
	case c.rounds > 0:
		return c.rounds
	case c.kit.quick:
		return 2
	}
	return r.rounds
}

// dropped counts failed trials: who has failed twice is not asked again, at this size and at larger ones.
type dropped map[string]int

func (d dropped) note(trials []results.Trial) {
	for _, t := range trials {
		if t.Error != "" {
			d[t.Contender]++
		}
	}
}

func (d dropped) without(all []contender) []contender {
	return slices.DeleteFunc(all, func(c contender) bool { return d[c.name] >= 2 })
}

// round lets each contender run once, and returns the trials of the row and of each further part.
func (c *comparison) round(ctx context.Context, r row, contenders []contender, n int) ([][]results.Trial, error) {
	if r.together != nil {
		return c.atOnce(ctx, r, contenders, n)
	}
	trials := make([]results.Trial, 0, len(contenders))
	for _, who := range contenders {
		value, err := c.one(ctx, r, who, n)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		trials = append(trials, c.trial(who, value, err))
	}
	return [][]results.Trial{trials}, nil
}

func (c *comparison) trial(who contender, value float64, err error) results.Trial {
	if err == nil {
		return results.Trial{Contender: who.name, Value: value}
	}
	fmt.Fprintf(c.log, "%s: %v\n", who.name, err)
	return results.Trial{Contender: who.name, Error: err.Error()}
}

func (c *comparison) one(ctx context.Context, r row, who contender, n int) (value float64, err error) {
	ctx, cancel := c.limited(ctx, who)
	defer cancel()
	t, err := newTrial(c.kit, n)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	return r.measure(ctx, t, who, r.work(c.kit))
}

func (c *comparison) limited(ctx context.Context, who contender) (context.Context, context.CancelFunc) {
	limit := c.limit
	if who.patience > 0 {
		limit = min(limit, who.patience)
	}
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("no end within %v", limit))
}

// atOnce lets all contenders run at the same time. Nothing that one of them has started is swept up before all have ended.
func (c *comparison) atOnce(ctx context.Context, r row, contenders []contender, n int) ([][]results.Trial, error) {
	running := make([]*trial, len(contenders))
	failed := make([]error, len(contenders))
	for i, who := range contenders {
		running[i], failed[i] = c.settled(ctx, r, who, n)
	}
	settled := slices.DeleteFunc(slices.Clone(running), func(t *trial) bool { return t == nil })
	values, err := r.together(ctx, settled, c.idle)
	for _, t := range settled {
		t.quit()
	}
	err = errors.Join(err, sweep())
	for _, t := range settled {
		err = errors.Join(err, t.close())
	}
	if err != nil {
		return nil, err
	}
	return c.tell(contenders, failed, values, 1+len(r.parts)), nil
}

// tell makes trials of what has failed and of the values of the others, part by part.
func (c *comparison) tell(contenders []contender, failed []error, values [][]float64, parts int) [][]results.Trial {
	trials := make([][]results.Trial, parts)
	for i, who := range contenders {
		for part := range trials {
			value := 0.0
			if failed[i] == nil {
				value = values[0][part]
			}
			trials[part] = append(trials[part], c.trial(who, value, failed[i]))
		}
		if failed[i] == nil {
			values = values[1:]
		}
	}
	return trials
}

// settled starts a contender whose ranks stay. One that fails is ended, and returned as none.
func (c *comparison) settled(ctx context.Context, r row, who contender, n int) (*trial, error) {
	ctx, cancel := c.limited(ctx, who)
	defer cancel()
	t, err := newTrial(c.kit, n)
	if err != nil {
		return nil, err
	}
	if err = t.start(who, r.work(c.kit), nil); err == nil {
		_, err = t.marks.await(ctx, t, "ready", n)
	}
	if err != nil {
		t.quit()
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// run prepares everything, asks the rows and removes what it has made.
func run(ctx context.Context, o options, log io.Writer) (all results.Results, err error) {
	if err := adopt(); err != nil {
		return all, err
	}
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return all, err
	}
	defer func() { err = errors.Join(err, sweep(), os.RemoveAll(dir)) }()
	peers, have, err := look(ctx, o.Install)
	if err != nil {
		return all, err
	}
	k, err := build(ctx, dir, o.Quick)
	if err != nil {
		return all, err
	}
	if all.Machine, err = describe(ctx, k); err != nil {
		return all, err
	}
	all.Peers = peers
	c := &comparison{kit: k, have: have, rounds: o.Rounds, sizes: o.Sizes, limit: o.Limit, idle: o.Idle, log: log}
	for _, r := range o.chosen() {
		measured, err := c.ask(ctx, r)
		if err != nil {
			return all, fmt.Errorf("%s: %w", r.name, err)
		}
		all.Rows = append(all.Rows, measured...)
		for _, row := range measured { // what comes after it may go wrong
			fmt.Fprintln(log, row.Markdown())
		}
	}
	if o.wants("hosts") { // the simulation of many machines
		simulated, err := hosts(ctx, k, log)
		if err != nil {
			return all, err
		}
		all.Rows = append(all.Rows, simulated...)
	}
	return all, nil
}
