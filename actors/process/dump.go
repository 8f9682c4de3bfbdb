package process

import (
	"sync/atomic"
	"time"
)

// dumpTime is how long a process has for the dump of its stacks before it is killed.
const dumpTime = time.Second

// dumpSize bounds what an exit keeps of a dump.
const dumpSize = 256 << 10

// A dump keeps what a process says once it was asked for its stacks: the first half of dumpSize, and the last. What lies
// between is marked as left out. Only the reader of standard error writes, and the text is asked for after its end.
type dump struct {
	asked atomic.Bool
	head  []byte
	tail  tail
}

func (d *dump) Write(b []byte) {
	if !d.asked.Load() {
		return
	}
	n := min(len(b), dumpSize/2-len(d.head))
	d.head = append(d.head, b[:n]...)
	if n < len(b) {
		d.tail.size = dumpSize / 2
		d.tail.Write(b[n:])
	}
}

func (d *dump) text() []byte {
	if d.tail.full {
		d.head = append(d.head, leftOut...)
	}
	return append(d.head, d.tail.Lines()...)
}

// Kill sends SIGKILL, after the dump that the command asks for.
func (p *localProcess) Kill() {
	if p.command.DumpSignal == 0 {
		p.group.kill()
		return
	}
	p.dumped.Do(func() {
		p.dump.asked.Store(true) // before the answer can come
		if p.group.dump(p.command.DumpSignal) != nil {
			p.group.kill()
			return
		}
		time.AfterFunc(dumpTime, p.group.kill)
	})
}

// stacks is what the process answered: on standard error or, where that leads elsewhere, on the Go runtime's crash pipe.
func (p *localProcess) stacks() []byte {
	if !p.dump.asked.Load() {
		return nil
	}
	if text := p.dump.text(); len(text) > 0 {
		return text
	}
	return p.said.crash
}
