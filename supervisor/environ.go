package supervisor

import (
	"os"
	"runtime"
	"slices"
	"strconv"

	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/transport"
)

// environment returns what a rank finds in its environment besides the command's own: the contract
// of torchrun (RANK, WORLD_SIZE, MASTER_ADDR …) and the two variables that tell a worker its run and generation.
func environment(e rankEnvironment) []string {
	locals := strconv.Itoa(e.place.Locals)
	node := strconv.Itoa(e.place.Node)
	size, rank, generation := strconv.Itoa(e.size), strconv.Itoa(e.id.Rank), strconv.Itoa(e.id.Generation)
	env := []string{
		"RANK=" + rank, "LOCAL_RANK=" + strconv.Itoa(e.place.Local), "ROLE_RANK=" + strconv.Itoa(e.role.Rank),
		"WORLD_SIZE=" + size, "LOCAL_WORLD_SIZE=" + locals, "ROLE_WORLD_SIZE=" + strconv.Itoa(e.role.Size),
		"GROUP_RANK=" + node, "NODE_RANK=" + node, "GROUP_WORLD_SIZE=" + strconv.Itoa(e.hosts), "ROLE_NAME=" + e.role.Role,
		"MASTER_ADDR=" + e.place.Addr, "MASTER_PORT=" + strconv.Itoa(e.port),
		"TORCHELASTIC_RESTART_COUNT=" + generation,
		"TORCHELASTIC_MAX_RESTARTS=" + strconv.Itoa(e.maxRestarts),
		"TORCHELASTIC_RUN_ID=" + e.run,
		"TORCHELASTIC_USE_AGENT_STORE=False",
		transport.EnvRunID + "=" + e.run,
		transport.EnvGeneration + "=" + generation,
	}
	if _, set := os.LookupEnv("OMP_NUM_THREADS"); !set && e.place.Locals > 1 {
		env = append(env, "OMP_NUM_THREADS=1") // n ranks with a thread pool of all processors each would fight
	}
	const ncclErrors = "TORCH_NCCL_ASYNC_ERROR_HANDLING"
	if _, set := os.LookupEnv(ncclErrors); !set {
		env = append(env, ncclErrors+"=1") // a rank whose peer is gone fails, and does not wait for it
	}
	return append(env, e.gpus...)
}

// withErrorFile completes the contract of torchrun: a main under @record reports in a file what it raises. A function reports
// on its socket, and is spared the descriptor.
func withErrorFile(c process.Command) process.Command {
	c.ErrorFile = c.ErrorFile || c.Entry == ""
	return c
}

// asLaunched are the commands as those of the first generation are launched.
func (s Spec) asLaunched() []process.Command {
	ranks, roles := slices.Clone(s.Ranks), s.Roles()
	for rank, c := range ranks {
		ranks[rank] = withErrorFile(c)
		ranks[rank].Env = append(s.environment(rank, roles[rank]), c.Env...)
	}
	return ranks
}

// environment is that of a rank of the first generation, on one host.
func (s Spec) environment(rank int, role RoleRank) []string {
	return environment(rankEnvironment{
		id: process.ID{Rank: rank}, role: role, size: len(s.Ranks), maxRestarts: maxRestarts(s.Strategy), run: s.RunID,
		place: process.Place{Addr: here, Local: rank, Locals: len(s.Ranks)}, hosts: 1, gpus: s.GPUs.environment(rank),
	})
}

type rankEnvironment struct {
	id          process.ID
	role        RoleRank
	size        int
	port        int
	maxRestarts int
	run         string
	place       process.Place // its Addr is that of rank 0
	hosts       int           // of the group
	gpus        []string
}

// here is where the ranks of one host meet.
const here = "127.0.0.1"

// maxRestarts is what scripts written for torchrun may ask for.
func maxRestarts(s Strategy) int {
	switch s := s.(type) {
	case interface{ budget() budget }:
		return max(0, s.budget().restarts)
	case interface{ MaxRestarts() int }: // of another package
		return max(0, s.MaxRestarts())
	}
	return 0
}

// AutoRanks is the world size that "as many as make sense" means on this machine: the processors that we may use.
func AutoRanks() int { return runtime.NumCPU() }
