package testnet

import (
	"os/exec"
	"testing"
	"time"
)

// TestNet: hosts reach each other, until they are cut off; a host's interface can be down.
func TestNet(t *testing.T) {
	n := New(t, "a", "b")
	a, b := n.Host("a"), n.Host("b")
	reaches := func(timeout string) bool {
		c := exec.Command("python3", "-c", `import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(`+timeout+`)
s.bind(("0.0.0.0", 0))
for i in range(100):
    s.sendto(b"x", ("`+b.Addr()+`", 9999))
    try:
        s.recv(10)
        sys.exit(0)
    except OSError as e:
        pass
sys.exit(1)`)
		if err := a.Start(c); err != nil {
			t.Fatal(err)
		}
		return c.Wait() == nil
	}
	echo := exec.Command("python3", "-c", `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 9999))
while True:
    b, who = s.recvfrom(10)
    try:
        s.sendto(b, who)
    except OSError:
        pass`)
	if err := b.Start(echo); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = echo.Process.Kill()
		_ = echo.Wait()
	}()
	if !reaches("0.2") {
		t.Fatal("a does not reach b")
	}
	b.Impair(0.3, 20*time.Millisecond)
	if !reaches("0.2") {
		t.Error("a does not reach b, which is slow")
	}
	b.Cut()
	if reaches("0.01") {
		t.Error("a reaches b, which is cut off")
	}
	b.Heal()
	if err := b.Down(); err != nil {
		t.Fatal(err)
	}
	if reaches("0.01") {
		t.Error("a reaches b, whose interface is down")
	}
	if err := b.Up(); err != nil {
		t.Fatal(err)
	}
	if !reaches("0.2") {
		t.Error("a does not reach b any more")
	}
}
