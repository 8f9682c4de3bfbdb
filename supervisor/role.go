package supervisor

import "github.com/go-muster/muster/actors/process"

// defaultRole is the ROLE_NAME of ranks without a role, as in torchrun.
const defaultRole = "default"

// A RoleRank is a rank's place among those of its role.
type RoleRank struct {
	Role string // "default" for ranks without one
	Rank int    // 0…Size-1, in the order of the ranks
	Size int    // how many ranks have the role
}

// Roles returns the place of each rank in its role: what it finds in ROLE_NAME, ROLE_RANK and ROLE_WORLD_SIZE. Ranks of one
// role need not be neighbours.
func (s Spec) Roles() []RoleRank { return roles(s.Ranks) }

func roles(ranks []process.Command) []RoleRank {
	sizes := map[string]int{}
	all := make([]RoleRank, len(ranks))
	for i, c := range ranks {
		role := c.Role
		if role == "" {
			role = defaultRole
		}
		all[i] = RoleRank{Role: role, Rank: sizes[role]}
		sizes[role]++
	}
	for i := range all {
		all[i].Size = sizes[all[i].Role]
	}
	return all
}
