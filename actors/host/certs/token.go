package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"unicode"
)

// Why an agent is not admitted. [Tokens.Admit] wraps them.
var (
	ErrTokenUnknown = errors.New("the join token is not known")
	ErrTokenUsed    = errors.New("the join token was used by another agent")
)

// Tokens are the join tokens that a root knows, by their hashes: who reads the file cannot join. Each admits one agent, which may
// come back with it. The file has a line for each token, its SHA-256 in hex, and one for each admission, with the agent after it.
// Lines are only ever added, so that several processes may use the file; a token whose lines are removed is void.
type Tokens struct {
	path string
	mu   sync.Mutex
}

// OpenTokens returns the tokens in a file, which may not exist yet. It returns an error when the file cannot be read, or has a line
// that is none of ours.
func OpenTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if _, err := t.read(); err != nil {
		return nil, err
	}
	return t, nil
}

// New adds a token and returns it: 256 random bits as text, without space. It is nowhere else.
func (t *Tokens) New() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // never fails
	token := "muster_" + base64.RawURLEncoding.EncodeToString(bits[:])
	sum := sha256.Sum256([]byte(token))
	return token, t.add(hex.EncodeToString(sum[:]))
}

// Admit has an agent use a token. The agent is a name without spaces that nobody else can take: that of its certificate. It
// returns [ErrTokenUnknown] or [ErrTokenUsed], or an error of the file: then nobody is admitted.
func (t *Tokens) Admit(token, agent string) error {
	if agent == "" || strings.ContainsFunc(agent, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return fmt.Errorf("certs: %q is no name of an agent", agent)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, err := t.read()
	if err != nil {
		return err
	}
	e := known.find(sha256.Sum256([]byte(strings.TrimSpace(token))))
	if e != nil && e.agent == "" {
		if err := t.add(hex.EncodeToString(e.sum[:]) + " " + agent); err != nil {
			return err
		}
		if known, err = t.read(); err != nil { // another process may have been first
			return err
		}
		e = known.find(e.sum)
	}
	switch {
	case e == nil:
		return fmt.Errorf("certs: agent %s: %w", agent, ErrTokenUnknown)
	case e.agent != agent:
		return fmt.Errorf("certs: agent %s: %w", agent, ErrTokenUsed)
	}
	return nil
}

// A known token, and the agent that it has admitted, "" for none.
type known struct {
	sum   [sha256.Size]byte
	agent string
}

type tokens []*known

// find looks at every token, for the same time at each: how long it takes tells nothing.
func (t tokens) find(sum [sha256.Size]byte) (found *known) {
	for _, k := range t {
		if subtle.ConstantTimeCompare(k.sum[:], sum[:]) == 1 {
			found = k
		}
	}
	return found
}

// read returns what is in the file.
func (t *Tokens) read() (all tokens, err error) {
	text, err := os.ReadFile(t.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("certs: %w", err)
	}
	by := map[[sha256.Size]byte]*known{}
	for n, line := range bytes.SplitAfter(text, []byte("\n")) {
		k, err := parseLine(string(line))
		if err != nil {
			return nil, fmt.Errorf("certs: %s:%d: %w", t.path, n+1, err)
		}
		if k == nil {
			continue
		}
		if first := by[k.sum]; first == nil {
			by[k.sum] = k
			all = append(all, k)
		} else if first.agent == "" { // else somebody was before
			first.agent = k.agent
		}
	}
	return all, nil
}

// parseLine returns nil for a line that says nothing.
func parseLine(line string) (*known, error) {
	words := strings.Fields(line)
	if len(words) == 0 || words[0][0] == '#' {
		return nil, nil
	}
	var k known
	sum, err := hex.DecodeString(words[0])
	if err != nil || len(sum) != len(k.sum) || len(words) > 2 {
		return nil, errors.New("want the SHA-256 of a token in hex, and an agent")
	}
	copy(k.sum[:], sum)
	if len(words) == 2 {
		if k.agent = words[1]; !strings.HasSuffix(line, "\n") {
			return nil, fmt.Errorf("the line has no end, so that agent %q may not be all of its name: end it or remove it", k.agent)
		}
	}
	return &k, nil
}

// add writes a line. It is on the disk before anybody acts on it.
func (t *Tokens) add(line string) (err error) {
	f, err := os.OpenFile(t.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = fmt.Errorf("certs: %w", err)
		}
	}()
	line += "\n"
	if end, err := f.Seek(0, io.SeekEnd); err != nil {
		return err
	} else if last := make([]byte, 1); end > 0 {
		if _, err := f.ReadAt(last, end-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := f.WriteString(line); err != nil {
		return err
	}
	return f.Sync()
}
