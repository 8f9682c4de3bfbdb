package host

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/go-muster/muster/actors/process"
)

// A host that joins while groups run was asked by nobody whether it can run them. It is, before it counts: a spare that lacks the
// program would make the next generation fail, at the group's cost, though there are others. It is not used when it can run nothing
// of what runs; where ranks are of several kinds, each may be for some hosts only.

// running is one command of each kind that runs. Called with mu held.
func (p *Pool) running() (all []process.Command) {
	seen := map[string]bool{}
	for _, t := range p.teams {
		for _, n := range t.lives {
			c := n.command
			if key := c.Entry + "\x00" + c.Dir + "\x00" + strings.Join(c.Args, "\x00"); !seen[key] {
				seen[key] = true
				all = append(all, c)
			}
		}
	}
	return all
}

// examine asks a host whether it can run any of the commands, and lets it count then. Whoever is lost meanwhile does not answer.
func (p *Pool) examine(l *link, commands []process.Command) {
	var errs []error
	for _, c := range commands {
		answer := make(chan error, 1)
		l.tell(&question{check{Count: 1, Commands: [][]byte{encodeCommand(c)}}, answer})
		select {
		case err := <-answer:
			errs = append(errs, err)
		case <-l.done:
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch fit := slices.Contains(errs, nil); {
	case !l.unfit || p.named(l.joined.Name) != l: // it counts already, as nothing runs any more, or is lost
	case fit:
		l.unfit = false
		p.joined(l)
	default:
		p.tellAll(fmt.Sprintf("host %s is not used: it cannot run what runs now: %v", l.joined.Name, errors.Join(errs...)))
	}
}

// joined tells of a host that counts from now on. Called with mu held.
func (p *Pool) joined(l *link) {
	p.change("host "+l.joined.Name+" has joined", slog.Any("host", p.host(l)))
}

// readmit lets every host count, since nothing runs any more that it could not. Called with mu held.
func (p *Pool) readmit() {
	for _, l := range p.links {
		l.unfit = false
	}
	p.ring()
}
