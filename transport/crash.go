package transport

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ParseCrash returns what the Go runtime writes when it kills the program as an exception, nil when the text is no
// crash. Type is "panic", "fatal error" or, for the dump that follows a SIGQUIT or SIGABRT, "signal"; Traceback is the
// text, Frames the stack of the goroutine that crashed, and Notes what the runtime adds, such as a faulting address.
//
// The text is what debug.SetCrashOutput captures. The runtime of Go 1.26 writes the line "fatal error: …" to standard
// error only: where it is missing, Message is what the stack tells, which is less and may be nothing. Standard error
// from that line on can be parsed too.
func ParseCrash(text []byte) *Exception {
	valid := strings.ToValidUTF8(string(text), "\uFFFD")
	lines := strings.Split(valid, "\n")
	dump := slices.IndexFunc(lines, beginsStack)
	if dump < 0 {
		dump = len(lines)
	}
	x := crashHead(lines[:dump])
	if x == nil || x.Type == "" && dump == len(lines) {
		return nil
	}
	s := readStack(lines[dump:])
	if x.Type == "" {
		x.Type, x.Message = "fatal error", s.reason()
	}
	x.Frames = s.user
	x.Traceback = strings.Trim(valid, "\n") + "\n"
	x.Limit()
	return x
}

var (
	crashLine     = regexp.MustCompile(`^(panic|fatal error): (.*)$`)
	signalLine    = regexp.MustCompile(`^SIG[A-Z0-9]+: .*$`)
	noteLine      = regexp.MustCompile(`^(runtime: |unexpected fault address |\[signal )`)
	goroutineLine = regexp.MustCompile(`^goroutine (\d+) [^\[]*\[([^\],]*).*\]:$`)
)

const systemStack = "runtime stack:"

func beginsStack(line string) bool { return line == systemStack || goroutineLine.MatchString(line) }

// crashHead reads the lines before the stacks. The exception has no type when none of them says what happened; it is nil
// when they are something else than a crash.
func crashHead(lines []string) *Exception {
	x := &Exception{}
	for _, line := range lines {
		rest, goesOn := strings.CutPrefix(line, "\t")
		switch {
		case line == "":
		case x.Type != "" && goesOn: // the runtime indents all lines of a text but the first
			x.Message += "\n" + rest
		case x.Type != "" || noteLine.MatchString(line):
			x.Notes = append(x.Notes, line)
		case signalLine.MatchString(line):
			x.Type, x.Message = "signal", line
		case crashLine.MatchString(line):
			x.Type, x.Message, _ = strings.Cut(line, ": ")
		default:
			return nil
		}
	}
	return x
}

// A crashedStack is what a dump says about the goroutine that crashed.
type crashedStack struct {
	functions []string // of the runtime's own stack, if it is there, and of the goroutine, innermost first
	user      []Frame  // of the goroutine without the runtime's, outermost first
	asleep    bool     // it was not running
}

// readStack reads a dump up to the end of the first goroutine. Goroutine 0 is the runtime's own stack.
func readStack(lines []string) (s crashedStack) {
	for len(lines) > 0 {
		end := slices.Index(lines, "")
		if end < 0 {
			end = len(lines)
		}
		section := lines[:end]
		lines = lines[min(end+1, len(lines)):]
		frames := stackFrames(section)
		for _, f := range frames {
			s.functions = append(s.functions, f.Function)
		}
		if head := goroutine(section); head != nil && head[1] != "0" {
			s.asleep = head[2] != "running"
			s.user = slices.DeleteFunc(frames, isRuntime)
			slices.Reverse(s.user)
			return s
		}
	}
	return s
}

func goroutine(section []string) []string {
	if len(section) == 0 {
		return nil
	}
	return goroutineLine.FindStringSubmatch(section[0])
}

// stackFrames returns the frames of one stack, innermost first: a line with the call, an indented one with the place.
func stackFrames(lines []string) (frames []Frame) {
	for i := 1; i < len(lines); i++ {
		call := lines[i-1]
		if strings.HasPrefix(call, "created by ") {
			break
		}
		if place, indented := strings.CutPrefix(lines[i], "\t"); indented {
			frames = append(frames, stackFrame(call, place))
		}
	}
	return frames
}

// stackFrame reads "main.(*T).run(0xc000012345, {0x0, ...})" and "/src/main.go:12 +0x1d".
func stackFrame(call, place string) (f Frame) {
	f.Function = call
	if at := strings.LastIndexByte(call, '('); at > 0 {
		f.Function = call[:at]
	}
	f.File = place
	if at := strings.LastIndexByte(place, ':'); at >= 0 {
		digits, _, _ := strings.Cut(place[at+1:], " ")
		f.File = place[:at]
		f.Line, _ = strconv.Atoi(digits)
	}
	return f
}

func isRuntime(f Frame) bool {
	return f.Function == "panic" || strings.HasPrefix(f.Function, "runtime.") ||
		strings.HasPrefix(f.Function, "internal/runtime/")
}

// reason tells from where the runtime gave up why it did, as far as that can be told.
func (s crashedStack) reason() string {
	for _, f := range s.functions {
		if why, known := gaveUp[f]; known {
			return why
		}
	}
	if s.asleep {
		return "all goroutines are asleep - deadlock!"
	}
	return ""
}

var gaveUp = map[string]string{
	"internal/runtime/maps.fatal":  "concurrent map access",
	"internal/sync.fatal":          "unlock of unlocked mutex",
	"sync.fatal":                   "unlock of unlocked mutex",
	"runtime.newstack":             "stack overflow",
	"runtime.sigpanic":             "fault",
	"runtime.(*mcache).allocLarge": "out of memory",
	"runtime.(*mcache).refill":     "out of memory",
	"runtime.sysMapOS":             "out of memory",
}
