package main

import (
	"fmt"
	"strconv"
)

// roleOf is the place of a rank in its role, such as trainer/1. Of one that was added later only the number is known.
func (c *console) roleOf(rank int) string {
	if rank >= len(c.roles) {
		return strconv.Itoa(rank)
	}
	return fmt.Sprintf("%s/%d", c.roles[rank].Role, c.roles[rank].Rank)
}
