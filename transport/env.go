package transport

// The environment variables of a rank that are Muster's own: the contract between a supervisor and a worker. The
// variables whose names the field already has (RANK, WORLD_SIZE, MASTER_ADDR …) are not declared here.
const (
	// EnvFD names the descriptor of the socket. The worker removes it, so that its own children do not inherit it.
	EnvFD = "MUSTER_FD"
	// EnvCrashFD names the descriptor on which a Go worker's runtime writes its last words.
	EnvCrashFD = "MUSTER_CRASH_FD"
	// EnvEntry names the registered function that a re-executed binary is to run. The worker removes it.
	EnvEntry = "MUSTER_ENTRY"
	// EnvReadyFD names the descriptor on which a command that does not speak says that it is ready, with a newline.
	EnvReadyFD = "MUSTER_READY_FD"
	// EnvLocals is 1 when an injected Python script is to tell the local variables of each frame of an exception. They may
	// hold secrets: it is not set unless somebody asks.
	EnvLocals = "MUSTER_LOCALS"
	// EnvRunID identifies the run of a group: the same for all ranks and generations.
	EnvRunID = "MUSTER_RUN_ID"
	// EnvGeneration is the generation of the rank, from 0.
	EnvGeneration = "MUSTER_GENERATION"
	// EnvTree marks every process that descends from a supervisor, so that its watchdog can find those that left their
	// process group.
	EnvTree = "MUSTER_TREE"
)
