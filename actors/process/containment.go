package process

// Layers says which protections a local launcher leaves out. The zero Layers uses every one that the system has; leaving
// one out is for tests, and for systems where it does harm.
type Layers struct {
	NoCgroup   bool // no cgroup per process, although one could be made
	NoWatchdog bool // no watchdog process
	NoDeathsig bool // no parent-death signal
}

// The containment levels, strongest first. What each guarantees is in docs/operations.md.
const (
	levelCgroupWatchdog = "cgroup+watchdog"
	levelGroupWatchdog  = "group+watchdog"
	levelCgroupDeathsig = "cgroup+deathsig"
	levelGroupDeathsig  = "group+deathsig"
	levelCgroup         = "cgroup"
	levelGroup          = "group"
	levelJob            = "job"
)

func level(cgroup, watchdog, deathsig bool) string {
	switch {
	case cgroup && watchdog:
		return levelCgroupWatchdog
	case watchdog:
		return levelGroupWatchdog
	case cgroup && deathsig:
		return levelCgroupDeathsig
	case deathsig:
		return levelGroupDeathsig
	case cgroup:
		return levelCgroup
	}
	return levelGroup
}
