package host

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// memory returns the bytes of memory of this machine.
func memory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return info.Totalram * uint64(info.Unit)
}

// gpus returns how many devices of NVIDIA's there are.
func gpus() int {
	devices, _ := filepath.Glob("/dev/nvidia[0-9]*")
	return len(devices)
}
