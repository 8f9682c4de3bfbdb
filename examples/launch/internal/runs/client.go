package runs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrNoRun is a name that no group has that runs, or that more than one has.
var ErrNoRun = errors.New("runs: no such run")

// ErrGone is a launch that ends, or has ended, without an answer.
var ErrGone = errors.New("runs: the launch has ended")

// ErrSilent is a launch that does not answer: it is stopped, or stuck.
var ErrSilent = errors.New("runs: the launch does not answer")

// A Run is a group whose launch lives.
type Run struct {
	Info
	dir string
}

// List returns the runs of this user, the oldest first, and removes what launches have left that are gone. It returns
// [ErrRoot] when the directory of runs is not this user's alone.
func List() ([]Run, error) {
	root, _ := Root()
	if _, err := os.Lstat(root); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err := checkRoot(root); err != nil {
		return nil, err
	}
	all, err := list(root)
	slices.SortFunc(all, func(a, b Run) int {
		if n := a.Start.Compare(b.Start); n != 0 {
			return n
		}
		return strings.Compare(a.Run, b.Run)
	})
	return all, err
}

// Find returns the run that has a name: the run's, or the group's, or the beginning of one of them; "" is the only one there
// is. It returns [ErrNoRun], with the names that there are, when that is no run or more than one.
func Find(all []Run, name string) (Run, error) {
	for _, fits := range []func(Run) bool{
		func(r Run) bool { return r.Run == name },
		func(r Run) bool { return r.Name == name },
		func(r Run) bool { return strings.HasPrefix(r.Run, name) || strings.HasPrefix(r.Name, name) },
	} {
		found := slices.DeleteFunc(slices.Clone(all), func(r Run) bool { return !fits(r) })
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1 && name == "":
			return Run{}, fmt.Errorf("%w: say which: %s", ErrNoRun, names(found))
		case len(found) > 1:
			return Run{}, fmt.Errorf("%w: %q is more than one: %s", ErrNoRun, name, names(found))
		}
	}
	switch {
	case len(all) == 0:
		return Run{}, fmt.Errorf("%w: no group of yours is running", ErrNoRun)
	default:
		return Run{}, fmt.Errorf("%w: %q: there is %s", ErrNoRun, name, names(all))
	}
}

func names(all []Run) string {
	var text []string
	for _, r := range all {
		text = append(text, fmt.Sprintf("%s (%s)", r.Run, r.Name))
	}
	return strings.Join(text, ", ")
}

// Status asks how far the group is. It, as all of these, returns [ErrGone] and [ErrSilent], or what the launch says.
func (r Run) Status(ctx context.Context) (s Status, err error) {
	err = r.ask(ctx, request{Op: opStatus}, patience, func(a answer) error {
		if a.Status != nil {
			s = *a.Status
		}
		return nil
	})
	return s, err
}

// Logs gives the output of some ranks, none for all; with follow, until the group ends.
func (r Run) Logs(ctx context.Context, ranks []int, follow bool, give func(Piece) error) error {
	return r.ask(ctx, request{Op: opLogs, Ranks: ranks, Follow: follow}, 0, func(a answer) error {
		if a.Piece == nil {
			return nil
		}
		return give(*a.Piece)
	})
}

// Stop asks the group to end, and returns when nothing is left of it. Agreed is called as soon as it is being stopped.
func (r Run) Stop(ctx context.Context, kill bool, agreed func()) error {
	told := false
	err := r.ask(ctx, request{Op: opStop, Kill: kill}, 0, func(answer) error {
		if !told {
			told = true
			agreed()
		}
		return nil
	})
	if told && errors.Is(err, ErrGone) {
		return nil // that is what was wanted
	}
	return err
}

// Restart starts some ranks again, all for none.
func (r Run) Restart(ctx context.Context, ranks []int) error {
	return r.ask(ctx, request{Op: opRestart, Ranks: ranks}, 0, func(answer) error { return nil })
}

// Dump returns the stacks of a rank.
func (r Run) Dump(ctx context.Context, rank int) (text string, err error) {
	err = r.ask(ctx, request{Op: opDump, Ranks: []int{rank}}, 0, func(a answer) error {
		text += a.Text
		return nil
	})
	return text, err
}

// ask sends a request and takes the answers. The first one has a time to come, 0 for any.
func (r Run) ask(ctx context.Context, q request, within time.Duration, take func(answer) error) error {
	c, err := dial(r.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return ErrGone
	case err != nil:
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if uid, _, err := peer(c); err != nil || uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("%w: somebody else answers for it: user %d, %v", ErrRoot, uid, err)
	}
	if within > 0 {
		_ = c.SetDeadline(time.Now().Add(within))
	}
	if err := writeLine(c, q); err != nil {
		return r.lost(ctx, err)
	}
	in := bufio.NewReader(c)
	for {
		var a answer
		if err := readLine(in, maxAnswer, &a); err != nil {
			return r.lost(ctx, err)
		}
		switch {
		case a.Error != "":
			return errors.New(a.Error)
		case a.End:
			return nil
		}
		if err := take(a); err != nil {
			return err
		}
	}
}

// lost says what the end of a connection means.
func (r Run) lost(ctx context.Context, err error) error {
	var net net.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &net) && net.Timeout():
		return fmt.Errorf("%w: pid %d is stopped, or stuck", ErrSilent, r.PID)
	case errors.Is(err, errTooLong):
		return err
	}
	return ErrGone
}
