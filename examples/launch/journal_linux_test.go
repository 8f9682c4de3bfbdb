package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// T4: a launcher that is killed by SIGKILL, at any moment, leaves no rank, and a journal that can be read. Nothing was done
// that is not in it.
func TestJournalOfAKilledLauncher(t *testing.T) {
	const moments = 50
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	events, torn := 0, 0
	for i := range moments {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			processtest.Check(t)
			path := tmp(t, "journal")
			c := prepare(t, nil, "-n", "3", "--max-restarts", "-1", "--journal", path, "--", "sh", "-c",
				`echo "$RANK@$MUSTER_GENERATION."; [ $RANK = 1 ] && exit 3; sleep 1000`)
			c.begin()
			wait := time.NewTimer(time.Duration(random.Int64N(int64(250 * time.Millisecond))))
			<-wait.C // the moment is random, and any will do
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
			if _, err := os.Stat(path); os.IsNotExist(err) {
				return // it had not come so far
			}
			j := readJournal(t, path)
			events += len(j.Events)
			if j.Torn {
				torn++
			}
			consistent(t, j, c.stdout.String())
		})
	}
	if t.Logf("seed %d: %d events, %d torn", seed, events, torn); events == 0 {
		t.Error("no journal had anything in it")
	}
}

// consistent holds a journal against what the ranks printed: who printed was spawned; and against G-1 and G-2.
func consistent(t *testing.T, j supervisor.Journal, printed string) {
	t.Helper()
	alive, decided := map[process.ID]bool{}, map[int]int{}
	born := map[string]bool{}
	for _, e := range j.Events {
		id := process.ID{Rank: e.Rank, Generation: e.Generation}
		switch e.Kind {
		case supervisor.EventSpawn:
			for old := range alive {
				if old.Generation != id.Generation {
					t.Errorf("G-1: %v is spawned beside %v", id, old)
				}
			}
			alive[id], born[id.String()] = true, true
		case supervisor.EventExited:
			delete(alive, id)
		case supervisor.EventDecided:
			if decided[e.Generation]++; decided[e.Generation] > 1 {
				t.Errorf("G-2: generation %d was decided upon twice", e.Generation)
			}
		}
	}
	for line := range strings.Lines(printed) {
		_, id, _ := strings.Cut(strings.TrimSuffix(line, ".\n"), " ")
		if strings.HasSuffix(line, ".\n") && !born[id] {
			t.Errorf("%s is there, and was not spawned", id)
		}
	}
}

// What launch replay prints: each decision of then and now.
func TestReplayJournal(t *testing.T) {
	path := tmp(t, "journal")
	c := start(t, "-n", "2", "--max-restarts", "2", "--journal", path, "--", "sh", "-c",
		`[ $MUSTER_GENERATION = 2 ] && exit 0; [ $RANK = 1 ] || exec sleep 1000; sleep 0.1; exit 3`)
	c.wants(0)
	for args, want := range map[string][]string{
		"--max-restarts 2": {
			"world size 2, recorded for ", "strategy\n    then  all-for-one, 2 restarts\n    now   all-for-one, 2 restarts\n",
			"rank 1@0: exit status 3: restart (restart 1 of 2)\n    now   the same\n",
			"rank 1@1: exit status 3: restart (restart 2 of 2)\n    now   the same\n",
			"end\n    then  after ", ": success\n    now   after ",
		},
		"--max-restarts 1": {
			"restart (restart 1 of 2)\n    now   ", "rank 1@0: exit status 3: restart (restart 1 of 1)\n",
			"rank 1@1: exit status 3: terminate (1 of 1 restarts used)\n", ": gave up after a restart: rank 1@1: exit status 3\n",
		},
		"--strategy fail-fast":   {"rank 1@0: exit status 3: terminate (fail-fast)\n", "decision 2\n", "    now   –\n"},
		"--rules rules.yaml":     {"(rule 1, it asked for another try: a restart that does not count)\n"},
		"--strategy one-for-one": {": terminate (no restarts are allowed)\n"},
	} {
		code, stdout, stderr := here(t, append([]string{"replay", path}, strings.Fields(args)...)...)
		for _, text := range want {
			if !strings.Contains(stdout, text) {
				t.Errorf("%s: no %q in\n%s", args, text, stdout)
			}
		}
		if code != 0 || stderr != "" {
			t.Errorf("%s: exit status %d, %s", args, code, stderr)
		}
		if _, again, _ := here(t, append([]string{"replay", path}, strings.Fields(args)...)...); again != stdout {
			t.Errorf("%s: and then\n%s\nafter\n%s", args, again, stdout)
		}
	}
	if err := os.WriteFile(path, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"replay":                              "replay: give one journal",
		"replay " + path:                      "give a file that --journal wrote: no journal: line 1: ",
		"replay " + path + "/x":               "cannot be read: not a directory",
		"replay --max-restarts -2 " + path:    "--max-restarts -2: give 0 or more",
		"replay --timeout 1s " + path:         "there is no flag --timeout: flags of the command go after it (see launch replay --help)",
		"replay --strategy sometimes " + path: `--strategy "sometimes": choose one of`,
	} {
		if code, stdout, stderr := here(t, strings.Fields(args)...); code != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit status %d, %s%s", args, code, stdout, stderr)
		}
	}
	if _, stdout, _ := here(t, "replay", "--help"); !strings.Contains(stdout, "--rules FILE") || strings.Contains(stdout, "--grace") {
		t.Error(stdout)
	}
}

// A journal that cannot be written any more says so, and the run goes on.
func TestJournalOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	c := start(t, "--journal", "/dev/full", "--", "sh", "-c", "echo done")
	c.wants(0)
	const says = "launch: the journal ends before event 1: write /dev/full: no space left on device"
	if !strings.Contains(c.stderr.String(), says) {
		t.Errorf("no %q", says)
	}
}

// A signal that is passed on, and the second Ctrl-C, are in the journal, and launch replay prints them (T29).
func TestReplayOfSignals(t *testing.T) {
	path := tmp(t, "journal")
	c := start(t, "-n", "2", "--grace", "1h", "--journal", path, "--", "sh", "-c",
		`trap "" TERM; trap "echo heard" USR1; echo ready $$; while :; do sleep 1000 & wait $!; done`)
	c.stdout.await(t, 2, ready)
	c.signal(unix.SIGUSR1)
	c.stdout.await(t, 2, `heard\n`)
	c.signal(unix.SIGINT)
	c.stderr.await(t, 1, `stopping the ranks`)
	c.signal(unix.SIGINT)
	c.wants(130)
	sent := readJournal(t, path).Outside()
	if len(sent) != 3 || sent[0].Signal != unix.SIGUSR1 || sent[1].Kill || !sent[2].Kill {
		t.Errorf("from outside came %+v", sent)
	}
	_, stdout, _ := here(t, "replay", path)
	for _, line := range []string{": SIGUSR1 to all ranks", ": stop: stopped: interrupt", ": kill: stopped: interrupt"} {
		if !strings.Contains(stdout, line+"\n") {
			t.Errorf("no %q in\n%s", line, stdout)
		}
	}
}
