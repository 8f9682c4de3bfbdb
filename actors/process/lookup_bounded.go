package process

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// lookupTime bounds what a look at a command's files may take. A file system whose server is gone (FUSE, NFS) does not
// answer with an error: it does not answer.
const lookupTime = 5 * time.Second

// A place is what a lookup finds: the program, and how its process is to begin.
type place struct {
	path  string
	far   bool // directory or program may stop answering: nobody but the process itself is to wait for them
	stdin bool // the process opens its standard input itself
}

// A question is what a lookup depends on.
type question struct{ dir, program, stdin string }

func questionOf(c Command) question {
	q := question{dir: c.Dir, stdin: c.Stdin}
	if len(c.Args) > 0 {
		q.program = c.Args[0]
	}
	return q
}

// overdue counts the lookups that nobody waits for any more. Each holds a thread until it is answered, so there is one for
// each question: it is not asked again.
var overdue = struct {
	sync.Mutex
	questions map[question]int
}{questions: map[question]int{}}

// An inquiry is a lookup under way.
type inquiry struct {
	question
	done  chan struct{}
	found place
	err   error
	late  bool // nobody waits any more; guarded by overdue
}

// lookupInTime is lookup with an end.
func lookupInTime(c Command) (place, error) {
	i := &inquiry{question: questionOf(c), done: make(chan struct{})}
	if i.hopeless() {
		return place{}, i.hangs()
	}
	go i.run(c) // ends with the lookup
	late := time.NewTimer(lookupTime)
	defer late.Stop()
	select {
	case <-i.done:
	case <-late.C:
		if i.giveUp() {
			return place{}, i.hangs()
		}
	}
	return i.found, i.err
}

// hopeless reports whether the same question is open for too long already.
func (i *inquiry) hopeless() bool {
	overdue.Lock()
	defer overdue.Unlock()
	return overdue.questions[i.question] > 0
}

func (i *inquiry) run(c Command) {
	i.found, i.err = lookup(c)
	overdue.Lock()
	defer overdue.Unlock()
	close(i.done)
	if !i.late {
		return
	}
	if overdue.questions[i.question]--; overdue.questions[i.question] == 0 {
		delete(overdue.questions, i.question)
	}
}

// giveUp leaves the lookup to itself, unless the answer has come after all.
func (i *inquiry) giveUp() bool {
	overdue.Lock()
	defer overdue.Unlock()
	select {
	case <-i.done:
		return false
	default:
	}
	i.late = true
	overdue.questions[i.question]++
	return true
}

func (q question) hangs() error {
	var names []string
	for _, name := range []string{q.dir, q.program, q.stdin} {
		if name != "" {
			names = append(names, name)
		}
	}
	return fmt.Errorf("process: no answer for %v about %s: does a file system hang (findmnt -T, umount -f)?: %w",
		lookupTime, strings.Join(names, ", "), os.ErrDeadlineExceeded)
}
