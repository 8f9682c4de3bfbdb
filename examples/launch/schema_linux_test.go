package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/pflag"

	"github.com/go-muster/muster/internal/yamlfile"
)

const schemaFile = "../../docs/group.schema.json"

// An object is a JSON Schema, of which a library is to make sense.
type object map[string]any

// later is a value of which only the launch knows what it is.
var later = object{"type": "string", "pattern": `\$\{`}

// oneOf is one of some words, or what is put in for it.
func oneOf(words ...string) object { return object{"anyOf": []any{object{"enum": words}, later}} }

var (
	scalar  = object{"type": []string{"string", "number", "boolean"}}
	aText   = object{"type": "string", "minLength": 1}
	aWord   = object{"anyOf": []any{aText, object{"type": "array", "items": scalar, "minItems": 1}}}
	integer = object{"anyOf": []any{object{"type": "integer"}, later}}
)

// keySchemas are those of the keys that are no flags, or are more than their flag.
func keySchemas() object {
	list := object{"type": "array", "minItems": 1, "items": object{"type": "object"}, "description": "rules, as in docs/strategies.md"}
	return object{
		"$schema":     object{"type": "string"},
		"ranks":       object{"anyOf": []any{object{"type": "integer", "minimum": 1}, object{"const": "auto"}, later}, "description": "how many ranks"},
		"command":     with(aWord, "what each rank runs: its words, or a text without quotes"),
		"commands":    object{"type": "array", "minItems": 1, "items": aWord, "description": "a command for each rank"},
		"restart":     with(object{"enum": restarts}, "what the end of a rank is to the group"),
		"rules":       object{"anyOf": []any{aText, list}, "description": "rules, or the file they are in"},
		"significant": with(object{"anyOf": []any{object{"type": "integer"}, aText}}, "ranks whose end ends the group, such as 0,3-5"),
		"shutdown":    with(object{"enum": []string{"any", "all"}}, "whether the end of one significant rank ends the group, or that of the last"),
		"strategy":    oneOf(strategyNames...),
		"output":      oneOf("prefix", "raw", "none"),
		"place":       oneOf("pack", "spread"),
	}
}

func with(schema object, description string) object {
	described := object{"description": description}
	for key, value := range schema {
		described[key] = value
	}
	return described
}

// flagSchema is that of a key that is a flag.
func flagSchema(f *pflag.Flag) object {
	_, usage := pflag.UnquoteUsage(f)
	if special, ok := keySchemas()[f.Name]; ok {
		return with(special.(object), strings.ReplaceAll(usage, "\n", " "))
	}
	schema := scalar
	switch f.Value.Type() {
	case "bool":
		schema = object{"anyOf": []any{object{"type": "boolean"}, later}}
	case "int", "uint64":
		schema = integer
	case "duration":
		schema = object{"anyOf": []any{object{"const": 0}, object{"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`}, later}}
	case "stringArray", "stringSlice":
		schema = object{"anyOf": []any{scalar, object{"type": "array", "items": scalar}, object{"type": "object", "additionalProperties": scalar}}}
	}
	return with(schema, strings.ReplaceAll(usage, "\n", " "))
}

// fileKeys are the keys that the reader of group files knows, and those of a role: it is asked.
func fileKeys() (ofGroup, ofRole []string) {
	g := &groupFile{File: yamlfile.New("", "")}
	names := func(keys []yamlfile.Key) (all []string) {
		for _, k := range keys {
			all = append(all, k.Name)
		}
		return all
	}
	r := &role{}
	return names(append(g.groupKeys(nil, r), g.flagKeys(nil, allFlags())...)), names(g.roleKeys(r))
}

// schema is that of group files.
func schema() object {
	flags, special := allFlags(), keySchemas()
	describe := func(names []string) object {
		all := object{}
		for _, name := range names {
			if i := slices.IndexFunc(flags, func(f *pflag.Flag) bool { return f.Name == name }); i >= 0 {
				all[name] = flagSchema(flags[i])
			} else {
				all[name] = special[name]
			}
		}
		return all
	}
	ofGroup, ofRole := fileKeys()
	one := describe(ofRole)
	one["significant"] = object{"type": "boolean", "description": "the end of these ranks ends the group"}
	whole := describe(ofGroup)
	whole["roles"] = object{
		"type": "object", "minProperties": 1, "description": "ranks with commands of their own, role after role",
		"additionalProperties": object{
			"type": "object", "additionalProperties": false, "properties": one,
			"anyOf": []any{object{"required": []string{"command"}}, object{"required": []string{"commands"}}},
		},
	}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A group of launch up",
		"type": "object", "additionalProperties": false, "properties": whole,
		"anyOf": []any{object{"required": []string{"command"}}, object{"required": []string{"commands"}}, object{"required": []string{"roles"}}},
	}
}

// The schema has the keys that launch reads, no more and no less: it is made of them (go test -run Schema -update).
func TestSchemaHasTheKeys(t *testing.T) {
	var made bytes.Buffer
	out := json.NewEncoder(&made)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	if err := out.Encode(schema()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, made.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if readText(t, schemaFile) != made.String() {
		t.Errorf("%s is not that of this launch: go test ./examples/launch -run Schema -update", schemaFile)
	}
}

// The examples are as the schema has it, and what launch refuses by its shape the schema refuses.
func TestSchema(t *testing.T) {
	var s jsonschema.Schema
	if err := json.Unmarshal([]byte(readText(t, schemaFile)), &s); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(&jsonschema.ResolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	validate := func(content string) error {
		var value any
		if err := yaml.Unmarshal([]byte(content), &value); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var plain any
		_ = json.Unmarshal(text, &plain)
		return resolved.Validate(plain)
	}
	examples, _ := filepath.Glob("groups/*")
	if len(examples) < 3 {
		t.Fatalf("the examples are %q", examples)
	}
	for _, path := range examples {
		if err := validate(readText(t, path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, bad := range []string{
		"ranks: 2", "command: ''", "command: []", "{command: x, max-restart: 1}", "{command: x, grace: 30}", "{command: x, strategy: best}",
		"{command: x, max-restarts: many}", "{command: x, ordered: maybe}", "roles: {}", "roles: {a: {ranks: 2}}",
		"roles: {a: {command: x, strategy: ignore}}", "{command: x, env: [[a]]}", "{command: x, restart: no}", "{command: x, shutdown: 1}",
	} {
		if validate(bad) == nil {
			t.Errorf("%s: the schema has nothing against it", bad)
		}
		g := readGroupFile("f", []byte(bad))
		if _, _, _, err := g.assemble(nil); err == nil {
			t.Errorf("%s: launch has nothing against it", bad)
		}
	}
}
