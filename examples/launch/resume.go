package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-muster/muster/examples/launch/internal/runs"
	"github.com/go-muster/muster/supervisor"
)

const resumeHelp = `Go on with a group whose launch died, from the journal that --journal wrote: it is started again by
the same command line, in the same directory, as its next generation. Flags win over those of then.
Its ranks are dead: a watchdog has ended them with their launch, on other hosts their agents have,
which join again. Restarts are counted anew, and the journal goes on in a file of its own.`

// An origin is the command line of a run, as its journal has it.
type origin struct {
	Dir   string      `json:"dir"`
	File  string      `json:"file,omitempty"` // of launch up
	Flags [][2]string `json:"flags,omitempty"`
	Args  []string    `json:"args,omitempty"`
}

func newOrigin(file string, given []setting, args []string) *origin {
	o := &origin{File: file, Args: args}
	o.Dir, _ = os.Getwd()
	for _, s := range given {
		o.Flags = append(o.Flags, [2]string{s.name, s.text})
	}
	return o
}

// note is what is written into the journal.
func (o *origin) note() json.RawMessage {
	if o == nil {
		return nil
	}
	text, _ := json.Marshal(map[string]*origin{"launch": o}) // it is text
	return text
}

// A continued run has its name, and goes on with a generation.
type continued struct {
	run   string
	first int
}

// resumeCommand is launch resume JOURNAL. A program of that name is run by launch -- resume.
func resumeCommand(code *int, stdout, stderr io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:     "resume JOURNAL",
		Short:   "Go on with a group whose launch died",
		Long:    resumeHelp,
		Example: "  launch resume run.jsonl\n  launch resume run.jsonl --max-restarts 5 --listen 10.0.0.2:7070",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) != 1 {
				return usage("resume: give one journal, as in launch resume run.jsonl: the command is in it")
			}
			*code, err = f.resume(cmd.Flags(), args[0], stdout, stderr)
			return f.traced(err)
		},
		ValidArgsFunction: cobra.FixedCompletions([]cobra.Completion{"jsonl"}, cobra.ShellCompDirectiveFilterFileExt),
	}
	cmd.Flags().SetNormalizeFunc(normalize)
	cmd.Flags().SortFlags = false
	for _, s := range f.sections() {
		s.VisitAll(func(flag *pflag.Flag) {
			if !slices.Contains([]string{"help", "help-all", "version", "explain"}, flag.Name) {
				cmd.Flags().AddFlag(flag)
			}
		})
	}
	complete(cmd)
	return cmd
}

// resume runs the group of a journal as its next generation, and returns the exit status.
func (f *flags) resume(set *pflag.FlagSet, path string, stdout, stderr io.Writer) (int, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	j, o, err := openResumed(path)
	if err != nil {
		return 0, err
	}
	if err := f.again(set, o); err != nil {
		return 0, err
	}
	last, lives := j.Last()
	f.continued = continued{j.Run, last + 1}
	if same, _ := filepath.Abs(f.journal); same == path {
		f.journal = nextJournal(path, last+1)
	}
	for _, line := range append(lastStand(j, last, lives), "goes on as generation "+fmt.Sprint(last+1)+f.journalNote()) {
		fmt.Fprintln(stderr, "launch:", line)
	}
	if o.File != "" {
		return f.up(o.File, given(f, set), stdout, stderr)
	}
	f.origin = newOrigin("", given(f, set), o.Args)
	return launch(f, o.Args, stdout, stderr)
}

func (f *flags) journalNote() string {
	if f.journal == "" {
		return ""
	}
	return ", with its journal in " + f.journal
}

// openResumed reads a journal that can be gone on from.
func openResumed(path string) (supervisor.Journal, *origin, error) {
	file, err := os.Open(path)
	if err != nil {
		return supervisor.Journal{}, nil, usage("resume %s: cannot be read: %w", path, reason(err))
	}
	defer file.Close()
	j, err := supervisor.ReadJournal(file)
	if err != nil {
		return j, nil, usage("resume %s: give a file that --journal wrote: %w", path, err)
	}
	var note struct {
		Launch *origin `json:"launch"`
	}
	if json.Unmarshal(j.Note, &note) != nil || note.Launch == nil {
		return j, nil, usage("resume %s: it has no command line: it is of another program, or of an older launch", path)
	}
	if ended, err := j.End(); ended && err == nil {
		return j, nil, usage("resume %s: its group has ended well: there is nothing to go on with", path)
	}
	all, _ := runs.List()
	if i := slices.IndexFunc(all, func(r runs.Run) bool { return r.Run == j.Run }); i >= 0 {
		return j, nil, usage("resume %s: its group is still running, see launch ps: launch stop %s ends it", path, j.Run)
	}
	return j, note.Launch, nil
}

// again sets the flags of then, unless they are given now, and goes to the directory of then: paths are of it.
func (f *flags) again(set *pflag.FlagSet, o *origin) error {
	f.perNode(set, many(set))
	now := map[string]bool{}
	set.Visit(func(flag *pflag.Flag) { now[flag.Name] = true })
	for _, then := range o.Flags {
		flag := set.Lookup(then[0])
		if flag == nil || now[then[0]] {
			continue
		}
		if err := set.Set(then[0], then[1]); err != nil {
			return usage("resume: --%s %q, as the run had it: %w", then[0], then[1], err)
		}
	}
	if here, _ := os.Getwd(); o.Dir != "" && o.Dir != here {
		if err := os.Chdir(o.Dir); err != nil {
			return usage("resume: the directory of the run: %w", err)
		}
	}
	return nil
}

var resumed = regexp.MustCompile(`\.from-\d+$`)

// nextJournal names a journal beside the one that is gone on from.
func nextJournal(path string, generation int) string {
	ending := filepath.Ext(path)
	base := resumed.ReplaceAllString(strings.TrimSuffix(path, ending), "")
	return fmt.Sprintf("%s.from-%d%s", base, generation, ending)
}

// lastStand says what was running where.
func lastStand(j supervisor.Journal, last int, lives []supervisor.LastLife) (lines []string) {
	lines = append(lines, fmt.Sprintf("run %s, %s, of launch (pid %d) on %s", j.Run, j.Name, j.PID, j.Host))
	var where fold
	for _, l := range lives {
		switch {
		case l.Ended:
			where.add(l.ID.Rank, "had ended")
		case l.PID == 0:
			where.add(l.ID.Rank, "starting") // it may be running: its output can be faster than the news of it
		case l.Host != "":
			where.add(l.ID.Rank, "on "+l.Host)
		default:
			where.add(l.ID.Rank, "running")
		}
	}
	if text := where.text(" "); text != "" {
		lines = append(lines, fmt.Sprintf("generation %d: %s", last, text))
	}
	return lines
}
