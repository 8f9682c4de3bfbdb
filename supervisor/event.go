package supervisor

import (
	"time"

	"github.com/go-muster/muster/actors/process"
)

// An EventKind says what happened.
type EventKind string

// The kinds of event.
const (
	EventSpawn     EventKind = "spawn"     // a rank's process is about to be started
	EventStarted   EventKind = "started"   // a rank's process exists
	EventReady     EventKind = "ready"     // a rank is ready
	EventRunning   EventKind = "running"   // all ranks of the generation are ready
	EventReturned  EventKind = "returned"  // a rank told its result
	EventFailed    EventKind = "failed"    // a rank failed
	EventDecided   EventKind = "decided"   // the strategy has answered
	EventStop      EventKind = "stop"      // a rank is asked to stop
	EventKill      EventKind = "kill"      // a rank is killed
	EventAbandon   EventKind = "abandon"   // a rank's process does not die and is waited for no longer
	EventExited    EventKind = "exited"    // nothing is left of a rank's process
	EventReaped    EventKind = "reaped"    // nothing is left of any rank that was to be stopped
	EventWaiting   EventKind = "waiting"   // the next generation starts after a wait; or when there is room for it, for which Reason waits at most After
	EventStopping  EventKind = "stopping"  // the group was asked to stop from outside
	EventSignal    EventKind = "signal"    // somebody outside sent a signal to every rank
	EventGhost     EventKind = "ghost"     // something came from an older generation, and was dropped
	EventNotice    EventKind = "notice"    // of the launcher, such as that what protects the processes was lost: Reason tells
	EventHello     EventKind = "hello"     // a rank's worker has come up: Reason names its SDK
	EventProbing   EventKind = "probing"   // a rank is not ready, because of Reason
	EventHung      EventKind = "hung"      // a rank seems to be hung, and is asked for its stacks
	EventStraggler EventKind = "straggler" // a rank lags behind the others
	EventChanged   EventKind = "changed"   // the strategy was replaced, or the terms were
	EventAdded     EventKind = "added"     // there is a rank more, which is about to be started
	EventRemoved   EventKind = "removed"   // a rank is ended for good, because somebody wants that: it belongs to the group no more
	EventRestart   EventKind = "restart"   // a rank is to be restarted, because somebody asked for it
	EventResized   EventKind = "resized"   // the next generation has Size ranks, with new numbers
	EventRoom      EventKind = "room"      // the hosts have room for Size ranks now, on so many Hosts
	EventDone      EventKind = "done"      // the group has ended
)

// An Event is one thing that happened to the group. Fields that do not belong to its kind are zero.
type Event struct {
	Seq        int // from 1, without gaps
	At         time.Time
	Kind       EventKind
	Rank       int // -1 when the event concerns the group
	Generation int
	PID        int
	Host       string         // of started: where, when the launcher has several hosts
	Reason     string         // why: of stop, kill, stopping, decided, ghost, added, removed, resized, waiting for hosts
	Size       int            // of resized: the new world size; of room
	Hosts      int            // of room
	Fit        bool           // of resized: to the room that there is, and not from outside
	Signal     process.Signal // of signal
	Kill       bool           // of stopping: at once, without a grace
	Terms      *Terms         // of changed: the new ones; nil when it is the strategy
	After      time.Duration  // of waiting, and of decided; of room: for how long that has been so
	Action     Action         // of decided
	Failure    *Failure       // of failed and decided: a copy of what was known then
	Exit       *process.Exit  // of exited
	Err        error          // of done: what Wait returns; of stopping: what it would be by that
}
