// Package supervisortest tries strategies out, without processes: on conversations that are written down, and in worlds
// that are made up.
//
//	func TestStrategy(t *testing.T) {
//		supervisortest.Simulation{Restarts: 5}.Simulate(t, mine)
//		supervisortest.Transcripts(t, "testdata", mine)
//	}
//
// A transcript is a text of commands and of what a group answers to each:
//
//	start ranks=2
//	----
//	spawn 0@0 1@0
//	→ spawn 0@0 1@0
//	→ timer start 1m0s
//	= starting
//
// A line behind an arrow is something that is done, the other lines are events, "=" is a new phase of the group. What is
// below the line is written by go test -rewrite; what is above it is yours:
//
//	start ranks=2 grace=5s ordered timeout=1m types=(permanent,temporary) need=1 count=(0,1) await=yes
//	      significant=(0) shutdown=any|all strategy=all-for-one restarts=3 within=1h …
//	started all                            the processes exist; a rank is 1, or 1@0 for an older life of it
//	ready 0 1
//	returned 0 value=x
//	raised 1 type=ValueError message=boom bases=(Exception)
//	broken 1                               its link is lost
//	exited 1 code=3                        or signal=TERM|KILL|ABRT|SEGV, lost, unlaunched, abandoned; stopped
//	advance 10s                            the time; timers go off
//	signal USR1                            somebody sends it to all ranks
//	terms need=1 types=(temporary)         those of start, all of them anew
//	add 2, remove 1, resize 3 text=(why)   somebody changes the ranks; start has min-ranks=1 max-ranks=8
//	change strategy=one-for-one restarts=1 the strategy is replaced
//	next restart scope=(0,1) after=1s      what strategy=told says to the next question; linger=1s, free, text=(why); or panic
//	answer ignore                          likewise, what strategy=slow says at last to the one that it was asked
//	stop, kill, notice text=…, report, results
//
// Times are short and round where nothing is said: the grace is 5s, a rank that raised has 1s to end, SIGKILL 10s, the start
// 60s. State.Random is 0.5. at=10s with any command sets the clock without a timer going off;
// seen=9s with raised, broken and exited is when that was noticed by whoever watches the process.
//
// The worlds of a [Simulation] come from a seed each. A world that breaks a rule is printed as a transcript, and kept by
// -rewrite. Both are for strategies that are pure: one of supervisor.FromProtoactor has a state of its own.
package supervisortest
