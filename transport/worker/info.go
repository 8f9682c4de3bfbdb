package worker

import (
	"os"
	"strconv"

	"github.com/go-muster/muster/transport"
)

// Info says who this process is in its group.
type Info struct {
	Rank       int    // place in the group, from 0
	World      int    // number of ranks in the group
	LocalRank  int    // place among the ranks of this host, from 0
	LocalWorld int    // number of ranks on this host
	Generation int    // 0 at first, one more with each restart
	RunID      string // the same for all ranks and generations of a run
}

// Environment returns the Info that the environment of this process holds. In a process that no supervisor started it
// is the only rank of a world of one.
func Environment() Info {
	return Info{
		Rank:       number("RANK", 0),
		World:      number("WORLD_SIZE", 1),
		LocalRank:  number("LOCAL_RANK", 0),
		LocalWorld: number("LOCAL_WORLD_SIZE", 1),
		Generation: number(transport.EnvGeneration, 0),
		RunID:      os.Getenv(transport.EnvRunID),
	}
}

func number(name string, otherwise int) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		return otherwise
	}
	return n
}
