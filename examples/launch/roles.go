package main

import (
	"fmt"
	"strconv"

	"github.com/go-muster/muster/supervisor"
)

// roleOf is the place of a rank in its role, such as trainer/1. Of one that was added later only the number is known.
func (c *console) roleOf(rank int) string {
	if rank >= len(c.roles) {
		return strconv.Itoa(rank)
	}
	return fmt.Sprintf("%s/%d", c.roles[rank].Role, c.roles[rank].Rank)
}

// roleNames are what all ranks are beside their numbers, such as trainer/1; nil for a group without roles.
func roleNames(spec supervisor.Spec) (names []string) {
	for _, r := range spec.Roles() {
		if !named(r.Role) {
			return nil
		}
		names = append(names, fmt.Sprintf("%s/%d", r.Role, r.Rank))
	}
	return names
}

// inRole is what goes before the rest of what is told of a rank: "trainer/1, ", and nothing of one that has no role.
func (c *console) inRole(rank int) string {
	if rank >= len(c.roles) {
		return ""
	}
	return inRole(c.roles[rank].Role, c.roles[rank].Rank)
}

func inRole(role string, rank int) string {
	if !named(role) {
		return ""
	}
	return fmt.Sprintf("%s/%d, ", role, rank)
}

// named reports whether somebody gave ranks this role: those of a group without roles have "default".
func named(role string) bool { return role != "" && role != "default" }
