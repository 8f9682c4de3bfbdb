package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/go-muster/muster/actors/process/watchdog"
)

// Bounds of what a process and its descendants use together are its leaf's, and a leaf has the controllers that its parent
// hands on in cgroup.subtree_control, which takes them from its own parent in turn: the tree from our own cgroup. A cgroup
// that hands on controllers must have no process of its own, but for the root of the hierarchy.

// bounds are the files of a leaf and what is to be written to them.
func (c Command) bounds() map[string]string {
	all := map[string]string{}
	if c.Memory > 0 {
		all["memory.max"] = strconv.FormatUint(c.Memory, 10)
	}
	if c.PIDs > 0 {
		all["pids.max"] = strconv.FormatUint(c.PIDs, 10)
	}
	return all
}

// controllers names the controllers that the bounds of commands need.
func controllers(commands ...Command) (all []string) {
	for _, c := range commands {
		for file := range c.bounds() {
			if name, _, _ := strings.Cut(file, "."); !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// setBounds writes a leaf's bounds, which it has before a process is born in it.
func setBounds(leaf string, c Command) error {
	for file, value := range c.bounds() {
		if err := writeFile(filepath.Join(leaf, file), value); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes to a file that is there.
var writeFile = func(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// handOn lets the children of a cgroup have controllers.
func handOn(dir string, controllers []string) error {
	if len(lacking(dir, "cgroup.subtree_control", controllers)) == 0 {
		return nil
	}
	return writeFile(filepath.Join(dir, "cgroup.subtree_control"), "+"+strings.Join(controllers, " +"))
}

// lacking returns those controllers that a file does not list.
func lacking(dir, file string, controllers []string) []string {
	b, _ := os.ReadFile(filepath.Join(dir, file))
	have := strings.Fields(string(b))
	return slices.DeleteFunc(slices.Clone(controllers), func(name string) bool { return slices.Contains(have, name) })
}

// home is where we go when our own cgroup is to hand on controllers and has no process but ours.
const home = treePrefix + "home"

// stepAside moves this program and its watchdog, which are all that is in a cgroup, into a child of it.
func stepAside(own string, ours []int) error {
	dir := filepath.Join(own, home)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, pid := range ours {
		if err := writeFile(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// open gives the leaves of a tree controllers.
func (t *tree) open(controllers []string, ours []int) error {
	t.opening.Lock()
	defer t.opening.Unlock()
	own := filepath.Dir(t.dir)
	err := handOn(own, controllers)
	if errors.Is(err, unix.EBUSY) && len(strangers(own, ours)) == 0 {
		if err = stepAside(own, ours); err == nil {
			err = handOn(own, controllers)
		}
	}
	if err == nil {
		err = handOn(t.dir, controllers)
	}
	if err != nil {
		return errors.Join(obstacle(own, controllers, ours), err)
	}
	return nil
}

// strangers are the processes in a cgroup that are not ours to move.
func strangers(own string, ours []int) []int {
	return slices.DeleteFunc(watchdog.Members(own), func(pid int) bool { return slices.Contains(ours, pid) })
}

const delegate = "start under systemd-run --user --scope -p Delegate=yes (as root: without --user), " +
	"or with a writable cgroup v2 of your own"

// obstacle says why a cgroup will not hand on controllers, and what to do about it. It changes nothing.
func obstacle(own string, controllers []string, ours []int) error {
	if missing := lacking(own, "cgroup.controllers", controllers); len(missing) > 0 {
		return fmt.Errorf("process: no bounds of %s: our cgroup %s has no such controller (cgroup v1 may have it, "+
			"or it was not delegated): %s: %w", strings.Join(missing, ", "), own, delegate, errors.ErrUnsupported)
	}
	if len(lacking(own, "cgroup.subtree_control", controllers)) == 0 {
		return nil
	}
	what := strings.Join(controllers, ", ")
	if unix.Access(filepath.Join(own, "cgroup.subtree_control"), unix.W_OK) != nil {
		return fmt.Errorf("process: no bounds of %s: our cgroup %s is not ours to change: %s: %w", what, own, delegate, fs.ErrPermission)
	}
	if _, err := os.Stat(filepath.Join(own, "cgroup.type")); err != nil {
		return nil // the root of the hierarchy may have processes
	}
	if others := strangers(own, ours); len(others) > 0 {
		return fmt.Errorf("process: no bounds of %s: our cgroup %s holds %d other processes (%d is one), and the kernel wants it "+
			"to have none when it hands controllers on: %s: %w", what, own, len(others), others[0], delegate, unix.EBUSY)
	}
	return nil
}

// checkBounds reports why the bounds of commands could not be had.
func (g *guard) checkBounds(commands []Command) error {
	wanted := controllers(commands...)
	if len(wanted) == 0 {
		return nil
	}
	if !g.wantsCgroup() {
		return fmt.Errorf("process: no bounds of %s without cgroups: %w", strings.Join(wanted, ", "), errors.ErrUnsupported)
	}
	own, err := ownCgroup()
	if err != nil {
		return fmt.Errorf("process: no bounds of %s: %w", strings.Join(wanted, ", "), err)
	}
	return obstacle(own, wanted, g.ours())
}

// ours are the processes that go where we go.
func (g *guard) ours() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	pids := []int{os.Getpid()}
	if g.dog != nil {
		pids = append(pids, g.dog.PID())
	}
	return pids
}
