package main

import (
	_ "embed" // completion.bash
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// values are the words that a flag's value may be.
var values = map[string][]cobra.Completion{
	"ranks":    {cobra.CompletionWithDesc("auto", "the number of GPUs, or else of CPUs")},
	"strategy": strategyNames,
	"output":   {"prefix", "raw", "none"},
	"bind":     {"none", "core", "numa"},
	"success":  {"all", "any", "rank:", "role:", "quorum:"},
	"without":  {"cgroup", "watchdog", "deathsig"},
	"place":    {"pack", "spread"},
	"slots":    {"auto", "cpu", "gpu"},
	"ready":    {"tcp:127.0.0.1:", "http://127.0.0.1:", "line:", "fd"},
	"limit":    {"core=0", "nofile=", "nproc=", "as=", "cpu=", "fsize=", "memlock=", "stack="},
	"stop-signal": {
		"TERM", "INT", "QUIT", "HUP", "USR1", "USR2",
	},
	"dump-signal": {"none", "QUIT", "ABRT", "USR1", "USR2"},
}

// extensions are those of a flag's file.
var extensions = map[string][]cobra.Completion{
	"rules": {"yaml", "yml", "json"}, "explain": {"json"}, "report": {"json"}, "journal": {"jsonl"}, "tokens": {"json"},
}

// directories are the flags that want one.
var directories = []string{"chdir", "log-dir", "certs"}

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

// forBash is what the script for bash wants of a package that not everybody has.
//
//go:embed completion.bash
var forBash string

const completionHelp = `Print a script by which a shell completes the flags and words of launch.

  bash:        launch completion bash > /etc/bash_completion.d/launch
               source <(launch completion bash)    # in this shell only; or in ~/.bashrc
  zsh:         launch completion zsh > "${fpath[1]}/_launch"
  fish:        launch completion fish > ~/.config/fish/completions/launch.fish
  powershell:  launch completion powershell | Out-String | Invoke-Expression`

// completionCommand is launch completion SHELL.
func completionCommand(stdout io.Writer) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:                   "completion " + strings.Join(shells, "|"),
		Short:                 "Print a script for a shell",
		Long:                  completionHelp,
		Args:                  cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells, args[0]) {
				return usage("completion: name a shell: one of %s", strings.Join(shells, ", "))
			}
			switch root := cmd.Root(); args[0] {
			case "zsh":
				return root.GenZshCompletion(stdout)
			case "fish":
				return root.GenFishCompletion(stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(stdout)
			}
			if _, err := io.WriteString(stdout, forBash); err != nil {
				return err
			}
			return cmd.Root().GenBashCompletionV2(stdout, true)
		},
		ValidArgs: shells,
	}
}
