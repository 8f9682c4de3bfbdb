package supervisor

import "time"

// A GenerationReport says when a generation went through its phases; a zero time means not yet, or never. Times are those
// at which the supervisor knew.
type GenerationReport struct {
	Generation int
	Reason     string    // of the restart, "" for the first
	Size       int       // the world size: ranks that were removed or dropped count
	Started    time.Time // the launch of its ranks was ordered
	Spawned    time.Time // the last of their processes existed
	Ready      time.Time // the last rank was ready
	Seen       time.Time // the failure was seen that ended the generation: an exception was read, or a process had ended
	Failed     time.Time // the supervisor took notice of it, and of all that came before
	Decided    time.Time // the strategy had answered
	Asked      time.Time // the first rank was asked to stop
	Stopped    time.Time // the last of those that were to be stopped had ended, or was killed
	Reaped     time.Time // nothing was left of them
}

// Phases are the parts of a generation's time. A part that it has not come to, or left out, is 0.
type Phases struct {
	Spawn   time.Duration // until all processes exist
	Ready   time.Duration // until all ranks are ready
	Run     time.Duration // until a rank fails, or the group is stopped
	Detect  time.Duration // until the supervisor takes notice; of an exit that is when nothing is left of the process
	Decide  time.Duration // until the strategy has answered
	Linger  time.Duration // until the others are asked to stop
	Stop    time.Duration // until the last of them has ended, or is killed
	Reap    time.Duration // until nothing is left of them
	Backoff time.Duration // until the next generation starts
}

// phaseNames are those of the JSON form, in order.
var phaseNames = [...]string{
	"spawn_s", "ready_s", "run_s", "detect_s", "decide_s", "linger_s", "stop_s",
	"reap_s", "backoff_s",
}

// Phases returns the parts of a generation's time, which add up to it; until is when the next one started, or when the
// group ended, or now.
func (g GenerationReport) Phases(until time.Time) Phases {
	p := g.parts(until)
	return Phases{p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8]}
}

// parts cuts the time at the points that are known. One that is not, is where the next known one is: a generation that
// failed in its start was never ready, and did not run.
func (g GenerationReport) parts(until time.Time) (parts [len(phaseNames)]time.Duration) {
	points := [...]time.Time{g.Started, g.Spawned, g.Ready, g.Seen, g.Failed, g.Decided, g.Asked, g.Stopped, g.Reaped, until}
	for i := len(points) - 2; i > 0; i-- {
		if points[i].IsZero() || points[i].After(points[i+1]) {
			points[i] = points[i+1]
		}
	}
	for i := range parts {
		parts[i] = points[i+1].Sub(points[i])
	}
	return parts
}

// between keeps what a process's own goroutine has noted between two times of the supervisor's, of which its message has
// come at the later. Zero means that nobody noted anything.
func between(since, noted, until time.Time) time.Time {
	switch {
	case noted.IsZero() || noted.After(until):
		return until
	case noted.Before(since):
		return since
	}
	return noted
}

type generationDocument struct {
	Generation int                `json:"generation"`
	Reason     string             `json:"reason"`
	Size       int                `json:"size"`
	Started    float64            `json:"started_s"`
	Spawned    *float64           `json:"spawned_s"`
	Ready      *float64           `json:"ready_s"`
	Seen       *float64           `json:"seen_s"`
	Failed     *float64           `json:"failed_s"`
	Decided    *float64           `json:"decided_s"`
	Asked      *float64           `json:"asked_s"`
	Stopped    *float64           `json:"stopped_s"`
	Reaped     *float64           `json:"reaped_s"`
	Phases     map[string]float64 `json:"phases"` // they add up to the time until the next generation, or the report
}

func (g GenerationReport) document(start, until time.Time) generationDocument {
	d := generationDocument{
		Generation: g.Generation, Reason: g.Reason, Size: g.Size, Started: g.Started.Sub(start).Seconds(),
		Spawned: since(start, g.Spawned), Ready: since(start, g.Ready), Seen: since(start, g.Seen),
		Failed: since(start, g.Failed), Decided: since(start, g.Decided), Asked: since(start, g.Asked),
		Stopped: since(start, g.Stopped), Reaped: since(start, g.Reaped), Phases: map[string]float64{},
	}
	for i, part := range g.parts(until) {
		d.Phases[phaseNames[i]] = part.Seconds()
	}
	return d
}

// end returns when a generation of a report made way for the next, or the report's own time.
func (r *Report) end(i int) time.Time {
	if i+1 < len(r.Generations) {
		return r.Generations[i+1].Started
	}
	return r.Start.Add(time.Duration(r.Seconds * float64(time.Second)))
}

func (d *generationDocument) generation(start time.Time) GenerationReport {
	return GenerationReport{
		Generation: d.Generation, Reason: d.Reason, Size: d.Size, Started: start.Add(seconds(d.Started)),
		Spawned: instant(start, d.Spawned), Ready: instant(start, d.Ready), Seen: instant(start, d.Seen),
		Failed: instant(start, d.Failed), Decided: instant(start, d.Decided), Asked: instant(start, d.Asked),
		Stopped: instant(start, d.Stopped), Reaped: instant(start, d.Reaped),
	}
}
