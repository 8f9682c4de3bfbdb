package supervisor_test

import (
	"testing"

	"github.com/go-muster/muster/supervisor/supervisortest"
)

// TestTranscripts holds the machine to the conversations in testdata/*.txt. To write the answers anew:
//
//	go test ./supervisor -run Transcripts -rewrite
func TestTranscripts(t *testing.T) { supervisortest.Transcripts(t, "testdata", nil) }
