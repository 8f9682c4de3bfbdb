package main

import (
	"github.com/spf13/cobra"
)

// values are the words that a flag's value may be.
var values = map[string][]cobra.Completion{
	"ranks":    {cobra.CompletionWithDesc("auto", "the number of CPUs")},
	"strategy": strategyNames,
	"output":   {"prefix", "raw", "none"},
	"bind":     {"none", "core", "numa"},
	"success":  {"all", "any", "rank:", "role:", "quorum:"},
	"without":  {"cgroup", "watchdog", "deathsig"},
	"ready":    {"tcp:127.0.0.1:", "http://127.0.0.1:", "line:", "fd"},
	"limit":    {"core=0", "nofile=", "nproc=", "as=", "cpu=", "fsize=", "memlock=", "stack="},
	"stop-signal": {
		"TERM", "INT", "QUIT", "HUP", "USR1", "USR2",
	},
	"dump-signal": {"none", "QUIT", "ABRT", "USR1", "USR2"},
}

// extensions are those of a flag's file.
var extensions = map[string][]cobra.Completion{
	"rules": {"yaml", "yml", "json"}, "explain": {"json"}, "report": {"json"}, "journal": {"jsonl"},
}

// directories are the flags that want one.
var directories = []string{"chdir", "log-dir"}

// complete says for the shell what a command's flags may be.
func complete(cmd *cobra.Command) {
	for name, words := range values {
		register(cmd, name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace*endsOpen(words)))
	}
	for name, endings := range extensions {
		register(cmd, name, cobra.FixedCompletions(endings, cobra.ShellCompDirectiveFilterFileExt))
	}
	for _, name := range directories {
		register(cmd, name, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs))
	}
}

func register(cmd *cobra.Command, name string, f cobra.CompletionFunc) {
	if cmd.Flags().Lookup(name) != nil {
		_ = cmd.RegisterFlagCompletionFunc(name, f) // fails for a flag that is not there, and for one that has one
	}
}

// endsOpen is 1 when a word goes on behind its colon or equals sign.
func endsOpen(words []cobra.Completion) cobra.ShellCompDirective {
	for _, w := range words {
		if last := w[len(w)-1]; last == ':' || last == '=' {
			return 1
		}
	}
	return 0
}
