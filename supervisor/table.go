package supervisor

// A row is a kind of event as the table tells them apart.
type row int

const (
	startRow row = iota
	startedRow
	readyRow
	returnedRow
	raisedRow
	goodExitRow
	badExitRow
	startTimerRow
	lingerTimerRow
	exitTimerRow
	graceTimerRow
	killTimerRow
	backoffTimerRow
	deadlineTimerRow
	answerTimerRow
	lifetimeTimerRow
	livenessTimerRow
	dumpTimerRow
	roomTimerRow
	settleTimerRow
	stopRow
	noticeRow
	answerRow
	changeRow
	helloRow
	beatRow
	progressRow
	probingRow
	dumpedRow
	addRow
	removeRow
	resizeRow
	restartRow
	signalRow
	termsRow
	roomRow
	rows
)

func (r row) String() string {
	return [rows]string{
		"start", "started", "ready", "returned", "raised", "good exit", "bad exit", "start timer", "linger timer",
		"exit timer", "grace timer", "kill timer", "back-off timer", "deadline", "answer timer",
		"lifetime timer", "liveness timer", "dump timer", "room timer", "settle timer", "stop", "notice", "answer", "change", "hello", "heartbeat", "progress",
		"probing", "dumped", "add", "remove", "resize", "restart", "signal", "terms", "room",
	}[r]
}

func (evStart) row() row    { return startRow }
func (evStarted) row() row  { return startedRow }
func (evReady) row() row    { return readyRow }
func (evReturned) row() row { return returnedRow }
func (evRaised) row() row   { return raisedRow }
func (evExited) row() row   { return goodExitRow } // until classify has looked
func (e evTimer) row() row  { return startTimerRow + row(e.timer) }
func (evStop) row() row     { return stopRow }
func (evNotice) row() row   { return noticeRow }
func (evAnswer) row() row   { return answerRow }
func (evChange) row() row   { return changeRow }
func (evHello) row() row    { return helloRow }
func (evBeat) row() row     { return beatRow }
func (evProgress) row() row { return progressRow }
func (evProbing) row() row  { return probingRow }
func (evDumped) row() row   { return dumpedRow }
func (evSignal) row() row   { return signalRow }
func (evTerms) row() row    { return termsRow }

// A cell says what an event does in a phase.
type cell struct {
	says string // for docs/states.md, which is written from this table
	do   func(*machine, event)
}

// The cells. "Nothing" is a decision like the others.
var (
	nothing       = cell{"–", func(*machine, event) {}}
	passOn        = cell{"tell", (*machine).onNotice}
	begin         = cell{"room for all → spawn all → starting; else → waiting", (*machine).onStart}
	noteStarted   = cell{"note the pid", (*machine).onStarted}
	awaitReady    = cell{"note; last one → running", (*machine).onReady}
	noteReady     = cell{"note", (*machine).onReady}
	noteValue     = cell{"keep the result", (*machine).onReturned}
	decideRaised  = cell{"Decide → ignore, drop, end the scope → stopping, or → deciding", (*machine).onRaised}
	decideExit    = cell{"Decide → ignore, drop, end the scope → stopping, or → deciding", (*machine).onBadExit}
	joinRaised    = cell{"joins the failure as collateral", (*machine).onRaisedLate}
	joinExit      = cell{"joins; last of the scope → waiting, starting, running or done", (*machine).onBadExitLate}
	reviveRaised  = cell{"joins, and is ended → stopping", (*machine).onRaisedLate}
	reviveExit    = cell{"joins; the wait begins anew", (*machine).onBadExitLate}
	startWithout  = cell{"mark; last one missing → running; last of all → done", (*machine).onGoodExit}
	markGood      = cell{"mark; last of all → done", (*machine).onGoodExit}
	markStopped   = cell{"mark; last of the scope → waiting, starting, running or done", (*machine).onExitStopping}
	markOutside   = cell{"mark", (*machine).onExitStopping}
	lateStart     = cell{"those that are not ready fail: Decide", (*machine).onStartTimeout}
	askNow        = cell{"ask the scope to stop", (*machine).onLinger}
	askRaised     = cell{"ask those that raised and live on", (*machine).onExitTime}
	killNow       = cell{"kill those whose grace is over", (*machine).onGrace}
	abandonNow    = cell{"abandon those that SIGKILL did not end; unless they leave, next = terminate", (*machine).onKillWait}
	respawn       = cell{"room for it → generation + 1, spawn the scope → starting; else wait for hosts", (*machine).onBackoff}
	timeUp        = cell{"end all → stopping, terminate", (*machine).onDeadline}
	timeUpAnyway  = cell{"next = terminate, for all", (*machine).onDeadline}
	timeUpWaiting = cell{"end who lives → stopping, or done", (*machine).onDeadline}
	stopAll       = cell{"end all → stopping, terminate", (*machine).onStop}
	stopAnyway    = cell{"next = terminate, for all", (*machine).onStop}
	stopWaiting   = cell{"end who lives → stopping, or done", (*machine).onStop}
	holdRaised    = cell{"waits for the answer", (*machine).onRaised}
	holdExit      = cell{"waits for the answer", (*machine).onBadExit}
	markDeciding  = cell{"mark", (*machine).onGoodExit}
	carryOut      = cell{"ignore, drop, or end the scope → stopping; then what waited", (*machine).onAnswer}
	lateAnswer    = cell{"nothing; but a second one ends all", (*machine).onAnswer}
	noAnswer      = cell{"end all → stopping, terminate", (*machine).onSilence}
	noteHello     = cell{"note: it speaks", (*machine).onHello}
	noteBeat      = cell{"note: it lives", (*machine).onBeat}
	noteProgress  = cell{"note; tell stragglers", (*machine).onProgress}
	noteProbe     = cell{"note why it is not ready", (*machine).onProbing}
	noteStacks    = cell{"note; the last one asked for → as the dump timer", (*machine).onDumped}
	findHung      = cell{"ask those that seem hung, and one that is well, for their stacks", (*machine).onLiveness}
	hangs         = cell{"those that are still silent fail: Decide", (*machine).onDumpTime}
	lookAgain     = cell{"later", (*machine).lookAgain}
	tooLong       = cell{"those that live fail: Decide", (*machine).onLifetime}
	newStrategy   = cell{"the next failure is the new strategy's", (*machine).onChange}
	passSignal    = cell{"tell, and pass it on", (*machine).onSignal}
	newTerms      = cell{"ends are counted anew; enough of them → as the last good exit", (*machine).onTerms}
	termsWaiting  = cell{"ends are counted anew; enough of them → as the last good exit; nobody left to restart → running", (*machine).onTerms}
	stopIdle      = cell{"→ done", (*machine).onStop}
	refuse        = cell{"refuse", (*machine).onBusy}
	takeIn        = cell{"generation + 1, spawn them → starting", (*machine).onAdd}
	letGo         = cell{"end it; enough without it → stopping, terminate", (*machine).onRemove}
	letGoWaiting  = cell{"end it; nobody left to restart → running", (*machine).onRemove}
	resizeNow     = cell{"end all → stopping, restart with the new ranks", (*machine).onResize}
	restartNow    = cell{"end them → stopping, restart them", (*machine).onRestart}
	learnRoom     = cell{"note", (*machine).noteRoom}
	watchRoom     = cell{"note; more than it needs, and it may grow → the settle timer", (*machine).onRoom}
	tryRoom       = cell{"note; enough → as the back-off timer, or the settle timer if it hopes for more", (*machine).onRoomWaiting}
	settled       = cell{"as the back-off timer, if hosts are waited for", (*machine).onSettleWaiting}
	regrow        = cell{"room for more → end all → stopping, restart with more ranks", (*machine).onSettle}
	giveUp        = cell{"room after all → as the back-off timer; else end who lives → stopping, or done", (*machine).onRoomTime}
	resizeWaiting = cell{"the restart has the new ranks; end who lives → stopping", (*machine).onResize}
)

// table is total: every event has a cell in every phase.
var table = [phases][rows]cell{
	idle: {
		startRow: begin, startedRow: nothing, readyRow: nothing, returnedRow: nothing, raisedRow: nothing,
		goodExitRow: nothing, badExitRow: nothing, startTimerRow: nothing, lingerTimerRow: nothing,
		exitTimerRow: nothing, graceTimerRow: nothing, killTimerRow: nothing, backoffTimerRow: nothing,
		deadlineTimerRow: nothing, answerTimerRow: nothing, lifetimeTimerRow: nothing, livenessTimerRow: nothing, dumpTimerRow: nothing, stopRow: stopIdle, noticeRow: nothing, answerRow: nothing, changeRow: nothing,
		helloRow: nothing, beatRow: nothing, progressRow: nothing, probingRow: nothing, dumpedRow: nothing,
		addRow: refuse, removeRow: refuse, resizeRow: refuse, restartRow: refuse, signalRow: nothing, termsRow: refuse,
		roomTimerRow: nothing, settleTimerRow: nothing, roomRow: learnRoom,
	},
	starting: {
		startRow: nothing, startedRow: noteStarted, readyRow: awaitReady, returnedRow: noteValue, raisedRow: decideRaised,
		goodExitRow: startWithout, badExitRow: decideExit, startTimerRow: lateStart, lingerTimerRow: nothing,
		exitTimerRow: askRaised, graceTimerRow: killNow, killTimerRow: abandonNow, backoffTimerRow: nothing,
		deadlineTimerRow: timeUp, answerTimerRow: nothing, lifetimeTimerRow: tooLong, livenessTimerRow: findHung, dumpTimerRow: hangs, stopRow: stopAll, noticeRow: passOn, answerRow: lateAnswer, changeRow: newStrategy,
		helloRow: noteHello, beatRow: noteBeat, progressRow: noteProgress, probingRow: noteProbe, dumpedRow: noteStacks,
		addRow: refuse, removeRow: refuse, resizeRow: refuse, restartRow: refuse, signalRow: passSignal, termsRow: newTerms,
		roomTimerRow: nothing, settleTimerRow: nothing, roomRow: watchRoom,
	},
	running: {
		startRow: nothing, startedRow: noteStarted, readyRow: noteReady, returnedRow: noteValue, raisedRow: decideRaised,
		goodExitRow: markGood, badExitRow: decideExit, startTimerRow: nothing, lingerTimerRow: nothing,
		exitTimerRow: askRaised, graceTimerRow: killNow, killTimerRow: abandonNow, backoffTimerRow: nothing,
		deadlineTimerRow: timeUp, answerTimerRow: nothing, lifetimeTimerRow: tooLong, livenessTimerRow: findHung, dumpTimerRow: hangs, stopRow: stopAll, noticeRow: passOn, answerRow: lateAnswer, changeRow: newStrategy,
		helloRow: noteHello, beatRow: noteBeat, progressRow: noteProgress, probingRow: noteProbe, dumpedRow: noteStacks,
		addRow: takeIn, removeRow: letGo, resizeRow: resizeNow, restartRow: restartNow, signalRow: passSignal, termsRow: newTerms,
		roomTimerRow: nothing, settleTimerRow: regrow, roomRow: watchRoom,
	},
	deciding: {
		startRow: nothing, startedRow: noteStarted, readyRow: noteReady, returnedRow: noteValue, raisedRow: holdRaised,
		goodExitRow: markDeciding, badExitRow: holdExit, startTimerRow: nothing, lingerTimerRow: nothing,
		exitTimerRow: askRaised, graceTimerRow: killNow, killTimerRow: abandonNow, backoffTimerRow: nothing,
		deadlineTimerRow: timeUp, answerTimerRow: noAnswer, lifetimeTimerRow: nothing, livenessTimerRow: lookAgain, dumpTimerRow: lookAgain, stopRow: stopAll, noticeRow: passOn, answerRow: carryOut, changeRow: newStrategy,
		helloRow: noteHello, beatRow: noteBeat, progressRow: noteProgress, probingRow: noteProbe, dumpedRow: noteStacks,
		addRow: refuse, removeRow: refuse, resizeRow: refuse, restartRow: refuse, signalRow: passSignal, termsRow: newTerms,
		roomTimerRow: nothing, settleTimerRow: nothing, roomRow: watchRoom,
	},
	stopping: {
		startRow: nothing, startedRow: noteStarted, readyRow: noteReady, returnedRow: noteValue, raisedRow: joinRaised,
		goodExitRow: markStopped, badExitRow: joinExit, startTimerRow: nothing, lingerTimerRow: askNow,
		exitTimerRow: askRaised, graceTimerRow: killNow, killTimerRow: abandonNow, backoffTimerRow: nothing,
		deadlineTimerRow: timeUpAnyway, answerTimerRow: nothing, lifetimeTimerRow: nothing, livenessTimerRow: lookAgain, dumpTimerRow: lookAgain, stopRow: stopAnyway, noticeRow: passOn, answerRow: lateAnswer, changeRow: newStrategy,
		helloRow: noteHello, beatRow: noteBeat, progressRow: noteProgress, probingRow: noteProbe, dumpedRow: noteStacks,
		addRow: refuse, removeRow: refuse, resizeRow: refuse, restartRow: refuse, signalRow: passSignal, termsRow: newTerms,
		roomTimerRow: nothing, settleTimerRow: nothing, roomRow: watchRoom,
	},
	waiting: { // ranks out of the directive's scope may be alive
		startRow: nothing, startedRow: noteStarted, readyRow: noteReady, returnedRow: noteValue, raisedRow: reviveRaised,
		goodExitRow: markOutside, badExitRow: reviveExit, startTimerRow: nothing, lingerTimerRow: nothing,
		exitTimerRow: askRaised, graceTimerRow: killNow, killTimerRow: abandonNow, backoffTimerRow: respawn,
		deadlineTimerRow: timeUpWaiting, answerTimerRow: nothing, lifetimeTimerRow: nothing, livenessTimerRow: lookAgain, dumpTimerRow: lookAgain, stopRow: stopWaiting, noticeRow: passOn, answerRow: lateAnswer, changeRow: newStrategy,
		helloRow: noteHello, beatRow: noteBeat, progressRow: noteProgress, probingRow: noteProbe, dumpedRow: noteStacks,
		addRow: refuse, removeRow: letGoWaiting, resizeRow: resizeWaiting, restartRow: refuse, signalRow: passSignal, termsRow: termsWaiting,
		roomTimerRow: giveUp, settleTimerRow: settled, roomRow: tryRoom,
	},
	done: {
		startRow: nothing, startedRow: nothing, readyRow: nothing, returnedRow: nothing, raisedRow: nothing,
		goodExitRow: nothing, badExitRow: nothing, startTimerRow: nothing, lingerTimerRow: nothing,
		exitTimerRow: nothing, graceTimerRow: nothing, killTimerRow: nothing, backoffTimerRow: nothing,
		deadlineTimerRow: nothing, answerTimerRow: nothing, lifetimeTimerRow: nothing, livenessTimerRow: nothing, dumpTimerRow: nothing, stopRow: nothing, noticeRow: nothing, answerRow: nothing, changeRow: nothing,
		helloRow: nothing, beatRow: nothing, progressRow: nothing, probingRow: nothing, dumpedRow: nothing,
		addRow: refuse, removeRow: refuse, resizeRow: refuse, restartRow: refuse, signalRow: nothing, termsRow: refuse,
		roomTimerRow: nothing, settleTimerRow: nothing, roomRow: nothing,
	},
}
