package supervisor

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/process"
)

var update = flag.Bool("update", false, "write docs/states.md and the golden files anew")

// golden compares with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it should be (go test ./supervisor -update writes it anew); it should be\n%s", path, got)
	}
}

// TestTable: every event has a cell in every phase, and every cell says what it does.
func TestTable(t *testing.T) {
	for p := range phases {
		for r := range rows {
			if c := table[p][r]; c.do == nil || c.says == "" {
				t.Errorf("nobody knows what %v does in %v", r, p)
			}
		}
	}
	for i := range timers {
		if r := (evTimer{timer: i}).row(); !strings.HasPrefix(r.String(), i.String()) && i != backoffTimer {
			t.Errorf("the timer %v is in the row %v", i, r)
		}
	}
}

// TestGhosts: in every phase, what another generation says changes nothing (G-3).
func TestGhosts(t *testing.T) {
	old := process.ID{Generation: 7}
	for ev, said := range map[event]string{
		evStarted{id: old}: "started", evReady{old}: "ready", evRaised{id: old}: "raised",
	} {
		for p := range phases {
			m := newMachine(config{size: 1, strategy: FailFast{}, random: func() float64 { return 0 }})
			m.step(epoch, evStart{})
			m.phase = p
			got, want := render(m.step(epoch, ev)), "ghost 0@7 ("+said+")"
			if p == done {
				want = ""
			}
			if got != want || m.phase != p || m.ghosts != 1 {
				t.Errorf("%v: a ghost that says %s leads to %v and %q", p, said, m.phase, got)
			}
		}
	}
}

// TestStates keeps docs/states.md what the table is.
func TestStates(t *testing.T) {
	golden(t, "../docs/states.md", statesIntroduction+tableDocument()+statesEnd)
}

// tableDocument writes the table with events down and phases across. A cell that does nothing is a dash.
func tableDocument() string {
	var b strings.Builder
	b.WriteString("| event |")
	for p := range phases {
		fmt.Fprintf(&b, " %v |", p)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", int(phases)) + "\n")
	for r := range rows {
		fmt.Fprintf(&b, "| **%v** |", r)
		for p := range phases {
			fmt.Fprintf(&b, " %s |", table[p][r].says)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

const statesIntroduction = `# The machine's states

This file is written from the table in [supervisor/table.go](../supervisor/table.go) by
` + "`go test ./supervisor -run States -update`" + `, and a test holds the two together.

The supervisor's decisions are made by a machine: a value with one method, step(now, event), that returns what is to be
done. It has no goroutine, no clock and no process, so that everything it can do stands in the table below, and can be
tried out without waiting. The root actor around it turns messages into events and effects into messages.

## Phases

` + "```" + `
            start                all ready              all have ended well
   idle ──────────▶ starting ──────────────▶ running ────────────────────────▶ done
                     ▲  ▲  │                    │                               ▲
                     │  │  └───── a failure, ───┘                               │
                     │  │         or a stop                                     │
                     │  │              ▼            the end was decided         │
                     │  └────────── stopping ───────────────────────────────────┤
                     │   restart,      │  ▲                                     │
                     │   at once       ▼  │ a rank outside fails, or a stop     │
                     └────────────── waiting ───────────────────────────────────┘
                        the back-off is over           a stop, and nobody lives
` + "```" + `

| phase | what it is |
|---|---|
| idle | nothing was started yet |
| starting | a generation was started, and some of its ranks are not ready. A start is all or nothing: a failure during one takes the whole newborn generation along |
| running | everybody is ready, or has ended |
| deciding | a rank failed, and the strategy takes its time. The group goes on; what fails meanwhile waits for the answer. One that does not come in time is the end |
| stopping | a restart or the end was decided, and the ranks that it means (its *scope*) are being ended. What fails meanwhile joins that failure; a rank outside the scope that fails comes into it |
| waiting | the scope is gone, and the restart waits for its back-off. Ranks outside the scope live on |
| done | the group has ended, and nothing of it lives |

## The ladder

While the scope is being ended, every life climbs a ladder by itself, and has all of its time on each rung, whatever
becomes of the others: a rank that raised may end by itself for a second; then, and all others at once, it is *asked*
(SIGTERM, and a Stop message); when its grace is over it is *killed*; and when not even that ends it within ten seconds,
it is *abandoned*: beside a process that lives on nothing is started any more, so that a restart becomes the end. A
directive's linger puts all of this off, a stop or a deadline ends the linger, and a kill goes up the ladder in one go.

## The table

What happens depends on the phase and the event, and on nothing else. A dash is a decision like the others. *Raised* is
an exception or a broken link; a *good exit* is code 0, unless the rank is permanent, or any exit of a rank that we had
asked to end; "Decide" asks the strategy, but for temporary ranks and after success, when failures are ignored. Ranks that
are *dropped* are ended for good beside everything else. Every good end that no restart takes back is looked at: enough of
them, or that of significant ranks, end the group with success.

*Add*, *remove* and *resize* come from outside, and what is refused changes nothing. Added ranks are a generation of their
own. A rank that is removed ends as one that is dropped does, but for no failure (both *leave*); one that was to be restarted is not, and
a restart of nobody is called off: its generation goes on, and may be decided about again. A resize is a restart of all
that nobody decided: what fails meanwhile joins it. *Terms* come from outside, too, and are refused when they make no sense
in the group as it is, without those that were removed, or as a resize is about to make it.

`

const statesEnd = `
Before the table is looked up, ghosts are dropped: what another generation than a rank's newest says, or a life that has
ended, or a timer that was set again or is no longer wanted.

## Invariants

| | | kept by | tried by |
|---|---|---|---|
| **G-1 barrier** | No rank of a restart's scope starts while an old process of that scope, or its process tree, lives. | settle: the only way from stopping to a spawn; onKillWait: no restart beside an abandoned process. That an exit means the whole tree is actors/process's | restart.txt, hang.txt, simulation |
| **G-2 one voice** | At most one restart or terminate is decided per generation; later failures join the first. | the table: only starting and running decide; join | together.txt, scope.txt, resize.txt, simulation |
| **G-3 no ghosts** | An event of another generation changes nothing; it is counted. | ghost, before the table is looked up | ghosts.txt, TestGhosts, simulation |
| **G-4 last out** | Done once, after the last exit; Wait returns after it, and after the last actor. | finish, called only when nobody lives; the root actor's Stopped | simulation, TestObserverPanics |
| **G-5 word before death** | A rank's messages are delivered before its exit, with a bound. | actors/process; a mailbox keeps the order | there |
| **G-6 an answer is no failure** | A rank that ends because we stopped it is stopped, never a cause. | classify: an exit is an answer when we had asked and our signal met a living process | stopped.txt, simulation |
| **G-7 first evidence** | An exception is a failure now, even if the process hangs in its exit. | onRaised; the ladder ends the process | hang.txt, simulation |
| **G-8 no proof, no success** | A broken link and an unknown status are outcomes of their own, never exit 0. | process.Exit.Success, classify | proof.txt, simulation |
| **G-9 always answers** | In start, stop and back-off: status at once, stop at once. | the root actor never waits; every phase has a cell for stop | stop.txt, TestAnswers, simulation |

The .txt files are transcripts in supervisor/testdata: what the machine was told, and all that it did. The simulation
runs it through ten thousand random worlds and checks every step; that it can fail is proved on machines with mistakes
in them (TestSimulationCatches).
`
