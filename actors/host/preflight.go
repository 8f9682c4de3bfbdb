package host

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/go-muster/muster/actors/process"
)

// Check finds nothing wrong with a command: whether it can be run is for its host to say, see Preflight.
func (p *Pool) Check(process.Command) error { return nil }

// Preflight asks every host that has joined whether it can run the commands, and whether it has room for as many as it takes.
// It waits for the answers, and for hosts that do not answer until they are lost. Its error names each host that cannot, and
// wraps what that host says.
func (p *Pool) Preflight(commands []process.Command) error {
	p.mu.Lock()
	links := p.staying()
	counts := make([]int, len(links))
	for i, l := range links {
		counts[i] = min(cmp.Or(p.PerHost, p.slots(l)), len(commands))
	}
	p.mu.Unlock()
	answers := make([]chan error, len(links))
	different := distinct(commands)
	for i, l := range links {
		answers[i] = make(chan error, 1)
		c := check{Count: counts[i]}
		for _, d := range different {
			if d.host == "" || d.host == l.joined.Name {
				c.Commands = append(c.Commands, d.text)
			}
		}
		l.tell(&question{c, answers[i]})
	}
	var errs []error
	for i, l := range links {
		select {
		case err := <-answers[i]:
			if err != nil {
				errs = append(errs, fmt.Errorf("host %s: %w", l.joined.Name, err))
			}
		case <-l.done:
		}
	}
	return errors.Join(errs...)
}

// An encoded command and the host that it is for, "" for any.
type encoded struct {
	host string
	text []byte
}

// distinct returns each different command once. Ranks that differ in their variables alone are all represented by the first.
func distinct(commands []process.Command) (all []encoded) {
	seen := map[string]bool{}
	for _, c := range commands {
		bare := c
		bare.Env = nil
		if key := c.Host + "\x00" + string(encodeCommand(bare)); !seen[key] {
			seen[key] = true
			all = append(all, encoded{c.Host, encodeCommand(c)})
		}
	}
	return all
}
