package process

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/watchdog"
	"github.com/go-muster/muster/transport"
)

// A guard is what stands around the processes of one launcher while there are any: the cgroup tree in which each has
// a leaf, and the watchdog that ends them when this program is killed.
type guard struct {
	layers Layers

	mu    sync.Mutex
	users int
	mark  string // "MUSTER_TREE=…", in the environment of every descendant that does not clean its own; for users only
	tree  *tree
	dog   *watchdog.Watchdog
	gone  chan struct{}        // closed when the watchdog was reaped
	lost  int                  // watchdogs that were killed
	small bool                 // pipes have become small, and that was told
	until time.Time            // the end of the lease of all that is guarded; zero for none
	heard map[int]func(string) // who is told of what happens to the guard itself
	next  int
}

func newGuard(l Layers) *guard {
	return &guard{layers: l, heard: map[int]func(string){}}
}

// newMark is made each time that the guard goes up: a watchdog that is still at work for the last time must not take the
// processes of this time for its own.
func newMark() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return transport.EnvTree + "=" + hex.EncodeToString(b[:])
}

// enter puts the guard up for the first user. Each layer that cannot be had is left out: level tells.
func (g *guard) enter(report func(string)) (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users++; g.users == 1 {
		g.raise()
	}
	id := g.next
	g.next++
	if report != nil {
		g.heard[id] = report
	}
	var once sync.Once
	return func() { once.Do(func() { g.leave(id) }) }
}

func (g *guard) raise() {
	g.lost, g.small, g.mark = 0, false, newMark()
	if !g.layers.NoWatchdog {
		g.post()
	}
	if !g.layers.NoCgroup {
		g.tree, _ = plantTree(g.announce)
	}
}

// announce tells the watchdog of a tree that is about to be: if we are killed next, it removes that.
func (g *guard) announce(dir string) {
	if g.dog != nil {
		o := g.orders()
		o.Cgroup = dir
		_ = g.dog.Tell(o)
	}
}

// maxWatchdogs is how often a watchdog is started: where none can live, trying for ever would keep the machine busy.
const maxWatchdogs = 10

// post starts a watchdog and minds it. Called with mu held.
func (g *guard) post() {
	if fault(seamWatchdog) != nil {
		return
	}
	dog, err := watchdog.Start()
	if err != nil {
		return
	}
	if errors.Join(fault(seamTell), dog.Tell(g.orders())) != nil {
		dog.Stop()
	}
	g.dog, g.gone = dog, make(chan struct{})
	go g.mind(dog, g.gone) // ends with the watchdog
}

func (g *guard) orders() watchdog.Orders {
	o := watchdog.Orders{Mark: g.mark}
	if g.tree != nil {
		o.Cgroup = g.tree.dir
	}
	if !g.until.IsZero() {
		o.Lease = max(1, watchdog.Lease(g.until))
	}
	return o
}

// lease has the watchdog end everything at a time, unless it is told otherwise before. It holds for whatever is up, now or later.
// When the last lease is over, the watchdog may be at work because of that: nobody is started before it is done.
func (g *guard) lease(until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	over := !g.until.IsZero() && !time.Now().Before(g.until)
	g.until = until
	if g.dog == nil {
		return
	}
	err := g.dog.Tell(g.orders())
	if over && errors.Join(err, g.dog.Settle(dismissTime)) != nil {
		g.dog.Stop() // and mind posts another one
	}
}

// mind waits for the end of a watchdog. One that we did not dismiss was killed, and is replaced.
func (g *guard) mind(dog *watchdog.Watchdog, gone chan<- struct{}) {
	dog.Wait()
	close(gone)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dog != dog {
		return
	}
	g.dog = nil
	if g.lost++; g.lost < maxWatchdogs {
		g.post()
	}
	text := fmt.Sprintf("the watchdog (pid %d) was killed", dog.PID())
	if g.dog != nil {
		text += fmt.Sprintf(" and has been replaced (pid %d)", g.dog.PID())
	}
	g.tell(text)
}

// tell tells everybody who wants to hear. Called with mu held.
func (g *guard) tell(text string) {
	for _, report := range g.heard {
		report(text)
	}
}

// dismissTime bounds how long the last user waits for what the watchdog ends: it may be stopped itself, or look at a
// process whose memory nobody may see because of a file system that hangs.
const dismissTime = 2 * time.Second

// leave takes the guard down after the last user, and waits until the watchdog is gone: with mu free, as whoever comes
// next has a watchdog of its own.
func (g *guard) leave(id int) {
	dog, gone := g.takeDown(id)
	if dog == nil {
		return
	}
	late := time.NewTimer(dismissTime)
	defer late.Stop()
	select {
	case <-gone:
	case <-late.C:
		dog.Stop()
	}
}

// takeDown returns the watchdog to wait for, nil for none. Who has left a process group while there were no leaves is found
// by the watchdog alone. What of the tree cannot be removed yet, because somebody in it is still dying or is not ours, is
// its last order, for which nobody waits.
func (g *guard) takeDown(id int) (dog *watchdog.Watchdog, gone <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.heard, id)
	if g.users--; g.users > 0 {
		return nil, nil
	}
	dog, tree, leaves := g.dog, g.tree, g.tree != nil && !g.layers.NoCgroup
	g.dog, g.tree = nil, nil
	busy := tree != nil && tree.remove() != nil
	switch {
	case busy:
		go finish(dog, g.gone, watchdog.Orders{Mark: g.mark, Cgroup: tree.dir}) // ends with the tree
		return nil, nil
	case dog == nil:
		return nil, nil
	case leaves:
		dog.Stop()
	default:
		dog.Release()
	}
	return dog, g.gone
}

// finish has the watchdog carry out its last orders. Without one, or when that was killed meanwhile, they are our own.
func finish(dog *watchdog.Watchdog, gone <-chan struct{}, last watchdog.Orders) {
	if dog != nil {
		dog.Release()
		<-gone
	}
	if watchdog.Remove(last.Cgroup) != nil {
		last.Execute()
	}
}

// leaf returns a cgroup for one process, nil where there is none. Its error is that of a machine at its limits: on that
// a process must not start with less protection than the others. A command with bounds has a leaf or does not start.
func (g *guard) leaf(c Command) (*leaf, error) {
	t := g.grove()
	wanted := controllers(c)
	if len(wanted) > 0 {
		if t == nil {
			return nil, fmt.Errorf("process: no bounds of %s: there is no cgroup: %w", strings.Join(wanted, ", "), errors.ErrUnsupported)
		}
		if err := t.open(wanted, g.ours()); err != nil {
			return nil, err
		}
	}
	if t == nil {
		return nil, nil
	}
	l, err := t.leaf()
	switch {
	case err == nil && len(wanted) > 0:
		if err = setBounds(l.dir, c); err != nil {
			l.remove()
			return nil, fmt.Errorf("process: bounds: %w", err)
		}
	case err != nil && len(wanted) == 0 && refused(err):
		g.wither()
		return nil, nil
	}
	return l, err
}

// grove returns the tree in which leaves can be made, nil where there is none.
func (g *guard) grove() *tree {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.layers.NoCgroup {
		return nil
	}
	return g.tree
}

// wantsCgroup reports whether leaves are worth a try: wither may have found out otherwise.
func (g *guard) wantsCgroup() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.layers.NoCgroup
}

// refused tells "you may not" from "there is no room": after the former it is no use to try again.
func refused(err error) bool {
	for _, no := range []error{
		unix.EPERM, unix.EACCES, unix.EROFS, unix.ENOSYS, unix.EINVAL, unix.EOPNOTSUPP, unix.EBUSY, unix.ENODEV, unix.ENOENT,
	} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// wither makes no more leaves: the kernel lets us make cgroups but not start a process in one. The tree stays for the
// processes that are in it already, and for the watchdog.
func (g *guard) wither() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.layers.NoCgroup = true
}

// level says what there is; without users, what there would be, for which a tree is tried but no process started.
func (g *guard) level() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users > 0 {
		return level(g.tree != nil && !g.layers.NoCgroup, g.dog != nil, !g.layers.NoDeathsig)
	}
	tree, err := plantTree(func(string) {})
	if err == nil {
		_ = tree.remove()
	}
	return level(err == nil && !g.layers.NoCgroup, !g.layers.NoWatchdog, !g.layers.NoDeathsig)
}
