package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-muster/muster/transport"
)

// drainTime is how long a process's streams and its group may outlive it: what somebody it left behind still holds
// is read for this long, then closed; who is still in its group is asked to end at once, and killed after this.
const drainTime = 250 * time.Millisecond

var (
	// ErrNoResult is the condition of a function that ended with exit code 0 and without its result: it called os.Exit.
	ErrNoResult = errors.New("process: the function ended its process without a result (os.Exit?)")
	// ErrLink is the condition of a worker that broke the protocol on its socket: see docs/protocol.md.
	ErrLink = errors.New("process: protocol violation")
	// ErrMainNotCalled is the condition of a process that was started for an entry point and starts processes itself:
	// without worker.Main it runs its parent's work again, and so would its children.
	ErrMainNotCalled = errors.New("process: this process was started as a rank, but its main has not called worker.Main")
)

// Local returns the Launcher that starts processes on this machine, with every protection that the system has. All its
// users share one guard.
func Local() Launcher { return theLocal() }

var theLocal = sync.OnceValue(func() Launcher { return LocalWith(Layers{}) })

// LocalWith returns a Launcher of its own that leaves some protections out.
func LocalWith(l Layers) Launcher { return local{newGuard(l)} }

type local struct{ guard *guard }

// Containment returns the level of protection that this system has: see docs/operations.md.
func (l local) Containment() string { return l.guard.level() }

// Guard puts the guard up, if it is not up yet.
func (l local) Guard(report func(string)) (release func()) { return l.guard.enter(report) }

// Lease sets the time at which the watchdog ends all that this launcher's users have launched: see [Leaser]. Where there is no
// watchdog it does nothing.
func (l local) Lease(until time.Time) { l.guard.lease(until) }

// Check looks for the program as Launch will.
func (local) Check(c Command) error {
	_, err := find(c)
	return err
}

func find(c Command) (place, error) {
	if os.Getenv(transport.EnvEntry) != "" {
		return place{}, ErrMainNotCalled
	}
	return lookupInTime(c)
}

// Launch starts the process and the goroutines that read from it, each of which ends with the process.
func (l local) Launch(id ID, c Command, o Observer) (Process, error) {
	up := sync.OnceFunc(launches.begin())
	p, err := l.launch(id, c, o, up)
	if err != nil {
		up()
		return nil, err
	}
	if c.Argument == nil || c.Plain {
		up()
	}
	return p, nil
}

func (l local) launch(id ID, c Command, o Observer, up func()) (*localProcess, error) {
	found, err := find(c)
	if err != nil {
		return nil, err
	}
	starting <- struct{}{}
	defer func() { <-starting }() // after the other ends were closed
	p := &localProcess{id: id, command: c, observer: o, up: up, release: l.Guard(nil), tail: tail{size: tailSize}}
	var files childFiles
	defer files.close()
	if err := p.open(&files, found.stdin); err != nil {
		p.closeAll()
		p.release()
		return nil, fmt.Errorf("process: start %v: %w", id, err)
	}
	l.guard.notePipe(p.stderr.file)
	p.theirs = endNames(files.list[1:])
	env := environment(c, &files, l.guard.mark)
	if p.ready, err = newReadiness(c, env, p.notice, o.Probed); err == nil {
		p.group, err = spawn(l.guard, found, c, env, files.list)
	}
	if err != nil {
		p.closeAll()
		p.release()
		return nil, startError(id, found.path, err)
	}
	p.run()
	return p, nil
}

// environment is the supervisor's own, without what is meant for the supervisor alone, and the command's on top.
func environment(c Command, files *childFiles, mark string) []string {
	own := append([]string{
		transport.EnvFD, transport.EnvCrashFD, transport.EnvReadyFD, transport.EnvEntry, transport.EnvTree, envErrorFile,
	}, c.Unset...)
	env := make([]string, 0, len(os.Environ())+len(c.Env)+len(own))
	for _, kv := range os.Environ() {
		if !names(kv, own) {
			env = append(env, kv)
		}
	}
	if files.errors != "" {
		env = append(env, envErrorFile+"="+files.errors)
	}
	env = append(env, c.Env...)
	if mark != "" {
		env = append(env, mark)
	}
	if files.link > 0 {
		env = append(env, transport.EnvFD+"="+strconv.Itoa(files.link))
	}
	if files.crash > 0 {
		env = append(env, transport.EnvCrashFD+"="+strconv.Itoa(files.crash))
	}
	if files.ready > 0 {
		env = append(env, transport.EnvReadyFD+"="+strconv.Itoa(files.ready))
	}
	if c.Entry != "" {
		env = append(env, transport.EnvEntry+"="+c.Entry)
	}
	cmd := exec.Cmd{Env: env, Dir: c.Dir}
	return cmd.Environ() // the last value of each variable, and PWD
}

func names(kv string, own []string) bool {
	for _, name := range own {
		if len(kv) > len(name) && kv[:len(name)] == name && kv[len(name)] == '=' {
			return true
		}
	}
	return false
}

// childFiles are the descriptors of a process to be, in order; link, crash and ready are their numbers in it, 0 for none, and
// errors is the path of its error file.
type childFiles struct {
	list               []*os.File
	link, crash, ready int
	errors             string
}

func (f *childFiles) add(file *os.File) int {
	f.list = append(f.list, file)
	return len(f.list) - 1
}

func (f *childFiles) close() {
	for _, file := range f.list {
		file.Close()
	}
}

// A localProcess is a process of this machine.
type localProcess struct {
	id       ID
	command  Command
	observer Observer
	group    *group
	conn     *transport.Conn // nil without a socket
	ends     []*os.File      // our ends of everything, for deadlines
	theirs   []string        // what the system calls the other ends: see holders
	release  func()          // of the guard
	up       func()          // says, once, that a function is up, or never will be

	stdout, stderr pump
	errors         pump     // without a file when there is no error file
	crash, notice  *os.File // nil without
	ready          *readiness
	tail           tail
	dump           dump
	fatal          fatalLine
	report         report

	post    post
	credit  transport.Balance // the worker's
	dumping atomic.Bool       // a Dump is on its way
	dumped  sync.Once         // before Kill
	broken  sync.Once         // of the first breach
	readers sync.WaitGroup    // the goroutines that read from the process
	said    said
}

// said is what the worker has said so far: written by the link's reader, read once that has ended.
type said struct {
	hello, raised, result bool
	crash                 []byte
	broken                error
	unread                unread
}

// open creates the streams, the socket and the crash pipe, and opens standard input unless the process does so itself.
func (p *localProcess) open(files *childFiles, itself bool) error {
	if err := fault(seamOpen); err != nil {
		return err
	}
	path := p.command.Stdin
	if itself {
		path = ""
	}
	stdin, err := openStdin(path)
	if err != nil {
		return err
	}
	files.add(stdin)
	for _, s := range []*pump{&p.stdout, &p.stderr} {
		r, w, err := pipe()
		if err != nil {
			return err
		}
		s.file = p.keep(r)
		files.add(w)
	}
	if !p.command.Plain {
		if err := p.openLink(files); err != nil {
			return err
		}
	}
	if err := p.openErrors(files); err != nil {
		return err
	}
	return p.openNotice(files)
}

// openErrors creates the error file of a process that may want to report in one.
func (p *localProcess) openErrors(files *childFiles) error {
	if !p.command.wantsErrorFile() {
		return nil
	}
	f, path, err := openErrorFile()
	if f != nil {
		p.errors = pump{file: p.keep(f), emit: p.report.Write}
		files.errors = path
	}
	return err
}

// openNotice creates the pipe of a process that says itself that it is ready.
func (p *localProcess) openNotice(files *childFiles) error {
	if p.command.Ready == nil || !p.command.Ready.FD {
		return nil
	}
	r, w, err := pipe()
	if err != nil {
		return err
	}
	p.notice = p.keep(r)
	files.ready = files.add(w)
	return nil
}

func (p *localProcess) openLink(files *childFiles) error {
	ours, theirs, err := pair()
	if errors.Is(err, errors.ErrUnsupported) && p.command.Entry == "" {
		return nil // a command can do without
	}
	if err != nil {
		return err
	}
	p.conn = transport.NewConn(&lateReader{File: p.keep(ours)})
	files.link = files.add(theirs)
	if p.command.Entry == "" {
		return nil
	}
	r, w, err := pipe()
	if err != nil {
		return err
	}
	p.crash = p.keep(r)
	files.crash = files.add(w)
	return nil
}

func (p *localProcess) keep(f *os.File) *os.File {
	p.ends = append(p.ends, f)
	return f
}

func (p *localProcess) closeAll() {
	for _, f := range p.ends {
		f.Close()
	}
}

// run starts the readers before anything is written, and the goroutine that sees the process end.
func (p *localProcess) run() {
	p.startProbe()
	p.stdout.emit = func(b []byte) {
		p.ready.look(b)
		p.observer.Output(Stdout, b)
	}
	p.stderr.emit = func(b []byte) {
		p.tail.Write(b)
		p.dump.Write(b)
		if p.crash != nil {
			p.fatal.Write(b)
		}
		p.ready.look(b)
		p.observer.Output(Stderr, b)
	}
	p.readers.Go(p.stdout.run)
	p.readers.Go(p.stderr.run)
	if p.errors.file != nil {
		p.readers.Go(p.errors.run)
	}
	if p.crash != nil {
		p.readers.Go(func() { p.said.crash = collect(&lateReader{File: p.crash}) })
	}
	if p.conn != nil {
		p.readers.Go(p.listen)
	}
	if p.conn != nil && p.command.Argument != nil {
		go p.argue() // as in say
	}
	go p.finish()
}

// finish sees the process end, then its group, then its streams, and tells the exit: the last thing anybody hears.
func (p *localProcess) finish() {
	exit := p.group.wait()
	p.up()
	if exit.Ended.IsZero() {
		exit.Ended = time.Now()
	}
	p.ready.stop()
	if p.errors.file != nil { // it has no end, as we could write to it ourselves
		_ = p.errors.file.SetReadDeadline(time.Now())
	}
	exit.Left = append(exit.Left, p.drain()...)
	if p.conn != nil {
		p.conn.Close()
	}
	p.group.close()
	p.lastWords(&exit)
	exit.Stderr = p.tail.Lines()
	exit.Dump = p.stacks(&exit)
	p.release()
	p.observer.Exited(exit)
}

// drain waits for the readers. Whoever still holds a stream is read for drainTime, then named and cut off.
func (p *localProcess) drain() (held []Leftover) {
	ended := make(chan struct{})
	go func() { // ends with the readers
		p.readers.Wait()
		close(ended)
	}()
	late := time.NewTimer(drainTime)
	defer late.Stop()
	select {
	case <-ended:
		return nil
	case <-late.C:
	}
	held = holders(p.theirs)
	for _, f := range p.ends {
		_ = f.SetReadDeadline(time.Now())
	}
	<-ended
	return held
}

// lastWords adds what the exit alone does not show: what a worker did not say on its socket, a protocol that was broken, a
// function that never said how it ended.
func (p *localProcess) lastWords(exit *Exit) {
	if !p.said.raised && !exit.Stopped {
		if x := p.found(exit); x != nil {
			x.Rank, x.Generation, x.PID = p.id.Rank, p.id.Generation, p.group.pid
			p.said.raised = true
			p.observer.Message(x)
		}
	}
	if exit.Report == "" {
		exit.Report = p.said.unread.String()
	}
	silent := p.command.Entry != "" && !p.said.result && !p.said.raised && !exit.Stopped
	switch {
	case exit.Signal != 0:
	case exit.Code != 0:
		exit.Silent = silent && exit.Code > 0 && p.said.broken == nil
	case p.said.broken != nil:
		exit.Err = p.said.broken
	case silent:
		exit.Err = ErrNoResult
		if !p.said.hello {
			exit.Err = fmt.Errorf("%w: it never said hello: does its main call worker.Main?", ErrNoResult)
		}
	}
}

// found returns what ended the process as it stands elsewhere than on the socket: in a crash of the Go runtime or, of a
// process that failed, in its error file.
func (p *localProcess) found(exit *Exit) *transport.Exception {
	if x := transport.ParseCrash(p.said.crash); x != nil {
		if x.Type == fatalError && p.fatal != "" {
			x.Message = string(p.fatal)
		}
		return x
	}
	if exit.Success() {
		return nil
	}
	x, unread := p.report.exception()
	exit.Report = unread
	return x
}

// PID returns the process id.
func (p *localProcess) PID() int { return p.group.pid }

// Stop sends the Stop message and SIGTERM.
func (p *localProcess) Stop(reason string, grace time.Duration) {
	if p.conn != nil {
		p.say(&transport.Stop{Reason: reason, Grace: grace})
	}
	p.group.stop(p.command.StopSignal)
}

// Signal sends sig to the group.
func (p *localProcess) Signal(sig Signal) error { return p.group.signal(sig) }
