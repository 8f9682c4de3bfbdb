package main

import (
	"context"
	"time"

	"github.com/go-muster/muster/bench/compare/internal/results"
)

// A row is a question, as data: who is asked, with how many ranks that do what, what is measured, and what proves that all
// did the same work: a measure returns an error when it was not done.
type row struct {
	name, title string
	unit        string // of results.Row
	more        bool   // is better
	reference   string
	contenders  []contender
	sizes       []int
	quick       []int // the sizes of --quick
	rounds      int
	work        func(*kit) []string // what each rank runs
	measure     measure             // of one contender after the other …
	together    watch               // … or of all at the same time
	parts       []results.Row       // the further rows that together measures, without rounds
}

// A measure runs a contender once.
type measure func(ctx context.Context, t *trial, c contender, work []string) (float64, error)

func rank(mode ...string) func(*kit) []string {
	return func(k *kit) []string { return words(k.rank, mode) }
}

func script(mode ...string) func(*kit) []string {
	return func(k *kit) []string { return words(python3, k.program("rank.py"), mode) }
}

// messageCount is how many messages a trial has: enough for its start to be nothing.
func messageCount(kind, count, few string) func(*kit) []string {
	return func(k *kit) []string {
		if k.quick {
			count = few
		}
		return []string{kind, count}
	}
}

func lines(k *kit) []string {
	bytes := "8000000"
	if k.quick {
		bytes = "500000"
	}
	return words(k.rank, "lines", bytes)
}

var readyContenders = []contender{
	{name: "launch", argv: launchWith()},
	{name: "library, in Go", argv: subject("run", "0"), inside: true},
	{name: "mp.spawn, fork", needs: []string{"torch"}, slow: true, inside: true, argv: mpSpawn("fork")},
	{name: "mp.spawn, forkserver", needs: []string{"torch"}, slow: true, inside: true, argv: mpSpawn("forkserver"), most: 8},
	{
		name: "mp.spawn, forkserver, parallel", needs: []string{"torch", "torch's parallel start"}, slow: true, inside: true,
		argv: mpSpawn("forkserver"), env: []string{"TORCH_MP_PARALLEL_START=1"}, most: 8,
	},
	{name: "mp.spawn, spawn", needs: []string{"torch"}, slow: true, inside: true, argv: mpSpawn("spawn"), most: 8},
	{name: "torchrun", needs: []string{"torch"}, slow: true, argv: torchrun()},
}

// rows are all questions, in the order in which they are asked.
var rows = []row{
	{
		name: "launch", title: "Launch: n processes that do nothing, to the end of the last", unit: "s", reference: "launch",
		sizes: []int{1, 8, 64, 256, 1000}, quick: []int{1, 8}, rounds: 5, work: rank("done"), measure: measureLaunch,
		contenders: []contender{
			{name: "launch", argv: launchWith("--plain")},
			{name: "library", argv: subject("launch"), inside: true},
			{name: "Hydra", needs: []string{"mpich"}, argv: hydra()},
			{name: "orterun", needs: []string{"openmpi"}, argv: orterun, patience: 10 * time.Second},
			{name: "GNU parallel", needs: []string{"parallel"}, argv: parallel()},
			{name: "Python subprocess", argv: subprocessLoop, inside: true},
			{name: "os/exec", argv: subject("exec"), inside: true},
			{name: "posix_spawn (limit)", argv: posixSpawn, inside: true},
		},
	},
	{
		name: "guarantees", title: "What each guarantee costs: 64 processes that do nothing", unit: "s", reference: "library",
		sizes: []int{64}, quick: []int{8}, rounds: 15, work: rank("done"), measure: measureLaunch,
		contenders: []contender{
			{name: "library", argv: subject("guarantees", "none"), inside: true},
			{name: "without cgroups", argv: subject("guarantees", "cgroup"), inside: true},
			{name: "without watchdog", argv: subject("guarantees", "watchdog"), inside: true},
			{name: "without socket", argv: subject("guarantees", "link"), inside: true},
			{name: "without any of the three", argv: subject("guarantees", "cgroup,watchdog,deathsig,link"), inside: true},
			{name: "without actors", argv: subject("guarantees", "actors"), inside: true},
			{name: "without any of the four", argv: subject("guarantees", "cgroup,watchdog,deathsig,link,actors"), inside: true},
			{name: "os/exec, with pipes", argv: subject("exec-pipes"), inside: true},
			{name: "os/exec", argv: subject("exec"), inside: true},
			{name: "posix_spawn (limit)", argv: posixSpawn, inside: true},
		},
	},
	{
		name: "ready", title: "Ready: n Python ranks, until all run the user's code", unit: "s", reference: "launch",
		sizes: []int{2, 8}, quick: []int{2}, rounds: 4, work: script("ready"), measure: measureReady, contenders: readyContenders,
	},
	{
		name: "ready-torch", title: "Ready: n Python ranks that import torch", unit: "s", reference: "launch",
		sizes: []int{2}, quick: []int{}, rounds: 2, work: script("ready", "torch"), measure: measureReady, contenders: readyContenders,
	},
	{
		name: "failure", title: "Failure → report: one of n Python ranks raises, until its caller knows and all are dead", unit: "s",
		reference: "library", sizes: []int{8, 64}, quick: []int{2}, rounds: 4, work: script("gate"), measure: measureFailure,
		contenders: []contender{
			{name: "launch", argv: launchWith()},
			{name: "library", argv: subject("run", "0"), inside: true},
			{name: "mp.spawn, fork", needs: []string{"torch"}, slow: true, inside: true, argv: mpSpawn("fork")},
			{name: "mp.spawn, spawn", needs: []string{"torch"}, slow: true, inside: true, argv: mpSpawn("spawn"), most: 8},
			{name: "torchrun", needs: []string{"torch"}, slow: true, argv: torchrun(), most: 8},
			{name: "torchrun, interval 0.1 s", needs: []string{"torch"}, slow: true, argv: torchrun("--monitor_interval", "0.1"), most: 8},
			{name: "Hydra (status only)", status: true, needs: []string{"mpich"}, argv: hydra(), patience: 5 * time.Second},
			{name: "orterun (status only)", status: true, needs: []string{"openmpi"}, argv: orterun},
			{
				name: "OTP, ports (status only)", status: true, needs: []string{"erlang"}, slow: true, inside: true, argv: ports(0),
				env: []string{"COMPARE_STDIN=1"},
			},
		},
	},
	{
		name: "failure-go", title: "Failure → report: one of n Go functions returns an error", unit: "s",
		reference: "library", sizes: []int{8, 64}, quick: []int{2}, rounds: 7, work: func(*kit) []string { return nil }, measure: measureFailure,
		contenders: []contender{{name: "library", argv: subject("functions"), inside: true}},
	},
	{
		name: "restart", title: "Restart: one of n programs fails, until all run in the next generation", unit: "s",
		reference: "launch", sizes: []int{8, 64}, quick: []int{2}, rounds: 3, work: rank("gate"), measure: measureRestart,
		contenders: []contender{
			{name: "launch", argv: launchWith("--plain", "--max-restarts", "1")},
			{name: "library", argv: subject("run", "1"), inside: true},
			{name: "torchrun", needs: []string{"torch"}, slow: true, argv: torchrun("--max_restarts", "1")},
			{
				name: "torchrun, interval 0.1 s", needs: []string{"torch"}, slow: true,
				argv: torchrun("--max_restarts", "1", "--monitor_interval", "0.1"),
			},
			{name: "OTP one_for_all, ports", needs: []string{"erlang"}, slow: true, inside: true, argv: ports(1), env: []string{"COMPARE_STDIN=1"}},
		},
	},
	{
		name: "idle-cpu", title: "Idle: processor time of the supervisor over 10 s, n ranks that sleep", unit: "s", reference: "launch",
		sizes: []int{8, 64, 1000}, quick: []int{8}, rounds: 2, work: rank("idle"), together: watchIdle,
		parts: []results.Row{{
			Name: "idle-memory", Title: "Idle: memory of the supervisor (PSS), n ranks that sleep", Unit: "B", Reference: "launch",
		}},
		contenders: []contender{
			{name: "launch", argv: launchWith("--plain")},
			{name: "torchrun", needs: []string{"torch"}, slow: true, argv: torchrun()},
			{name: "Hydra", needs: []string{"mpich"}, argv: hydra()},
			{name: "supervisord", needs: []string{"supervisor"}, slow: true, argv: supervisord},
		},
	},
	{
		name: "output", title: "Output: lines through the launcher, 8 ranks at full speed", unit: "B/s", more: true, reference: "launch",
		sizes: []int{8}, quick: []int{2}, rounds: 5, work: lines, measure: measureOutput,
		contenders: []contender{
			{name: "launch", argv: launchWith("--plain")},
			{name: "launch --output raw", argv: launchWith("--plain", "--output", "raw")},
			{name: "torchrun --tee", needs: []string{"torch"}, slow: true, argv: torchrun("-t", "1")},
			{name: "Hydra -prepend-rank (tears lines)", needs: []string{"mpich"}, tears: true, argv: hydra("-prepend-rank")},
			{name: "GNU parallel --line-buffer", needs: []string{"parallel"}, slow: true, argv: parallel("--line-buffer")},
			{name: "cat (limit, tears lines)", tears: true, argv: cats},
		},
	},
	{
		name: "roundtrip", title: "Messages: 64 bytes to another process and back", unit: "s", reference: "Muster",
		sizes: []int{1}, quick: []int{1}, rounds: 7, work: messageCount("roundtrip", "5000", "100"), measure: measureRoundtrip,
		contenders: messengers,
	},
	{
		name: "oneway", title: "Messages: 64 bytes, one way, as many as go", unit: "1/s", more: true, reference: "Muster",
		sizes: []int{1}, quick: []int{1}, rounds: 7, work: messageCount("oneway", "50000", "1000"), measure: measureOneway,
		contenders: messengers,
	},
}

var messengers = []contender{
	{name: "Muster", argv: via("muster"), inside: true},
	{name: "bare socketpair (limit)", argv: via("socketpair"), inside: true},
	{name: "Python multiprocessing.Pipe", argv: pythonPipe, inside: true},
	{name: "net/rpc, Unix socket", argv: via("rpc"), inside: true},
}

// aims are what we want to stand at.
var aims = []results.Aim{
	{Text: "launch ≤ Hydra", Row: "launch", Ours: "launch", Than: "Hydra", Sizes: []int{8, 64, 256, 1000}, AtMost: 1},
	{
		Text: "launch in a running program ≤ 1.3× posix_spawn", Row: "launch", Ours: "library", Than: "posix_spawn (limit)",
		Sizes: []int{64, 256, 1000}, AtMost: 1.3,
	},
	{
		Text: "failure → report: mp.spawn(fork) takes ≥ 10× as long", Row: "failure", Ours: "mp.spawn, fork", Than: "library",
		Sizes: []int{8}, AtMost: 10, AtLeast: true,
	},
	{Text: "failure → report: torchrun takes ≥ 50× as long", Row: "failure", Ours: "torchrun", Than: "library", Sizes: []int{8}, AtMost: 50, AtLeast: true},
	{Text: "idle: no processor time (under 1 ms in 10 s)", Row: "idle-cpu", Ours: "launch", Sizes: []int{8, 64, 1000}, AtMost: 0.001},
	{Text: "idle: under 64 KiB for each further rank", Row: "idle-memory", Ours: "launch", PerRank: true, Sizes: []int{1000}, AtMost: 64 << 10},
	{Text: "output ≥ Hydra's", Row: "output", Ours: "launch", Than: "Hydra -prepend-rank (tears lines)", Sizes: []int{8}, AtMost: 1, AtLeast: true},
	{Text: "output ≥ GNU parallel's", Row: "output", Ours: "launch", Than: "GNU parallel --line-buffer", Sizes: []int{8}, AtMost: 1, AtLeast: true},
	{Text: "output ≥ torchrun's", Row: "output", Ours: "launch", Than: "torchrun --tee", Sizes: []int{8}, AtMost: 1, AtLeast: true},
}
