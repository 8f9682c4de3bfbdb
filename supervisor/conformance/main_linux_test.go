package conformance_test

import (
	"testing"

	"github.com/go-muster/muster/actors/process/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }
