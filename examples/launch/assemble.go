package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/token"
	"github.com/spf13/pflag"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/internal/yamlfile"
	"github.com/go-muster/muster/supervisor"
)

// An assembly makes a group of a file and of what the command line says, which wins.
type assembly struct {
	*groupFile
	given  []setting // on the command line, or by variables
	run    string
	ranks  []process.Command
	runs   [][]string // what each rank runs, as it was given
	what   []string   // for a dry run: each role in a line
	where  hosts      // it runs on
	fixed  bool       // somebody has said how many ranks there are
	wrong  error      // what is wrong with the command line itself
	blamed []string   // settings that are wrong, and left out
	others error      // what is wrong with files that this one names
}

// assemble returns the spec of a file's group, and the flags that say how it is shown. Everything that is wrong with the
// file is in one error.
func (g *groupFile) assemble(given []setting) (*flags, supervisor.Spec, []string, error) {
	a := &assembly{groupFile: g, given: given, run: cmp.Or(g.run, newRunID())}
	a.where = a.hosts()
	var spec supervisor.Spec
	f := new(flags)
	if a.addRoles(); len(a.ranks) > 0 {
		f = a.settle(a.settings, func(s setting) bool { return !slices.Contains(ofRanks, s.name) }, a.variables(), nil,
			func(f *flags) (err error) { spec, err = a.spec(f); return err })
	}
	a.readEnd(&spec)
	if g.Problems() == 0 && a.wrong == nil {
		a.check(f, &spec)
	}
	if err := errors.Join(g.Err(), a.others); err != nil {
		return nil, spec, nil, &fileError{error: usage("%w", err)}
	}
	f.programs = a.runs
	return f, spec, a.what, a.wrong
}

// A fileError is what is wrong with a file, a line each.
type fileError struct {
	error
	flag string // that names the file; "" for a group's own
}

func (e *fileError) Unwrap() error { return e.error }

// variables are those of the whole group.
func (a *assembly) variables() variables {
	dir, err := filepath.Abs(filepath.Dir(a.path))
	if err != nil {
		dir = filepath.Dir(a.path)
	}
	return variables{"world_size": strconv.Itoa(len(a.ranks)), "run_id": a.run, "dir": dir}
}

// addRoles adds the ranks of each role, one role after the other. How many there are has to be known before any can be told
// the world size.
func (a *assembly) addRoles() {
	sizes := make([]int, len(a.roles))
	for i, r := range a.roles {
		sizes[i] = a.size(r)
		a.ranks = append(a.ranks, make([]process.Command, min(sizes[i], maxRanks))...)
		a.runs = append(a.runs, make([][]string, min(sizes[i], maxRanks))...)
	}
	if len(a.ranks) > maxRanks {
		a.Complain(a.roles[0].ranks.at, "ranks: %d are more than %d", len(a.ranks), maxRanks)
	}
	first := 0
	for i, r := range a.roles {
		a.addRole(r, first, sizes[i])
		first += sizes[i]
	}
}

// size is the number of a role's ranks: that of its commands where each rank has one.
func (a *assembly) size(r *role) int {
	text, at := r.ranks.text, r.ranks.at
	given := slices.IndexFunc(a.given, func(s setting) bool { return s.name == "ranks" })
	switch {
	case given >= 0 && a.named:
		a.wrong = usage("--ranks %s: the roles of %s say how many ranks they have", a.given[given].text, a.path)
	case given >= 0:
		text, at = a.given[given].text, nil
	case r.each && at == nil:
		text = strconv.Itoa(len(r.commands))
	}
	a.fixed = given >= 0 || at != nil || a.named || r.each
	n, err := a.countRanks(text, a.fixed)
	switch {
	case err != nil && at == nil && given >= 0:
		a.wrong = err
	case err != nil:
		a.Complain(at, "%s", plainText(err))
	case r.each && n != len(r.commands):
		a.Complain(r.commands[0].at, "commands: there are %d for %d ranks: write one for each, or leave ranks out", len(r.commands), n)
	}
	return n
}

// countRanks reads a number of ranks; where it is wrong there is one, so that the rest can be looked at. On many hosts there are as
// many as they take, unless somebody has said how many.
func (a *assembly) countRanks(text string, said bool) (int, error) {
	text, err := variables{"run_id": a.run}.expand(text)
	switch {
	case err != nil:
		return 1, fmt.Errorf("ranks: %w", err)
	case !a.where.on() || a.named:
	case said:
		n, err := a.where.size(text)
		return max(1, n), err
	default:
		n, _ := a.where.size("") // what is wrong is told of with the flags
		return max(1, n), nil
	}
	n, err := worldSize(text, supervisor.GPUs{})
	return max(1, n), err
}

// addRole fills in the commands of a role's ranks. Ranks that are told nothing of their own share what was found out about
// the first.
func (a *assembly) addRole(r *role, first, size int) {
	settings := slices.Concat(a.settings, r.settings)
	own := r.each || slices.ContainsFunc(settings, func(s setting) bool { return differs(s.text) }) ||
		slices.ContainsFunc(r.commands, func(w words) bool { return slices.ContainsFunc(w.args, differs) })
	before := a.Problems()
	for i := range size {
		rank := first + i
		if i > 0 && !own {
			a.ranks[rank], a.runs[rank] = a.ranks[first], a.runs[first]
			continue
		}
		if a.addRank(r, settings, rank, i, size); a.Problems() > before {
			return // the other ranks have the same
		}
	}
	a.describe(r, first, size)
}

func (a *assembly) addRank(r *role, settings []setting, rank, roleRank, size int) {
	v := a.variables()
	v["rank"], v["local_rank"], v["role"] = strconv.Itoa(rank), strconv.Itoa(rank), r.name
	v["role_rank"], v["role_world_size"] = strconv.Itoa(roleRank), strconv.Itoa(size)
	if a.where.on() {
		delete(v, "local_rank") // it is known when a host has joined
	}
	w, args := a.words(r, roleRank, v)
	var c process.Command
	ofRank := func(s setting) bool { return slices.Contains(ofRanks, s.name) || s.name == "role" }
	f := a.settle(settings, ofRank, v, w.at, func(f *flags) (err error) {
		if c, err = f.command(args); err == nil {
			if a.named {
				c.Role = r.name
			}
			err = f.checker().Check(c)
		}
		return err
	})
	if a.named && f.role != "" && a.wrong == nil {
		a.wrong = usage("--role %s: the roles of %s have names", f.role, a.path)
	}
	if program, err := f.program(args); err == nil {
		args = program
	}
	a.ranks[rank], a.runs[rank] = c, args
}

// words is what a rank runs. Where that is wrong something else stands for it, so that the rest can be looked at.
func (a *assembly) words(r *role, roleRank int, v variables) (w words, args []string) {
	switch {
	case r.each && roleRank < len(r.commands):
		w = r.commands[roleRank]
	case len(r.commands) > 0:
		w = r.commands[0]
	default:
		return words{}, []string{"sh"}
	}
	for _, arg := range w.args {
		text, err := v.expand(arg)
		if err != nil {
			a.Complain(w.at, "command: %s", plainText(err))
			return w, []string{"sh"}
		}
		args = append(args, text)
	}
	return w, args
}

// describe says in lines what a role's ranks run, neighbours that run the same in one.
func (a *assembly) describe(r *role, first, size int) {
	for begin, end := first, first; begin < first+size; begin = end {
		for end = begin + 1; end < first+size && slices.Equal(a.runs[end], a.runs[begin]); end++ {
		}
		a.what = append(a.what, fmt.Sprintf("%-12s %s: %v", cmp.Or(r.name, "command"), rankList(span(begin, end-begin)),
			process.Command{Args: a.runs[begin]}))
	}
}

// settle makes flags of settings and asks whether they are right; then again without the one that is to blame, until there
// is nothing to complain about: one mistake is not to hide another. What no setting is to blame for is told of a place.
func (a *assembly) settle(settings []setting, which func(setting) bool, v variables, at *token.Position, ask func(*flags) error) *flags {
	var left []setting
	for _, s := range append(slices.Clip(settings), a.given...) {
		if which(s) && s.name != "ranks" {
			left = append(left, s)
		}
	}
	left = slices.DeleteFunc(left, func(s setting) bool { return a.wrong != nil && s.at == nil })
	for {
		f := new(flags)
		left = a.set(f, left, v)
		err := ask(f)
		if err == nil {
			return f
		}
		guilty := guiltyOf(left, err)
		var other *fileError
		switch {
		case guilty >= 0 && left[guilty].at != nil && errors.As(err, &other):
			a.others = errors.Join(a.others, err)
		case guilty < 0:
			a.Complain(at, "%s", plainText(err))
			return f
		case left[guilty].at == nil:
			if a.wrong == nil {
				a.wrong = err
			}
		case !a.follows(err, left[guilty].name):
			a.Complain(left[guilty].at, "%s", plainText(err))
		}
		a.blamed = append(a.blamed, left[guilty].name)
		left = slices.Delete(left, guilty, guilty+1)
	}
}

// set sets flags, and leaves out what cannot be set, which it complains about.
func (a *assembly) set(f *flags, settings []setting, v variables) (good []setting) {
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.SetNormalizeFunc(normalize)
	for _, s := range f.sections() {
		set.AddFlagSet(s.FlagSet)
	}
	f.inline, f.away, f.fixed = a.inline, a.where.on(), a.fixed
	for _, s := range settings {
		text, err := s.text, error(nil)
		if s.at != nil {
			text, err = v.expand(s.text)
		}
		if err == nil && set.Set(s.name, text) != nil {
			err = wrongValue(set.Lookup(s.name), text)
		}
		if err != nil {
			a.blamed = append(a.blamed, s.name)
			a.Complain(s.at, "%s: %s", s.name, plainText(err))
			continue
		}
		good = append(good, setting{s.name, text, s.at})
	}
	return good
}

// wrongValue says what a flag's value has to look like.
func wrongValue(flag *pflag.Flag, text string) error {
	switch flag.Value.Type() {
	case "duration":
		return fmt.Errorf("%q: write a time with its unit, such as 500ms, 30s or 1h", text)
	case "bool":
		return fmt.Errorf("%q is neither true nor false", text)
	}
	return fmt.Errorf("%q: write a whole number", text)
}

var flagName = regexp.MustCompile(`--([a-z][a-z-]*)`)

// guiltyOf is the setting that an error begins with, the last of its name; of a flag that may be repeated the one that is quoted. It
// is -1 for none.
func guiltyOf(settings []setting, err error) int {
	if file, is := errors.AsType[*fileError](err); is {
		return lastOf(settings, file.flag)
	}
	name, guilty := flagName.FindStringSubmatch(err.Error()), -1
	if name == nil || !strings.HasPrefix(err.Error(), name[0]) {
		return signedBy(settings, err)
	}
	for i, s := range settings {
		if s.name == name[1] && (guilty < 0 || strings.Contains(err.Error(), strconv.Quote(s.text)) || s.at == nil) {
			guilty = i
		}
	}
	if guilty < 0 && len(settings) > 0 { // what is wrong is that it was not given: blame who needs it
		guilty = slices.IndexFunc(settings, func(s setting) bool { return strings.Contains(err.Error(), "--"+s.name) })
	}
	return guilty
}

func lastOf(settings []setting, name string) (last int) {
	last = -1
	for i, s := range settings {
		if s.name == name {
			last = i
		}
	}
	return last
}

// follows reports whether an error is about a setting that is missing because it was wrong itself.
func (a *assembly) follows(err error, guilty string) bool {
	return slices.ContainsFunc(flagName.FindAllStringSubmatch(err.Error(), -1), func(name []string) bool {
		return name[1] != guilty && slices.Contains(a.blamed, name[1])
	})
}

// plainText is an error in the words of the file, where flags are keys.
func plainText(err error) string {
	return flagName.ReplaceAllStringFunc(oneLine(err), func(name string) string {
		if slices.ContainsFunc(everyFlag(), func(f *pflag.Flag) bool { return "--"+f.Name == name }) {
			return name[len("--"):]
		}
		return name // of another program
	})
}

// spec is what a group's flags say of it.
func (a *assembly) spec(f *flags) (supervisor.Spec, error) {
	spec, err := f.group(slices.Clone(a.ranks), a.groupName())
	if err != nil {
		return spec, err
	}
	spec.RunID = a.run
	if _, err := newConsole(f, len(spec.Ranks), io.Discard, io.Discard); err != nil {
		return spec, err
	}
	if _, err := f.torchrun.routes(len(spec.Ranks)); err != nil {
		return spec, err
	}
	if f.report != "" {
		if err := checkReport(f.report); err != nil {
			return spec, err
		}
	}
	_, err = f.launcher()
	return spec, err
}

// check adds what has no flag, and finds what is wrong with the group as a whole.
func (a *assembly) check(f *flags, spec *supervisor.Spec) {
	first := 0
	for _, r := range a.roles {
		size := a.size(r)
		for rank := first; rank < first+size; rank++ {
			spec.RestartTypes = append(spec.RestartTypes, r.restart)
			if r.significant {
				spec.Significant = append(spec.Significant, rank)
			}
		}
		first += size
	}
	if len(spec.Significant) > 0 && spec.AutoShutdown == supervisor.Never {
		spec.AutoShutdown = supervisor.AnySignificant
	}
	if err := spec.Check(f.checker()); err != nil && a.Problems() == 0 {
		a.Complain(a.placeOf(err), "%s", plainText(err))
	}
}

// signs are what the errors of other packages say, and the keys that they are about.
var signs = []struct{ text, key string }{
	{"the role", "role"}, {"GPUs", "gpus"}, {"Success", "success"}, {"bounds of", "memory"}, {"bounds of", "pids"}, {"standard input", "stdin"},
	{"limit", "limit"}, {"nice", "nice"}, {"oom_score_adj", "oom-score-adj"}, {"cpu", "bind"}, {"user", "user"},
}

// signedBy is the setting that another package's error is about, -1 for none.
func signedBy(settings []setting, err error) int {
	for _, sign := range signs {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.name == sign.key })
		if i >= 0 && strings.Contains(err.Error(), sign.text) {
			return i
		}
	}
	return -1
}

// placeOf is where the key stands that an error of the whole group is about.
func (a *assembly) placeOf(err error) *token.Position {
	settings := a.settings
	for _, r := range a.roles {
		settings = append(slices.Clip(settings), r.settings...)
	}
	if i := signedBy(settings, err); i >= 0 {
		return settings[i].at
	}
	if a.end.shutdown.at != nil {
		return a.end.shutdown.at
	}
	return a.end.significant.at
}

// readEnd reads whose end ends the group.
func (a *assembly) readEnd(spec *supervisor.Spec) {
	if s := a.end.significant; s.at != nil {
		ranks, ok := parseSet(s.text)
		if !ok {
			a.Complain(s.at, "significant %q: write ranks and ranges, such as 0,3-5", s.text)
		}
		spec.Significant = ranks
	}
	switch s := a.end.shutdown; s.text {
	case "":
	case "any":
		spec.AutoShutdown = supervisor.AnySignificant
	case "all":
		spec.AutoShutdown = supervisor.AllSignificant
	default:
		a.Complain(s.at, "shutdown %q: write any or all: whether the end of one significant rank ends the group", s.text)
	}
}

var restarts = []string{"transient", "permanent", "temporary"} // as supervisor.RestartType counts

func parseRestart(text string) (supervisor.RestartType, error) {
	if i := slices.Index(restarts, text); i >= 0 {
		return supervisor.RestartType(i), nil
	}
	return 0, fmt.Errorf("%q: choose one of %s", text, strings.Join(restarts, ", "))
}

func parseYes(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, fmt.Errorf("%q is neither true nor false", text)
	}
	return text == "true", nil
}

// problems are those that an error joins.
func problems(err error) (all []*yamlfile.Problem) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			all = append(all, problems(e)...)
		}
		return all
	}
	var p *yamlfile.Problem
	if errors.As(err, &p) {
		all = append(all, p)
	}
	return all
}
