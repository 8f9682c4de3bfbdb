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
var lookupTime = 5 * time.Second

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

// lookupInTime is lookup with an end.
func lookupInTime(c Command) (found place, err error) {
	q := questionOf(c)
	overdue.Lock()
	hangs := overdue.questions[q] > 0
	overdue.Unlock()
	if hangs {
		return place{}, q.hangs()
	}
	answered, late := make(chan struct{}), false
	go func() { // ends with the lookup
		p, e := lookup(c)
		overdue.Lock()
		defer overdue.Unlock()
		if !late {
			found, err = p, e
		} else if overdue.questions[q]--; overdue.questions[q] == 0 {
			delete(overdue.questions, q)
		}
		close(answered)
	}()
	timer := time.NewTimer(lookupTime)
	defer timer.Stop()
	select {
	case <-answered:
		return found, err
	case <-timer.C:
	}
	overdue.Lock()
	defer overdue.Unlock()
	select {
	case <-answered:
		return found, err
	default:
	}
	late = true
	overdue.questions[q]++
	return place{}, q.hangs()
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
