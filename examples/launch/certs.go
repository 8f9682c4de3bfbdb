package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/go-muster/muster/actors/host/certs"
)

const certsHelp = `Make what the hosts of a group know each other by: a CA, if DIR has none, and a certificate for each
HOST: its name, and what else it is reached by, after commas, as in root,10.0.0.1. Copy DIR/HOST to
that host, and give it to launch and launch agent as --certs; DIR itself stays where it is: who has
its ca-key.pem can be any host. With --tokens, each HOST also gets a token that admits one agent.`

// certsCommand is launch certs DIR HOST…. A program of that name is run by launch -- certs.
func certsCommand(stdout io.Writer) *cobra.Command {
	var tokens string
	var o certs.Options
	cmd := &cobra.Command{
		Use:     "certs DIR HOST…",
		Short:   "Make certificates and join tokens for hosts",
		Long:    certsHelp,
		Example: "  launch certs certs root,10.0.0.1 a,10.0.0.2 b,10.0.0.3\n  launch certs certs c,10.0.0.4 --tokens tokens\n  launch certs certs a --renew",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage("certs: give a directory and the hosts, as in launch certs certs root,10.0.0.1 a,10.0.0.2")
			}
			if o.ValidFor < 0 {
				return usage("--valid %v: a time cannot be negative", o.ValidFor)
			}
			return makeCerts(stdout, args[0], args[1:], tokens, o)
		},
	}
	cmd.Flags().StringVar(&tokens, "tokens", "", "also add a join token for each host to `FILE`, for --tokens of launch, and print them")
	cmd.Flags().BoolVar(&o.Renew, "renew", false, "make new certificates for hosts that have one")
	cmd.Flags().DurationVar(&o.ValidFor, "valid", 365*24*time.Hour, "how long the certificates are good")
	complete(cmd)
	return cmd
}

func makeCerts(w io.Writer, dir string, hosts []string, tokens string, o certs.Options) error {
	made, err := certs.Create(dir, hosts, o)
	for _, d := range made {
		fmt.Fprintf(w, "certificate  %s\n", d)
	}
	switch {
	case errors.Is(err, certs.ErrExists):
		return usage("%w: --renew makes a new one", err)
	case err != nil:
		return usage("%w", err)
	case tokens == "":
		return nil
	}
	t, err := certs.OpenTokens(tokens)
	if err != nil {
		return usage("--tokens %s: %w", tokens, err)
	}
	for range hosts {
		token, err := t.New()
		if err != nil {
			return usage("--tokens %s: %w", tokens, err)
		}
		fmt.Fprintf(w, "token        %s\n", token)
	}
	return nil
}
