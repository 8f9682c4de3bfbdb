package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-muster/muster/actors/process/processtest"
)

// late is the configuration of a host whose clock says that it is in a hundred years: there, ours have expired.
func late(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.Time = func() time.Time { return time.Now().AddDate(100, 0, 0) }
	return c
}

// TestProbe: whatever keeps this host from a peer is told quickly, by its kind, with what to do.
func TestProbe(t *testing.T) {
	processtest.Check(t)
	c, theirs := hosts(t, "a", "b"), hosts(t, "b")
	secured, plain, old := start(t, secure(c[0])), start(t, nil), start(t, secure(late(c[0])))
	liar := theirs[0].Clone()
	liar.RootCAs = c[1].RootCAs
	wide := start(t, func(e *Config) { e.TLS, e.Listen, e.Advertise = c[0], "0.0.0.0:0", "127.0.0.1" })
	closed, deaf := listen(t), listen(t)
	closed.Close()
	web, webTLS := httptest.NewServer(http.NotFoundHandler()), httptest.NewUnstartedServer(http.NotFoundHandler())
	webTLS.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	webTLS.StartTLS()
	t.Cleanup(web.Close)
	t.Cleanup(webTLS.Close)
	_, port, _ := net.SplitHostPort(wide.Address())
	for name, row := range map[string]struct {
		address string
		with    *tls.Config
		reason  Reason
		final   bool
		text    string
	}{
		"well":                    {secured.Address(), c[1], 0, false, "a"},
		"well, both plain":        {plain.Address(), nil, 0, false, ""},
		"nobody":                  {closed.Addr().String(), nil, Absent, false, "is it started"},
		"deaf":                    {deaf.Addr().String(), nil, Silent, false, "says nothing"},
		"deaf to TLS":             {deaf.Addr().String(), c[1], Silent, false, "says nothing"},
		"no such name":            {"no-such-host.invalid:1", c[1], Unreachable, false, "no way to it"},
		"plaintext off loopback":  {"192.0.2.1:1", nil, Unreachable, false, "TLS is required"},
		"TLS to plaintext":        {plain.Address(), c[1], Plaintext, false, "it does not speak TLS: start both with certificates, or both without"},
		"plaintext to TLS":        {secured.Address(), nil, Encrypted, false, "we have no certificate: start both"},
		"of another CA":           {secured.Address(), theirs[0], Foreign, true, `its certificate (of "a") was issued by another CA`},
		"ours is of another CA":   {secured.Address(), liar, Unwanted, true, "does not trust our certificate"},
		"ours has expired":        {old.Address(), c[1], Unwanted, true, "our certificate has expired"},
		"theirs has expired":      {secured.Address(), late(c[1]), Expired, false, "has expired, or is not good yet: renew it"},
		"another name":            {"127.0.0.2:" + port, c[1], Misnamed, false, "127.0.0.1, not 127.0.0.2"},
		"a web server":            {web.Listener.Addr().String(), nil, Stranger, false, "something else"},
		"a web server, with TLS":  {web.Listener.Addr().String(), c[1], Plaintext, false, "does not speak TLS"},
		"a secure web server":     {webTLS.Listener.Addr().String(), c[1], Stranger, false, "something else"},
		"a secure one, plaintext": {webTLS.Listener.Addr().String(), nil, Stranger, false, "breaks off"},
	} {
		t.Run(name, func(t *testing.T) {
			peer, err := Probe(t.Context(), row.address, row.with)
			if row.reason == 0 {
				if err != nil || peer != row.text {
					t.Errorf("%q, %v", peer, err)
				}
				return
			}
			var why *Refusal
			if !errors.As(err, &why) || why.Reason != row.reason || why.Final() != row.final || !strings.Contains(why.Text, row.text) {
				t.Errorf("%v, want reason %d with %q", err, row.reason, row.text)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Probe(ctx, secured.Address(), c[1]); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// listen accepts by the kernel alone, and says nothing.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A page is a log that can be read while it is written.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) count(text string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Count(p.text.String(), text)
}

// TestTurnedAway: who is turned away is told with the reason: each time to the program, once to the log.
func TestTurnedAway(t *testing.T) {
	processtest.Check(t)
	c, theirs := hosts(t, "a", "b"), hosts(t, "b")
	liar := theirs[0].Clone()
	liar.RootCAs = c[1].RootCAs
	for name, row := range map[string]struct {
		ours, theirs *tls.Config
		text         string
	}{
		"plaintext to TLS": {c[0], nil, "it does not speak TLS, and has no certificate"},
		"no certificate":   {c[0], &tls.Config{RootCAs: c[1].RootCAs}, "it has no certificate of our CA"},
		"another CA":       {c[0], theirs[0], "it does not trust our certificate"},
		"of another CA":    {c[0], liar, `its certificate (of \"b\") was issued by another CA than ours`},
		"expired":          {late(c[0]), c[1], `its certificate (of \"b\") has expired`},
		"TLS to plaintext": {nil, c[1], "it speaks TLS, and we have no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			log := &page{}
			n := start(t, func(e *Config) { e.TLS, e.Logger = row.ours, slog.New(slog.NewTextHandler(log, nil)) })
			told := make(chan string, 1000)
			n.TurnedAway(func(host string, why *Refusal) { told <- host + " " + why.Text })
			for range 3 {
				s := connect(t, n.Address(), row.theirs)
				_ = s.say(t, to("box", wrapperspb.Bytes(nil), nil))
				want := strings.ReplaceAll(row.text, `\"`, `"`)
				select {
				case got := <-told:
					if !strings.HasPrefix(got, "127.0.0.1 ") || !strings.Contains(got, want) {
						t.Errorf("told %s, want %s", got, want)
					}
				case <-s.ctx.Done():
					t.Fatal("nothing is told")
				}
			}
			if log.count("turned away") != 1 || log.count(row.text) != 1 {
				t.Errorf("the log: %s", log.text.String())
			}
		})
	}
}

// TestNews: the log has a line for each peer and reason in ten minutes, and no more than so many.
func TestNews(t *testing.T) {
	a := newAdmission(insecure.NewCredentials(), quiet())
	now := time.Now()
	a.now = func() time.Time { return now }
	for i := range 2 * maxRemembered {
		if first := a.news(turned{fmt.Sprint(i), Foreign}); first != (i < maxRemembered) || a.news(turned{fmt.Sprint(i), Foreign}) {
			t.Fatalf("peer %d: %v", i, first)
		}
	}
	now = now.Add(rememberTime + 1)
	if !a.news(turned{"0", Foreign}) || !a.news(turned{"0", Unwanted}) || a.news(turned{"0", Foreign}) {
		t.Error("after ten minutes it is told again, once for each reason")
	}
}
