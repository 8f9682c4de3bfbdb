// Package yamlfile reads the YAML files of Muster, of which JSON is a part: rules, and groups of launch. It tells everything
// that is wrong with a file at once, each with its line and column, and is trusted with files of strangers: what is large or
// deep is refused before the parser has it.
package yamlfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A Problem is one thing that is wrong with a file. [File.Err] joins all that there are.
type Problem struct {
	File         string
	Line, Column int // from 1
	Text         string
}

// Error returns the place and what is wrong there: "rules.yaml:3:5: …".
func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

const (
	maxFile  = 64 << 10 // bytes: the parser's time grows with the square of some texts
	maxDepth = 16       // brackets and dashes within one another: what we read has seven
)

// A File is what is being read, and what is wrong with it so far.
type File struct {
	// Others says what a mapping with many keys may have besides the first of them, which alone are named. Empty means that
	// all are.
	Others string

	name     string
	must     string
	problems []*Problem
}

// New returns the file of a name, which is for people, and says what an empty one misses, such as "it must have the key x".
func New(name, must string) *File { return &File{name: name, must: must} }

// Complain notes a problem; without a place, at the file's beginning.
func (f *File) Complain(at *token.Position, format string, args ...any) {
	p := &Problem{File: f.name, Line: 1, Column: 1, Text: fmt.Sprintf(format, args...)}
	if at != nil {
		p.Line, p.Column = at.Line, at.Column
	}
	if !slices.ContainsFunc(f.problems, func(q *Problem) bool { return *q == *p }) {
		f.problems = append(f.problems, p)
	}
}

// Problems is how many there are.
func (f *File) Problems() int { return len(f.problems) }

// Err joins the problems in the order of the file. It returns nil when there are none.
func (f *File) Err() error {
	slices.SortStableFunc(f.problems, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(f.problems))
	for i, p := range f.problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// Tree returns the root of the text, nil when it is none, which it complains about. The parser is not trusted with more than it is made for.
func (f *File) Tree(text []byte) (root ast.Node) {
	switch {
	case len(text) > maxFile:
		f.Complain(nil, "the file has %d bytes, and at most %d are read", len(text), maxFile)
		return nil
	case !utf8.Valid(text):
		f.Complain(nil, "the file is no UTF-8 text")
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			f.Complain(nil, "the file cannot be read as YAML: %v", p)
			root = nil
		}
	}()
	tokens := lexer.Tokenize(string(text))
	if at := tooDeep(tokens); at != nil {
		f.Complain(at, "this is nested deeper than %d", maxDepth)
		return nil
	}
	parsed, err := parser.Parse(tokens, 0)
	if err != nil {
		f.syntax(err, text)
		return nil
	}
	return f.only(parsed)
}

// only returns the one document of a stream.
func (f *File) only(parsed *ast.File) ast.Node {
	var bodies []ast.Node
	for _, d := range parsed.Docs {
		if d.Body != nil {
			bodies = append(bodies, d.Body)
		}
	}
	switch len(bodies) {
	case 0:
		f.Complain(nil, "the file is empty: %s", f.must)
		return nil
	case 1:
		return bodies[0]
	}
	f.Complain(Place(bodies[1]), "a second document begins here: one is read")
	return nil
}

// syntax tells an error of the parser without the picture that it draws.
func (f *File) syntax(err error, text []byte) {
	var known interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &known) {
		f.Complain(nil, "the file cannot be read as YAML: %v", err)
		return
	}
	var at *token.Position
	if t := known.GetToken(); t != nil {
		at = t.Position
	}
	f.Complain(at, "the file cannot be read as YAML: %s%s", known.GetMessage(), hint(at, text))
}

// hint helps with the one trap in our own vocabulary: !0 without quotes is a tag.
func hint(at *token.Position, text []byte) string {
	lines := strings.Split(string(text), "\n")
	if at == nil || at.Line < 1 || at.Line > len(lines) || !strings.ContainsRune(lines[at.Line-1], '!') {
		return ""
	}
	return ` (what begins with ! needs quotes, such as "!0")`
}

// tooDeep returns where brackets, or the dashes of one line, are deeper within one another than any rules are.
func tooDeep(tokens token.Tokens) *token.Position {
	open, dashes, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			open++
		case token.SequenceEndType, token.MappingEndType:
			open--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			dashes++
		}
		if open > maxDepth || dashes > maxDepth {
			return t.Position
		}
	}
	return nil
}

// Place is where a node begins: that of a block is where its first key stands.
func Place(n ast.Node) *token.Position {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		n = m.Values[0].Key
	}
	if n == nil || n.GetToken() == nil {
		return nil
	}
	return n.GetToken().Position
}

// A Key is one that a mapping may have, and who reads its value.
type Key struct {
	Name string
	Read func(ast.Node)
	Also []string // names of the same in other programs: who writes one means Name
}

// Mapping reads the keys of a mapping, which is called what.
func (f *File) Mapping(n ast.Node, what string, keys []Key) {
	m, ok := n.(*ast.MappingNode)
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		f.Complain(Place(n), "%s: anchors, aliases and tags are not read: write it out", what)
		return
	}
	if !ok {
		f.Complain(Place(n), "%s must have keys: %s", what, f.nameAll(keys))
		return
	}
	for _, v := range m.Values {
		name, _ := Plain(v.Key)
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
		if i < 0 {
			f.Complain(Place(v.Key), "%s has no key %q: %s", what, name, f.meant(name, keys))
			continue
		}
		keys[i].Read(v.Value)
	}
}

// meant is the key that a name is spelt like, or else those that there are.
func (f *File) meant(name string, keys []Key) string {
	for _, k := range keys {
		for _, known := range append([]string{k.Name}, k.Also...) {
			if levenshtein.ComputeDistance(name, known) <= min(2, len(name)/3) {
				return fmt.Sprintf("did you mean %s?", k.Name)
			}
		}
	}
	return "it may have " + f.nameAll(keys)
}

// nameAll lists keys: of many the first, so that a line can be read.
func (f *File) nameAll(keys []Key) string {
	const many, some = 24, 9
	more := ""
	if f.Others != "" && len(keys) > many {
		keys, more = keys[:some], " and "+f.Others
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	return strings.Join(names, ", ") + more
}

// Plain returns the text of a scalar as it was written: that of a number, too.
func Plain(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// Text reads a scalar with a parser of its own.
func (f *File) Text(what string, parse func(string) error) func(ast.Node) {
	return func(n ast.Node) {
		text, ok := Plain(n)
		if !ok || text == "" {
			f.Complain(Place(n), "%s: write one value%s", what, Instead(n))
		} else if err := parse(text); err != nil {
			f.Complain(Place(n), "%s: %v", what, err)
		}
	}
}

// List reads a scalar, or a list of them, which is not empty.
func (f *File) List(what string, parse func(string) error) func(ast.Node) {
	one := f.Text(what, parse)
	return func(n ast.Node) {
		s, ok := n.(*ast.SequenceNode)
		switch {
		case !ok:
			one(n)
		case len(s.Values) == 0:
			f.Complain(Place(n), "%s: the list is empty, and nothing would match: leave it out", what)
		default:
			for _, v := range s.Values {
				one(v)
			}
		}
	}
}

// Instead says what a node is that is no scalar, as the end of a sentence; "" for a scalar.
func Instead(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode, nil:
		return ", here is none"
	case *ast.MappingNode:
		return ", here are keys"
	case *ast.SequenceNode:
		return ", here is a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return " without anchors, aliases and tags, and in quotes if it begins with !, & or *"
	}
	return ""
}
