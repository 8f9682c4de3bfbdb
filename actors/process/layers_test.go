package process_test

import (
	"os"
	"testing"

	"github.com/go-muster/muster/actors/process"
)

// launcher starts the processes of the tests. MUSTER_TEST_LAYERS=none runs all of them at the weakest level, where there is
// neither cgroup nor watchdog (T31).
var launcher = func() process.Launcher {
	if os.Getenv("MUSTER_TEST_LAYERS") == "none" {
		return bare
	}
	return process.Local()
}()

var bare = process.LocalWith(process.Layers{NoCgroup: true, NoWatchdog: true})

// withLayers lets the rest of a test use another launcher.
func withLayers(t *testing.T, l process.Launcher) {
	before := launcher
	launcher = l
	t.Cleanup(func() { launcher = before })
}
