// Package rules is a strategy made of data: an ordered list of rules, each with conditions and an action, of which the
// first that matches a failure decides. A list is written in Go, or in a YAML or JSON file that Parse reads:
//
//	budget: {restarts: 5, within: 1h, backoff: "1s,1m"}
//	rules:
//	  - name: a port was lost to somebody else
//	    when: {exit: 98, generation: 0}
//	    do: restart group
//	    free: true
//	  - name: a mistake in the program
//	    when: {exception: [ValueError, TypeError]}
//	    do: fail
//	  - do: restart group
//
// docs/strategies.md has the table of all conditions and actions.
package rules
