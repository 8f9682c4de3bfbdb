package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-muster/muster/transport"
)

// envErrorFile names the file to which programs written for torchelastic write what their main raised.
const envErrorFile = "TORCHELASTIC_ERROR_FILE"

const (
	maxReport  = 1 << 20 // bytes of an error file that are read as a report
	reportHead = 1 << 10 // bytes that are shown of one that cannot be read
)

// A report is what a process, or a child of it, writes to its error file. Only the file's reader writes it, and it is asked
// for after the end of that.
type report struct {
	text []byte
	more bool // there was more than maxReport
}

func (r *report) Write(b []byte) {
	n := min(len(b), maxReport-len(r.text))
	r.text = append(r.text, b[:n]...)
	r.more = r.more || n < len(b)
}

// exception returns the last report that can be read: a file would have kept the last one, too. Where there is none, it says
// what was written instead; nil and "" mean that nothing was.
func (r *report) exception() (x *transport.Exception, unread string) {
	if len(bytes.TrimSpace(r.text)) == 0 {
		return nil, ""
	}
	err := errors.New("longer than 1 MiB")
	if !r.more {
		if x, err = lastReport(r.text); x != nil {
			return x, ""
		}
	}
	head := bytes.ToValidUTF8(r.text[:min(len(r.text), reportHead)], []byte("\uFFFD"))
	return nil, fmt.Sprintf("unparseable report (%v): %q", err, head)
}

func lastReport(text []byte) (last *transport.Exception, err error) {
	for documents := json.NewDecoder(bytes.NewReader(text)); ; {
		var d reportDocument
		if err = documents.Decode(&d); err != nil {
			if err == io.EOF && last == nil {
				err = errors.New("no message in it")
			}
			return last, err
		}
		if x := d.exception(); x != nil {
			last = x
		}
	}
}

// A reportDocument is what torch.distributed.elastic writes: a message with details, or a mere text beside its time.
type reportDocument struct {
	Message   reportMessage `json:"message"`
	Timestamp reportTime    `json:"timestamp"`
}

type reportMessage struct {
	Message string `json:"message"`
	Extra   struct {
		Callstack string     `json:"py_callstack"`
		Timestamp reportTime `json:"timestamp"`
	} `json:"extraInfo"`
}

// UnmarshalJSON reads the object, or the mere text.
func (m *reportMessage) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		return json.Unmarshal(b, &m.Message)
	}
	type object reportMessage
	return json.Unmarshal(b, (*object)(m))
}

// A reportTime is in seconds since 1970, 0 when it is not known.
type reportTime int64

// UnmarshalJSON reads a number or a text of digits. A time is information only: one that makes no sense is not known.
func (t *reportTime) UnmarshalJSON(b []byte) error {
	seconds, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err == nil && 0 < seconds && seconds < math.MaxInt64/float64(time.Second) {
		*t = reportTime(seconds)
	}
	return nil
}

// raisedLine is "ValueError: no learning rate" or, of an exception without a text, "KeyError: ".
var raisedLine = regexp.MustCompile(`^([\pL_][\pL\pN_.]*): ?((?s).*)$`)

// exception returns nil for a document without a message.
func (d reportDocument) exception() *transport.Exception {
	m := d.Message
	if m.Message == "" {
		return nil
	}
	x := &transport.Exception{
		Message: m.Message, Traceback: m.Extra.Callstack, Time: int64(max(d.Timestamp, m.Extra.Timestamp)) * int64(time.Second),
	}
	if parts := raisedLine.FindStringSubmatch(m.Message); parts != nil {
		x.Type, x.Message = parts[1], parts[2]
	}
	x.Limit()
	return x
}

// wantsErrorFile reports whether a command is to have an error file of ours: whoever names one, or wants none, has that. One
// of another user could not open it.
func (c Command) wantsErrorFile() bool {
	set := slices.ContainsFunc(c.Env, func(kv string) bool { return names(kv, []string{envErrorFile}) })
	return c.ErrorFile && !set && !slices.Contains(c.Unset, envErrorFile) && c.User == nil && c.Group == nil
}
