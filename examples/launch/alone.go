package main

import (
	"fmt"
	"strings"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/supervisor"
)

// alone returns what writes the command line of one rank, to be pasted into a shell: its directory, its part of the
// environment, and the command as it was given to launch.
func (f *flags) alone(spec supervisor.Spec) func(process.ID) string {
	return func(id process.ID) string {
		if id.Rank >= len(f.programs) {
			return "" // it has been added since
		}
		var words []string
		for _, key := range f.unset {
			if !strings.HasPrefix(key, "LAUNCH_") { // of a shell, they are no program's but ours
				words = append(words, "-u", quote(key))
			}
		}
		if len(words) > 0 {
			words = append([]string{"env"}, words...)
		}
		env := aloneEnvironment(spec, id)
		if f.away { // its place was its host's
			env = append(portable(env), "MASTER_ADDR=127.0.0.1", "MASTER_PORT=29500")
		}
		for _, kv := range env {
			words = append(words, assignment(kv))
		}
		for _, arg := range f.programs[id.Rank] {
			words = append(words, quote(arg))
		}
		line := strings.Join(words, " ")
		if dir := spec.Ranks[id.Rank].Dir; dir != "" {
			line = "cd " + quote(dir) + " && " + line
		}
		return line
	}
}

// aloneEnvironment is what of a rank's environment its work depends on: neither what is the launcher's own, nor what a group of
// ours has for names only. A role is no such name: commands of several kinds are told apart by it.
func aloneEnvironment(spec supervisor.Spec, id process.ID) (env []string) {
	for _, kv := range append(spec.Environment(id.Rank), spec.Ranks[id.Rank].Env...) {
		switch key, _, _ := strings.Cut(kv, "="); {
		case key == "MASTER_PORT":
			kv = "MASTER_PORT=29500" // that of the run is another's by now
		case key == "TORCHELASTIC_RESTART_COUNT" && id.Generation > 0:
			kv = fmt.Sprintf("%s=%d", key, id.Generation)
		case strings.HasPrefix(key, "ROLE_") && named(spec.Ranks[id.Rank].Role):
		case key == "NODE_RANK", hasAnyPrefix(key, "TORCHELASTIC_", "TORCH_NCCL_", "MUSTER_", "ROLE_", "GROUP_"):
			continue
		}
		env = append(env, kv)
	}
	return env
}

func hasAnyPrefix(text string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// assignment writes a variable for a shell. One that looks like a secret is taken from the shell in its place: what launch
// prints ends up in other people's logs.
func assignment(kv string) string {
	key, value, _ := strings.Cut(kv, "=")
	for _, word := range []string{"SECRET", "TOKEN", "PASS", "KEY", "CREDENTIAL"} {
		if strings.Contains(strings.ToUpper(key), word) {
			return fmt.Sprintf(`%s="$%s"`, key, key)
		}
	}
	return key + "=" + quote(value)
}

// quote writes a word for a shell, on one line.
func quote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_"
	switch {
	case word != "" && strings.Trim(word, plain) == "":
		return word
	case !strings.ContainsAny(word, "\n\r\t\x1b"):
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return "$'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x1b", `\e`).Replace(word) + "'"
}
