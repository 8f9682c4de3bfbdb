package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-muster/muster/actors/process"
)

// GPUs says which of the machine's GPUs each rank sees: PerRank of them, by local rank, and no other. The zero GPUs, which is
// the default as in torchrun, leaves every rank what the supervisor sees.
type GPUs struct {
	// PerRank is the number of devices for each rank; 0 turns this off.
	PerRank int `json:"per_rank,omitempty"`
	// Total is how many devices there are. 0 means those that the first of Variables lists in the supervisor's own
	// environment, and without it those of NVIDIA's driver in /dev.
	Total int `json:"total,omitempty"`
	// Variables are set for the rank; empty means CUDA_VISIBLE_DEVICES, which PyTorch obeys on AMD's devices as well. HIP counts
	// only what ROCR_VISIBLE_DEVICES has left: choose one of the two.
	Variables []string `json:"variables,omitempty"`
}

const (
	cudaVisible = "CUDA_VISIBLE_DEVICES"
	rocrVisible = "ROCR_VISIBLE_DEVICES"
	hipVisible  = "HIP_VISIBLE_DEVICES"
)

func (g GPUs) variables() []string {
	if len(g.Variables) == 0 {
		return []string{cudaVisible}
	}
	return g.Variables
}

// Count returns how many devices there are to be divided among the ranks of this host. It returns an error when Total is not
// what the first of Variables lists.
func (g GPUs) Count() (int, error) {
	devices, err := g.devices()
	return len(devices), err
}

// devices are the names of the devices to be divided: what the supervisor sees.
func (g GPUs) devices() ([]string, error) {
	variable := g.variables()[0]
	if list, set := os.LookupEnv(variable); set {
		seen := visible(list)
		if g.Total > 0 && g.Total != len(seen) {
			return nil, fmt.Errorf("GPUs: %s=%s lists %d devices, and Total is %d: leave one of them out", variable, list, len(seen), g.Total)
		}
		return seen, nil
	}
	total := g.Total
	if total == 0 {
		nodes, _ := filepath.Glob(deviceDir + "/nvidia[0-9]*")
		total = len(nodes)
	}
	names := make([]string, total)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names, nil
}

var deviceDir = "/dev"

// visible reads a list of devices as the driver does: numbers or UUIDs, up to the first that cannot be one.
func visible(list string) (names []string) {
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" || strings.HasPrefix(name, "-") {
			break
		}
		names = append(names, name)
	}
	return names
}

// checkGPUs: those of other hosts are not ours to count.
func (s *Spec) checkGPUs(l process.Launcher) error {
	if _, far := l.(process.Placer); far {
		return s.GPUs.checkWords()
	}
	return s.GPUs.check(len(s.Ranks))
}

// checkWords reports what makes no sense, wherever the devices are.
func (g GPUs) checkWords() error {
	if g.PerRank == 0 {
		return nil
	}
	if g.PerRank < 0 || g.Total < 0 {
		return fmt.Errorf("GPUs: %d for each rank of %d: a number of devices is not negative", g.PerRank, g.Total)
	}
	for _, name := range g.Variables {
		if name == "" || strings.ContainsAny(name, "= \x00") {
			return fmt.Errorf("GPUs: %q is no name of a variable", name)
		}
	}
	if slices.Contains(g.Variables, rocrVisible) && slices.Contains(g.Variables, hipVisible) {
		return errors.New("GPUs: HIP counts only the devices that " + rocrVisible + " has left: set one of the two")
	}
	return nil
}

// check reports why so many ranks cannot have their devices.
func (g GPUs) check(ranks int) error {
	if err := g.checkWords(); err != nil || g.PerRank == 0 {
		return err
	}
	devices, err := g.devices()
	if err != nil {
		return err
	}
	if need := ranks * g.PerRank; need > len(devices) {
		return fmt.Errorf("GPUs: %d ranks with %d each need %d and there are %d (%s, or /dev/nvidia*): "+
			"start fewer ranks, or say how many there are", ranks, g.PerRank, need, len(devices), g.variables()[0])
	}
	return nil
}

// elsewhere returns what a rank on another host is to see, each "KEY=value": its devices have the numbers that the driver gives them.
func (g GPUs) elsewhere(localRank int) (env []string) {
	numbers := make([]string, max(0, g.PerRank))
	for i := range numbers {
		numbers[i] = strconv.Itoa(localRank*g.PerRank + i)
	}
	for _, name := range g.variables() {
		if g.PerRank > 0 {
			env = append(env, name+"="+strings.Join(numbers, ","))
		}
	}
	return env
}

// environment returns what a rank is to see, each "KEY=value". Where there are too few devices, which check reports, it
// is none.
func (g GPUs) environment(localRank int) (env []string) {
	if g.PerRank <= 0 {
		return nil
	}
	devices, _ := g.devices()
	first := min(localRank*g.PerRank, len(devices))
	mine := strings.Join(devices[first:min(first+g.PerRank, len(devices))], ",")
	for _, name := range g.variables() {
		env = append(env, name+"="+mine)
	}
	return env
}
