package process

// A Port is a TCP port number of this host that was promised to one group.
type Port struct {
	number  int
	release func()
}

// HoldPort finds a TCP port that nobody uses and that no other group on this host will be given until Release. The port
// itself is not bound: a rank can listen on it with or without SO_REUSEADDR, at any time. It returns an error when no
// port can be found.
func HoldPort() (*Port, error) { return holdPort() }

// Number returns the port number.
func (p *Port) Number() int { return p.number }

// Release gives the port back. It may be called more than once, and on a nil Port.
func (p *Port) Release() {
	if p != nil && p.release != nil {
		p.release()
		p.release = nil
	}
}
