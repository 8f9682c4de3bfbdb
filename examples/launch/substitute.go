package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// variables are what ${NAME} stands for, besides ${env:NAME}.
type variables map[string]string

// rankVariables are those that differ from rank to rank.
var rankVariables = []string{"rank", "local_rank", "role_rank"}

// expand puts in values: ${NAME}, ${env:NAME} and ${env:NAME:-DEFAULT}; $$ is a dollar, and a dollar before anything else is
// itself, for shells.
func (v variables) expand(text string) (string, error) {
	var b strings.Builder
	for {
		at := strings.IndexByte(text, '$')
		if at < 0 || at+1 == len(text) {
			b.WriteString(text)
			return b.String(), nil
		}
		b.WriteString(text[:at])
		switch text[at+1] {
		case '$':
			b.WriteByte('$')
			text = text[at+2:]
		case '{':
			name, rest, closed := strings.Cut(text[at+2:], "}")
			if !closed {
				return "", fmt.Errorf("%q has no closing brace: write $${ for a dollar and a brace", text[at:])
			}
			value, err := v.value(name)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = rest
		default:
			b.WriteByte('$')
			text = text[at+1:]
		}
	}
}

func (v variables) value(name string) (string, error) {
	if variable, found := strings.CutPrefix(name, "env:"); found {
		variable, otherwise, has := strings.Cut(variable, ":-")
		value, set := os.LookupEnv(variable)
		switch {
		case has && value == "": // as in a shell, where :- is for empty ones as well
			return otherwise, nil
		case !set:
			return "", fmt.Errorf("the variable %s is not set: write ${env:%s:-DEFAULT} for when it is not", variable, variable)
		}
		return value, nil
	}
	if value, found := v[name]; found {
		return value, nil
	}
	if slices.Contains(rankVariables, name) || strings.HasPrefix(name, "role") {
		return "", fmt.Errorf("${%s} has no value here: this is one for the whole group", name)
	}
	return "", fmt.Errorf("there is no ${%s}: write one of %s or env:NAME, and $${%s} for a shell's", name,
		strings.Join(slices.Sorted(maps.Keys(v)), ", "), name)
}

// differs reports whether a text is another for each rank.
func differs(text string) bool {
	return slices.ContainsFunc(rankVariables, func(name string) bool { return strings.Contains(text, "${"+name+"}") })
}
