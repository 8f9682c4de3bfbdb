package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// measureLaunch: n processes that do nothing. Each has said "done", under a pid of its own.
func measureLaunch(ctx context.Context, t *trial, c contender, work []string) (float64, error) {
	if err := t.start(c, work, nil); err != nil {
		return 0, err
	}
	if err := t.wait(ctx); err != nil {
		return 0, err
	}
	t.marks.drain()
	if ran := len(pids(t.marks.all("done"))); ran != t.n || t.marks.count("done") != t.n {
		return 0, t.explain(fmt.Errorf("%d of %d processes ran", ran, t.n))
	}
	return t.took(c)
}

// took is what a contender that is inside has measured, or else the time of the command.
func (t *trial) took(c contender) (float64, error) {
	if !c.inside {
		return seconds(t.ended - t.began), nil
	}
	took := t.marks.all("took")
	if len(took) != 1 {
		return 0, errors.New("it did not say what it took")
	}
	return seconds(took[0].number), nil
}

// measureReady: until the last of n ranks has said "ready".
func measureReady(ctx context.Context, t *trial, c contender, work []string) (float64, error) {
	if err := t.start(c, work, nil); err != nil {
		return 0, err
	}
	if err := t.wait(ctx); err != nil {
		return 0, err
	}
	t.marks.drain()
	ready := t.marks.all("ready")
	if ran := len(pids(ready)); ran != t.n {
		return 0, t.explain(fmt.Errorf("%d of %d ranks ran", ran, t.n))
	}
	began := t.began
	if start := t.marks.all("start"); len(start) == 1 { // when it called, in a program that ran already
		began = start[0].number
	}
	return seconds(last(ready) - began), nil
}

func last(marks []mark) int64 {
	var latest int64
	for _, m := range marks {
		latest = max(latest, m.number)
	}
	return latest
}

// gather starts a contender, waits until all ranks are behind the gate and returns their pids.
func (t *trial) gather(ctx context.Context, c contender, work []string) ([]int, error) {
	if err := t.start(c, work, nil); err != nil {
		return nil, err
	}
	ready, err := t.marks.await(ctx, t, "ready", t.n)
	if err != nil {
		return nil, err
	}
	ranks := pids(ready)
	if len(ranks) != t.n {
		return nil, fmt.Errorf("%d ranks said that they are ready %d times", len(ranks), t.n)
	}
	return ranks, nil
}

// open lets one rank through the gate, and returns when it raised.
func (t *trial) open(ctx context.Context) (int64, error) {
	if _, err := t.gate.Write([]byte{1}); err != nil {
		return 0, err
	}
	raise, err := t.marks.await(ctx, t, "raise", 1)
	if err != nil {
		return 0, err
	}
	return raise[0].number, nil
}

// measureFailure: from the moment at which one of n ranks raises, until its caller has that, and all ranks are dead. That the
// caller has the exception is proved by its word, which a call has found in what it caught, and a command has printed.
func measureFailure(ctx context.Context, t *trial, c contender, work []string) (float64, error) {
	ranks, err := t.gather(ctx, c, work)
	if err != nil {
		return 0, err
	}
	dead, err := watchDeaths(ranks)
	if err != nil {
		return 0, err
	}
	defer dead.close()
	raised, err := t.open(ctx)
	if err != nil {
		return 0, err
	}
	gone, err := dead.wait(ctx)
	if err != nil {
		return 0, t.explain(err)
	}
	if err := t.wait(ctx); ctx.Err() != nil {
		return 0, err
	}
	if err := t.failed(); err != nil {
		return 0, err
	}
	known, err := t.known(c)
	if err != nil {
		return 0, err
	}
	return seconds(max(known, gone) - raised), nil
}

// known returns when the caller knew.
func (t *trial) known(c contender) (int64, error) {
	t.marks.drain()
	if !c.inside {
		if !c.status && !t.said(t.word) {
			return 0, t.explain(errors.New("what was raised is not in what it printed"))
		}
		return t.ended, nil
	}
	held := t.marks.all("held")
	switch {
	case len(held) != 1:
		return 0, t.explain(errors.New("the caller has no exception"))
	case held[0].number == 0: // it has no clock to share, and says so at its end
		return t.ended, nil
	}
	return held[0].number, nil
}

// deaths are pidfds of ranks.
type deaths []unix.PollFd

func watchDeaths(ranks []int) (deaths, error) {
	var d deaths
	for _, pid := range ranks {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			d.close()
			return nil, fmt.Errorf("pidfd_open of rank %d: %w", pid, err)
		}
		d = append(d, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return d, nil
}

func (d deaths) close() {
	for _, p := range d {
		unix.Close(int(p.Fd))
	}
}

// wait waits until all are dead, reaped or not, and returns when it saw that.
func (d deaths) wait(ctx context.Context) (int64, error) {
	alive := slices.Clone(d)
	for len(alive) > 0 {
		if ctx.Err() != nil {
			return 0, fmt.Errorf("%d of %d ranks live: %w", len(alive), len(d), context.Cause(ctx))
		}
		if _, err := unix.Poll(alive, 100); err != nil && err != unix.EINTR {
			return 0, err
		}
		alive = slices.DeleteFunc(alive, func(p unix.PollFd) bool { return p.Revents != 0 })
	}
	return clock(), nil
}

// measureRestart: from the moment at which one of n ranks fails, until n others have said that they are ready.
func measureRestart(ctx context.Context, t *trial, c contender, work []string) (float64, error) {
	old, err := t.gather(ctx, c, work)
	if err != nil {
		return 0, err
	}
	raised, err := t.open(ctx)
	if err != nil {
		return 0, err
	}
	ready, err := t.marks.await(ctx, t, "ready", 2*t.n)
	if err != nil {
		return 0, err
	}
	if ranks := pids(ready); len(ranks) != 2*len(old) {
		return 0, fmt.Errorf("%d ranks were started again, not %d", len(ranks)-len(old), len(old))
	}
	return seconds(last(ready) - raised), nil
}

// measureRoundtrip and measureOneway: the contender has counted its messages.
func measureRoundtrip(ctx context.Context, t *trial, c contender, work []string) (float64, error) {
	took, count, err := t.messages(ctx, c, work)
	return took / count, err
}

func measureOneway(ctx context.Context, t *trial, c contender, work []string) (float64, error) {
	took, count, err := t.messages(ctx, c, work)
	return count / took, err
}

func (t *trial) messages(ctx context.Context, c contender, work []string) (took, count float64, err error) {
	if count, err = strconv.ParseFloat(work[1], 64); err != nil {
		return 0, 1, err
	}
	if err := t.start(c, work, nil); err != nil {
		return 0, 1, err
	}
	if err := t.wait(ctx); err != nil {
		return 0, 1, err
	}
	t.marks.drain()
	took, err = t.took(c)
	return took, count, err
}

// probe is a fixed piece of work on all processors: what it takes says how busy the machine is with other things.
func probe(cores int) float64 {
	done := make(chan uint64, cores)
	start := time.Now()
	for i := range cores {
		go func() { // ends with the work
			x := uint64(i) + 1
			for range 4_000_000 {
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
			}
			done <- x
		}()
	}
	var sum uint64
	for range cores {
		sum += <-done
	}
	took := time.Since(start).Seconds()
	if sum == 0 { // so that nobody leaves the work out
		return 0
	}
	return took
}
