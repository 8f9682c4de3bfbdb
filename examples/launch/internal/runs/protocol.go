package runs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	maxRequest = 1 << 20  // bytes: a list of all ranks fits
	maxAnswer  = 32 << 20 // bytes: the status of all ranks does
	maxPiece   = 64 << 10 // bytes of output in one answer
)

// The operations of a request.
const (
	opStatus  = "status"
	opLogs    = "logs"
	opStop    = "stop"
	opRestart = "restart"
	opDump    = "dump"
)

// A request is what a client asks for. There is one for each connection.
type request struct {
	Op     string `json:"op"`
	Ranks  []int  `json:"ranks,omitempty"` // empty for all
	Follow bool   `json:"follow,omitempty"`
	Kill   bool   `json:"kill,omitempty"`
}

// An answer is a piece of the reply; the last one has End, or an Error.
type answer struct {
	Status *Status `json:"status,omitempty"`
	Piece  *Piece  `json:"piece,omitempty"`
	Text   string  `json:"text,omitempty"`
	Error  string  `json:"error,omitempty"`
	End    bool    `json:"end,omitempty"`
}

// Info is what a launch says about itself at its start.
type Info struct {
	Run     string    `json:"run"`
	Name    string    `json:"name"`
	PID     int       `json:"pid"`
	Start   time.Time `json:"start"`
	Command []string  `json:"command"`
	LogDir  string    `json:"log_dir,omitempty"`
}

// A Status is what is known of a group at one moment.
type Status struct {
	Info
	State      string   `json:"state"` // starting, running, stopping, waiting or done
	Size       int      `json:"ranks"`
	Generation int      `json:"generation"`
	Restarts   int      `json:"restarts"`
	Uptime     float64  `json:"uptime_s"`
	Members    []Member `json:"members,omitempty"`
}

// A Member is a rank in a Status.
type Member struct {
	Rank       int     `json:"rank"`
	Role       string  `json:"role,omitempty"` // such as trainer/1
	State      string  `json:"state"`          // starting, started, ready, running (with the group), hung, stopping, failed, stopped, succeeded or removed
	Generation int     `json:"generation"`
	Restarts   int     `json:"restarts"`
	PID        int     `json:"pid"`
	Host       string  `json:"host,omitempty"` // where, on one of several
	Uptime     float64 `json:"uptime_s"`       // of its process; 0 when there is none
}

// A Piece is output of one rank: whole lines, the last one possibly without its newline.
type Piece struct {
	Rank       int    `json:"rank"`
	Generation int    `json:"generation"`
	Stream     string `json:"stream,omitempty"`
	Text       []byte `json:"text,omitempty"`
	Missed     int    `json:"missed,omitempty"` // bytes that are not kept, in place of Text
}

// errTooLong is a line that nobody of ours would write.
var errTooLong = errors.New("a line is too long")

// readLine reads one line of JSON, of at most so many bytes.
func readLine(r *bufio.Reader, most int, into any) error {
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case len(line) > most:
			return errTooLong
		case err == nil:
			return json.Unmarshal(line, into)
		case !errors.Is(err, bufio.ErrBufferFull):
			if err == io.EOF && len(line) > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// writeLine writes one line of JSON.
func writeLine(w io.Writer, from any) error {
	line, err := json.Marshal(from)
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	return err
}

// check finds what makes no sense in a request.
func (q *request) check() error {
	switch q.Op {
	case opStatus, opLogs, opStop, opRestart, opDump:
	default:
		return fmt.Errorf("this launch knows no %q: it is of another version", q.Op)
	}
	for _, rank := range q.Ranks {
		if rank < 0 {
			return fmt.Errorf("there is no rank %d", rank)
		}
	}
	if q.Op == opDump && len(q.Ranks) != 1 {
		return errors.New("a dump is of one rank")
	}
	return nil
}
