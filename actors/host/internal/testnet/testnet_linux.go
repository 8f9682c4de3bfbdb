// Package testnet makes a network of several hosts on this machine, for tests: each host has a network namespace of its own with
// one interface, and all interfaces hang on one switch, which is ours. The switch can lose frames, hold them back, and stop
// passing any, for each host apart; it needs no traffic control of the kernel's, which not every kernel has.
//
// It wants the right to make network namespaces and TAP devices: root has it. Nothing has a name outside of the test, and all of it
// is gone with the test, or with the program, however that ends.
package testnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Net is a network of hosts.
type Net struct {
	t     testing.TB
	hosts map[string]*Host
	order []*Host

	mu     sync.Mutex
	random *rand.Rand // of what is lost
	closed bool
}

// A Host is one host of a Net.
type Host struct {
	net  *Net
	name string
	addr string
	mac  [6]byte
	ns   *os.File
	tap  *os.File

	// Of the frames that come from the host and go to it. Guarded by the net's mu.
	cut   bool
	loss  float64
	delay time.Duration
	late  chan delayed // frames to it that are held back, in order
}

type delayed struct {
	frame []byte
	due   time.Time
}

// New makes a network of hosts with these names. It skips the test, with the reason, where this program may not make one.
func New(t testing.TB, names ...string) *Net {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces: this test needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces: this test needs the program ip (package iproute2)")
	}
	n := &Net{t: t, hosts: map[string]*Host{}, random: rand.New(rand.NewPCG(1, 2))}
	var running sync.WaitGroup
	t.Cleanup(func() {
		n.close()
		running.Wait()
	})
	for i, name := range names {
		h, err := n.add(name, i+1)
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) {
			t.Skip("network namespaces: ", err)
		}
		if err != nil {
			t.Fatal("testnet: ", err)
		}
		running.Go(h.pump)
		running.Go(h.trickle)
	}
	return n
}

func (n *Net) add(name string, number int) (*Host, error) {
	h := &Host{
		net: n, name: name, addr: fmt.Sprintf("10.77.0.%d", number), mac: [6]byte{2, 0, 0, 0, 0, byte(number)},
		late: make(chan delayed, 4096),
	}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if h.ns, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())); err != nil {
			return err
		}
		if h.tap, err = openTap("eth0"); err != nil {
			return err
		}
		return h.configure()
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[name] = h
	n.order = append(n.order, h)
	return h, err
}

// onThread runs f on a thread of its own, which is not used for anything else after that: its network namespace is another.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// openTap makes a TAP device in the namespace of this thread.
func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("TUNSETIFF: %w", err)
	}
	return os.NewFile(uintptr(fd), "tap "+name), nil
}

// configure brings the interfaces up. This thread is in the host's namespace.
func (h *Host) configure() error {
	return h.ip(
		"link set lo up",
		fmt.Sprintf("link set eth0 address %02x:%02x:%02x:%02x:%02x:%02x", h.mac[0], h.mac[1], h.mac[2], h.mac[3], h.mac[4], h.mac[5]),
		"addr add "+h.addr+"/24 dev eth0",
		"link set eth0 up",
	)
}

func (h *Host) ip(commands ...string) error {
	for _, c := range commands {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", c, err, out)
		}
	}
	return nil
}

// close takes the network down.
func (n *Net) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, h := range n.order {
		h.tap.Close()
		h.ns.Close()
		close(h.late)
	}
}

// Host returns the host of that name.
func (n *Net) Host(name string) *Host { return n.hosts[name] }

// Addr returns the host's IPv4 address.
func (h *Host) Addr() string { return h.addr }

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Start starts a program on the host.
func (h *Host) Start(c *exec.Cmd) error {
	return onThread(func() error {
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return c.Start()
	})
}

// Cut lets nothing more from the host to others, or from others to it, until Heal.
func (h *Host) Cut() { h.set(func() { h.cut = true }) }

// Heal undoes Cut and Impair.
func (h *Host) Heal() { h.set(func() { h.cut, h.loss, h.delay = false, 0, 0 }) }

// Impair loses that share of the frames from and to the host, and holds those to it back for a while.
func (h *Host) Impair(loss float64, delay time.Duration) {
	h.set(func() { h.loss, h.delay = loss, delay })
}

func (h *Host) set(f func()) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	f()
}

// Down takes the host's interface down, and Up brings it up again: as if the cable were pulled on its side.
func (h *Host) Down() error { return h.inside("link set eth0 down") }

// Up undoes Down.
func (h *Host) Up() error { return h.inside("link set eth0 up") }

func (h *Host) inside(command string) error {
	return onThread(func() error {
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return h.ip(command)
	})
}

// pump passes on what the host sends.
func (h *Host) pump() {
	for frame := make([]byte, 65536); ; {
		n, err := h.tap.Read(frame)
		switch {
		case errors.Is(err, unix.EIO): // its interface is down
			time.Sleep(time.Millisecond)
		case err != nil:
			return
		case n >= 14:
			h.pass(frame[:n])
		}
	}
}

// pass hands a frame to whom it is for.
func (h *Host) pass(frame []byte) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, to := range n.order {
		if to == h || frame[0]&1 == 0 && [6]byte(frame[:6]) != to.mac {
			continue
		}
		switch {
		case n.closed, h.cut, to.cut, n.random.Float64() < h.loss, n.random.Float64() < to.loss:
		case h.delay+to.delay == 0:
			_, _ = to.tap.Write(frame) // an interface that is down takes none
		default:
			select {
			case to.late <- delayed{append([]byte(nil), frame...), time.Now().Add(h.delay + to.delay)}:
			default: // as a router does whose queue is full
			}
		}
	}
}

// trickle passes on what was held back.
func (h *Host) trickle() {
	for d := range h.late {
		time.Sleep(time.Until(d.due))
		_, _ = h.tap.Write(d.frame)
	}
}
