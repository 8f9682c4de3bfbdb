package process

import (
	"sync/atomic"
	"syscall"
	"time"
)

// dumpTime is how long a process has for the dump of its stacks before it is killed.
const dumpTime = time.Second

// dumpSize bounds what an exit keeps of a dump.
const dumpSize = 256 << 10

// pythonCrash begins what Python's faulthandler writes before its process dies of a fault. With many threads, or many
// extension modules, whose names it lists at the end, that is more than the tail of standard error holds.
const pythonCrash = "Fatal Python error: "

// A dump keeps what a process says once it was asked for its stacks, or from the last line on that begins as a crash of
// Python: the first half of dumpSize, and the last. What lies between is marked as left out. Only the reader of standard
// error writes, whole lines, and the text is asked for after its end.
type dump struct {
	asked atomic.Bool
	crash bool // such a line was seen
	head  []byte
	tail  tail
}

func (d *dump) Write(b []byte) {
	switch at := lastLine(b, pythonCrash); {
	case d.asked.Load():
		if d.crash { // of somebody who shares the stream: the answer comes now
			d.crash, d.head, d.tail = false, nil, tail{}
		}
	case at >= 0:
		d.crash, d.head, d.tail = true, nil, tail{}
		b = b[at:]
	case !d.crash:
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

// crashed reports whether a signal is one that a fault of the process's own sends.
func crashed(s Signal) bool {
	switch s {
	case syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL:
		return true
	}
	return false
}

// stacks is what the process said as it crashed, or answered: on standard error or, where that leads elsewhere, on the Go
// runtime's crash pipe.
func (p *localProcess) stacks(exit *Exit) []byte {
	asked := p.dump.asked.Load()
	switch {
	case asked && exit.Stopped, !asked && p.dump.crash && crashed(exit.Signal):
	default:
		return nil
	}
	if text := p.dump.text(); len(text) > 0 {
		return text
	}
	return p.said.crash
}
