package runs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// patience is how long the other end may take to ask, or to answer at all.
	patience = 5 * time.Second
	// lastWords is how long the end of a launch waits for those who read its last output.
	lastWords = 2 * time.Second
	// mostClients are served at a time.
	mostClients = 64
)

// A Backend is what a running group can be asked for.
type Backend struct {
	Board *Board
	Shelf *Shelf
	// Stop asks the group to end, or kills it; by names who wants it.
	Stop func(by string, kill bool)
	// Restart starts ranks again, all for none.
	Restart func(by string, ranks []int) error
	// Dump returns the stacks of a rank.
	Dump func(ctx context.Context, rank int) (string, error)
}

// A Server answers for one group. Nil answers nobody.
type Server struct {
	directory *directory
	listener  *net.UnixListener
	backend   Backend
	context   context.Context // ends with the server
	cancel    context.CancelFunc
	clients   chan struct{} // one for each that is served
	wait      sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// Serve makes the directory of a run and answers in it until Close. It returns [ErrRoot] when the directory of runs is not
// this user's alone, [ErrUnsupported], or the system's error.
func Serve(info Info, b Backend) (*Server, error) {
	d, l, err := makeDirectory(info)
	if err != nil {
		return nil, err
	}
	s := &Server{
		directory: d, listener: l, backend: b, clients: make(chan struct{}, mostClients), conns: map[net.Conn]bool{},
	}
	s.context, s.cancel = context.WithCancel(context.Background())
	s.wait.Go(s.accept)
	return s, nil
}

func (s *Server) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptor is left, say: let others end first
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.context.Done():
			}
			continue
		}
		select {
		case s.clients <- struct{}{}:
			s.hold(c)
			s.wait.Go(func() {
				defer func() { s.drop(c); <-s.clients }()
				s.serve(c)
			})
		default:
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_ = writeLine(c, answer{Error: fmt.Sprintf("%d others are asking: try again", mostClients)})
			c.Close()
		}
	}
}

func (s *Server) hold(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = true
}

func (s *Server) drop(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	c.Close()
}

// serve reads one request and answers it.
func (s *Server) serve(c *net.UnixConn) {
	uid, pid, err := peer(c)
	if err != nil {
		return
	}
	if uid != os.Geteuid() && uid != 0 {
		_ = writeLine(c, answer{Error: fmt.Sprintf("this is user %d's group, and you are user %d", os.Geteuid(), uid)})
		return
	}
	var q request
	_ = c.SetReadDeadline(time.Now().Add(patience))
	in := bufio.NewReader(c)
	if err := readLine(in, maxRequest, &q); err == nil {
		err = q.check()
		if err == nil {
			_ = c.SetReadDeadline(time.Time{})
			err = s.reply(c, in, q, fmt.Sprintf("launch %s by pid %d, user %d", q.Op, pid, uid))
		}
		if err != nil {
			_ = writeLine(c, answer{Error: err.Error()})
			return
		}
		_ = writeLine(c, answer{End: true})
	} else if !errors.Is(err, os.ErrDeadlineExceeded) {
		_ = writeLine(c, answer{Error: "no request: " + err.Error()})
	}
}

func (s *Server) reply(c net.Conn, in *bufio.Reader, q request, by string) error {
	switch q.Op {
	case opLogs:
		return s.logs(c, in, q)
	case opStop:
		s.backend.Stop(by, q.Kill)
		if err := writeLine(c, answer{Text: "stopping"}); err != nil {
			return err
		}
		<-s.context.Done() // nothing of the group is left then
		return nil
	case opRestart:
		return s.backend.Restart(by, q.Ranks)
	case opDump:
		ctx, cancel := s.whileThere(in)
		defer cancel()
		text, err := s.backend.Dump(ctx, q.Ranks[0])
		if err != nil {
			return err
		}
		return writeLine(c, answer{Text: text})
	}
	status := s.backend.Board.Status()
	return writeLine(c, answer{Status: &status})
}

func (s *Server) logs(c net.Conn, in *bufio.Reader, q request) error {
	size := s.backend.Board.Status().Size
	for _, rank := range q.Ranks {
		if rank >= size {
			return fmt.Errorf("there is no rank %d: the last one is %d", rank, size-1)
		}
	}
	ctx, cancel := s.whileThere(in)
	defer cancel()
	return s.backend.Shelf.Read(ctx, q.Ranks, q.Follow, func(p Piece) error { return writeLine(c, answer{Piece: &p}) })
}

// whileThere returns a context that ends when the client goes. A client says nothing after its request.
func (s *Server) whileThere(in *bufio.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	s.wait.Go(func() { // ends with the connection
		defer cancel()
		_, _ = in.ReadByte()
	})
	return ctx, cancel
}

// Close says goodbye: who follows the output gets the rest of it, and then nothing is left of the directory. It may be called
// more than once.
func (s *Server) Close() {
	if s == nil {
		return
	}
	s.Leave()
	s.backend.Shelf.End()
	s.cancel()
	late := time.AfterFunc(lastWords, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.Close()
		}
	})
	defer late.Stop()
	s.wait.Wait()
}

// Leave removes the directory and waits for nobody: for the way out on which there is no time.
func (s *Server) Leave() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener.Close()
	if s.directory != nil {
		s.directory.remove()
		s.directory = nil
	}
}
