package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
	"github.com/spf13/pflag"

	"github.com/go-muster/muster/internal/yamlfile"
	"github.com/go-muster/muster/supervisor"
	"github.com/go-muster/muster/supervisor/rules"
)

// A groupFile is what a group file says, before anything is put in for ${…}. Its keys are the flags of the same names, and
// those of groupKeys and roleKeys.
type groupFile struct {
	*yamlfile.File
	path     string
	run      string // the name of the run that is gone on with, "" for a new one
	lines    []string
	settings []setting // of the group, and of all ranks
	roles    []*role   // without the key roles one, whose name is empty
	named    bool      // the key roles is there
	end      groupEnd
	inline   *rules.List // nil without rules, and with the name of a file
}

// groupEnd is what a file says about the ranks whose end ends the group.
type groupEnd struct {
	significant, shutdown setting
}

// A setting is one value of a flag. From the command line it has no place.
type setting struct {
	name, text string
	at         *token.Position
}

// A role is the ranks that run the same, and differ from others.
type role struct {
	name        string
	ranks       setting
	commands    []words // one for all its ranks, or one for each
	each        bool    // commands are one for each
	restart     supervisor.RestartType
	significant bool
	settings    []setting
}

// words are a command.
type words struct {
	args []string
	at   *token.Position
}

// notInFiles are the flags that a group file cannot set: they start nothing, or are keys of their own.
var notInFiles = []string{"help", "help-all", "version", "explain", "dry-run", "ranks", "rules"}

// ofRanks are the flags that say something about one rank: a role may have its own.
var ofRanks = []string{
	"env", "unset", "chdir", "user", "module", "plain", "speaks", "locals", "ready", "stop-signal", "dump-signal",
	"memory", "pids", "limit", "nice", "oom-score-adj",
}

// maxGroupFile is more than a group file may have, in bytes: what a path leads to may have no end.
const maxGroupFile = 1 << 20

// openGroupFile reads a file, and what is wrong with it.
func openGroupFile(path string) (*groupFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, usage("up %s: cannot be read: %w", path, reason(err))
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxGroupFile))
	if err != nil {
		return nil, usage("up %s: cannot be read: %w", path, reason(err))
	}
	return readGroupFile(path, text), nil
}

// readGroupFile reads a text. What is wrong with it is among the file's problems.
func readGroupFile(path string, text []byte) *groupFile {
	g := &groupFile{
		File: yamlfile.New(path, "it must say what to run: write command, or roles"), path: path,
		lines: strings.SplitAfter(string(text), "\n"),
	}
	g.Others = "each flag that launch --help-all names"
	root := g.Tree(text)
	if root == nil {
		return g
	}
	whole := &role{ranks: setting{name: "ranks", text: "1"}}
	g.Mapping(root, "the file", append(g.groupKeys(root, whole), g.flagKeys(&g.settings, allFlags())...))
	_, readable := root.(*ast.MappingNode)
	switch {
	case !readable:
		return g
	case !g.named:
		g.roles = append(g.roles, whole)
		g.checkRole(whole, yamlfile.Place(root), "the file")
	case len(whole.commands) > 0 || whole.ranks.at != nil:
		g.Complain(yamlfile.Place(root), "the file has roles: write command, commands and ranks in each of them")
	}
	return g
}

func (g *groupFile) checkRole(r *role, at *token.Position, what string) {
	if len(r.commands) == 0 {
		g.Complain(at, "%s does not say what to run: write command, or commands for each rank", what)
	}
}

// groupKeys are those that are no flags, or not only that.
func (g *groupFile) groupKeys(root ast.Node, whole *role) []yamlfile.Key {
	return append(g.commandKeys(whole),
		yamlfile.Key{Name: "$schema", Read: func(ast.Node) {}}, // for editors
		yamlfile.Key{Name: "roles", Read: g.readRoles},
		yamlfile.Key{Name: "rules", Read: func(n ast.Node) { g.readRules(root, n) }},
		yamlfile.Key{Name: "significant", Read: g.one(&g.end.significant, "significant")},
		yamlfile.Key{Name: "shutdown", Read: g.one(&g.end.shutdown, "shutdown")},
	)
}

// commandKeys are those of what runs, which the group has or each role.
func (g *groupFile) commandKeys(r *role) []yamlfile.Key {
	return []yamlfile.Key{
		{Name: "command", Read: func(n ast.Node) { r.commands = []words{g.readWords(n)} }},
		{Name: "commands", Read: func(n ast.Node) { r.each = true; g.readCommands(n, r) }},
		{Name: "ranks", Read: g.one(&r.ranks, "ranks"), Also: alsoNamed("ranks")},
		{Name: "restart", Read: g.Text("restart", func(text string) (err error) {
			r.restart, err = parseRestart(text)
			return err
		})},
	}
}

func (g *groupFile) readRoles(n ast.Node) {
	m, ok := n.(*ast.MappingNode)
	g.named = true
	if !ok || len(m.Values) == 0 {
		g.Complain(yamlfile.Place(n), "roles: write a key for each role, and under it what its ranks run")
		return
	}
	for _, v := range m.Values {
		r := &role{ranks: setting{name: "ranks", text: "1"}}
		r.name, _ = yamlfile.Plain(v.Key)
		g.Mapping(v.Value, "the role "+r.name, g.roleKeys(r))
		if _, readable := v.Value.(*ast.MappingNode); readable {
			g.checkRole(r, yamlfile.Place(v.Key), "the role "+r.name)
		}
		g.roles = append(g.roles, r)
	}
}

// roleKeys are those of a role.
func (g *groupFile) roleKeys(r *role) []yamlfile.Key {
	keys := append(g.commandKeys(r), yamlfile.Key{Name: "significant", Read: g.Text("significant", func(text string) (err error) {
		r.significant, err = parseYes(text)
		return err
	})})
	return append(keys, g.flagKeys(&r.settings, someFlags(ofRanks))...)
}

// readCommands reads one command for each rank.
func (g *groupFile) readCommands(n ast.Node, r *role) {
	s, ok := n.(*ast.SequenceNode)
	if !ok || len(s.Values) == 0 {
		g.Complain(yamlfile.Place(n), "commands: write a list with the command of each rank")
		return
	}
	for _, v := range s.Values {
		r.commands = append(r.commands, g.readWords(v))
	}
}

// readWords reads a command: a list of words, or a text without anything that only a shell understands.
func (g *groupFile) readWords(n ast.Node) words {
	w, before := words{at: yamlfile.Place(n)}, g.Problems()
	if s, ok := n.(*ast.SequenceNode); ok {
		for _, v := range s.Values {
			text, ok := yamlfile.Plain(v)
			if !ok {
				g.Complain(yamlfile.Place(v), "command: each word is one value%s", yamlfile.Instead(v))
			}
			w.args = append(w.args, text)
		}
	} else if text, ok := yamlfile.Plain(n); ok {
		if strings.ContainsAny(text, "\"'\\|&;<>()*?~`") {
			g.Complain(w.at, "command: only a shell understands this text: write a list of words, such as [sh, -c, \"…\"]")
		}
		w.args = strings.Fields(text)
	} else {
		g.Complain(w.at, "command: write a text, or a list of words%s", yamlfile.Instead(n))
	}
	if g.Problems() == before && (len(w.args) == 0 || w.args[0] == "") {
		g.Complain(w.at, "command: write a program and its arguments, such as [python3, train.py]")
	}
	if g.Problems() > before {
		w.args = []string{"sh"} // in its place, so that the rest can be looked at
	}
	return w
}

// readRules reads the name of a file, or the rules themselves: where they stand in the text is where their problems are.
func (g *groupFile) readRules(root, n ast.Node) {
	if _, ok := n.(*ast.SequenceNode); !ok {
		g.value(&g.settings, "rules")(n)
		return
	}
	list, err := rules.Parse(g.path, []byte(g.only(root, "rules")))
	if err == nil {
		g.inline = list
		return
	}
	for _, p := range problems(err) {
		g.Complain(&token.Position{Line: p.Line, Column: p.Column}, "%s", p.Text)
	}
}

// only is the text of one key at its place, with nothing around it.
func (g *groupFile) only(root ast.Node, key string) string {
	m := root.(*ast.MappingNode)
	i := slices.IndexFunc(m.Values, func(v *ast.MappingValueNode) bool { name, _ := yamlfile.Plain(v.Key); return name == key })
	first, last := m.Values[i].Key.GetToken().Position, token.Position{Line: len(g.lines) + 1}
	if s, ok := m.Values[i].Value.(*ast.SequenceNode); ok && s.IsFlowStyle && s.End != nil {
		last = token.Position{Line: s.End.Position.Line, Column: s.End.Position.Column + 1}
	} else if i+1 < len(m.Values) {
		last = *m.Values[i+1].Key.GetToken().Position
	}
	var b strings.Builder
	for n, line := range g.lines {
		runes := []rune(line)
		if n+1 == last.Line {
			runes = runes[:min(len(runes), max(0, last.Column-1))]
		}
		if n+1 == first.Line {
			runes = append([]rune(strings.Repeat(" ", first.Column-1)), runes[min(len(runes), first.Column-1):]...)
		}
		if first.Line <= n+1 && n+1 <= last.Line {
			b.WriteString(string(runes))
		} else {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// flagKeys are keys that are flags.
func (g *groupFile) flagKeys(into *[]setting, names []*pflag.Flag) (keys []yamlfile.Key) {
	for _, flag := range names {
		read := g.value(into, flag.Name)
		if isRepeated(flag) {
			read = g.repeated(into, flag.Name)
		}
		keys = append(keys, yamlfile.Key{Name: flag.Name, Read: read, Also: alsoNamed(flag.Name)})
	}
	return keys
}

// alsoNamed are torchrun's names of a flag, and older ones, which a command line may have and a file may not.
func alsoNamed(flag string) (names []string) {
	for name, ours := range aliases {
		if ours == flag {
			names = append(names, name)
		}
	}
	return names
}

func isRepeated(flag *pflag.Flag) bool {
	_, many := flag.Value.(pflag.SliceValue)
	return many
}

// everyFlag are all that there are, in the order of the help.
func everyFlag() (all []*pflag.Flag) {
	for _, s := range new(flags).sections() {
		s.VisitAll(func(flag *pflag.Flag) {
			if !flag.Hidden { // it has no effect but to be taken
				all = append(all, flag)
			}
		})
	}
	return all
}

// allFlags are those that are keys of a group file.
func allFlags() []*pflag.Flag {
	return slices.DeleteFunc(everyFlag(), func(f *pflag.Flag) bool { return slices.Contains(notInFiles, f.Name) })
}

func someFlags(names []string) []*pflag.Flag {
	return slices.DeleteFunc(allFlags(), func(f *pflag.Flag) bool { return !slices.Contains(names, f.Name) })
}

// value reads one value of a flag. It may be empty, as a flag's may.
func (g *groupFile) value(into *[]setting, name string) func(ast.Node) {
	return func(n ast.Node) {
		text, ok := yamlfile.Plain(n)
		if !ok {
			g.Complain(yamlfile.Place(n), "%s: write one value%s", name, yamlfile.Instead(n))
			return
		}
		*into = append(*into, setting{name, text, yamlfile.Place(n)})
	}
}

func (g *groupFile) one(into *setting, name string) func(ast.Node) {
	return func(n ast.Node) {
		var all []setting
		if g.value(&all, name)(n); len(all) > 0 {
			*into = all[0]
		}
	}
}

// repeated reads the values of a flag that may be repeated: one, a list, or for KEY=VALUE a mapping.
func (g *groupFile) repeated(into *[]setting, name string) func(ast.Node) {
	one := g.value(into, name)
	return func(n ast.Node) {
		switch n := n.(type) {
		case *ast.SequenceNode:
			for _, v := range n.Values {
				one(v)
			}
		case *ast.MappingNode:
			for _, v := range n.Values {
				key, _ := yamlfile.Plain(v.Key)
				before := len(*into)
				if one(v.Value); len(*into) > before {
					(*into)[before].text = key + "=" + (*into)[before].text
				}
			}
		default:
			one(n)
		}
	}
}

// groupName is what a group is called that has no name.
func (g *groupFile) groupName() string {
	base := filepath.Base(g.path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}
