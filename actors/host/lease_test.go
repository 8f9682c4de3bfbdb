package host

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestLease: whatever the network does to questions and answers, the agent's lease has ended before the root takes it for
// lost, by the fence at least.
func TestLease(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 3))
		const lease = 10 * time.Second
		now := time.Now()
		tenure := newTenure(lease, now)
		rootUntil := now.Add(time.Duration(random.Int64N(int64(time.Second)))).Add(lease + fence(lease)) // the answer to Join
		type word struct {
			n  uint64
			at time.Time
		}
		var questions, answers []word
		for range 200 {
			now = now.Add(time.Duration(random.Int64N(int64(3 * time.Second))))
			switch random.IntN(4) {
			case 0:
				questions = append(questions, word{tenure.ask(now), now})
			case 1: // the root answers one, perhaps an old one, unless it has given up
				if len(questions) > 0 && now.Before(rootUntil) {
					q := questions[random.IntN(len(questions))]
					answers = append(answers, word{q.n, now})
					if until := now.Add(lease + fence(lease)); until.After(rootUntil) {
						rootUntil = until
					}
				}
			case 2: // an answer arrives, perhaps again
				if len(answers) > 0 {
					tenure.granted(answers[random.IntN(len(answers))].n)
				}
			case 3:
				if len(questions) > 8 {
					questions = questions[1:]
				}
			}
			if left := rootUntil.Sub(tenure.until); left < fence(lease) {
				t.Fatalf("seed %d: the root's bound is %v after the agent's, want %v", seed, left, fence(lease))
			}
			if len(tenure.asked) > 201 {
				t.Fatalf("seed %d: %d questions are kept", seed, len(tenure.asked))
			}
		}
	}
}
