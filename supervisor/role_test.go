package supervisor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
	"github.com/go-muster/muster/actors/process/processtest"
	"github.com/go-muster/muster/supervisor"
)

// TestRoles: a rank finds its place among those of its role, the report has it, and a rank that joins counts too.
func TestRoles(t *testing.T) {
	processtest.Check(t)
	s := spec(4)
	for rank, role := range []string{"trainer", "reader", "trainer", ""} {
		s.Ranks[rank].Role = role
	}
	p := begin(t, s)
	p.events.await(supervisor.EventRunning, 1)
	ranks := []*actorstest.Process{p.rank(0, 0), p.rank(1, 0), p.rank(2, 0), p.rank(3, 0)}
	p.expectEnv(ranks[0], "ROLE_NAME=trainer", "ROLE_RANK=0", "ROLE_WORLD_SIZE=2", "RANK=0", "WORLD_SIZE=4")
	p.expectEnv(ranks[1], "ROLE_NAME=reader", "ROLE_RANK=0", "ROLE_WORLD_SIZE=1")
	p.expectEnv(ranks[2], "ROLE_NAME=trainer", "ROLE_RANK=1", "ROLE_WORLD_SIZE=2", "LOCAL_RANK=2")
	p.expectEnv(ranks[3], "ROLE_NAME=default", "ROLE_RANK=0", "ROLE_WORLD_SIZE=1")
	if _, err := p.Add(s.Ranks[1:2], "more to read"); err != nil {
		t.Fatal(err)
	}
	ranks = append(ranks, p.rank(4, 1))
	p.expectEnv(ranks[4], "ROLE_NAME=reader", "ROLE_RANK=1", "ROLE_WORLD_SIZE=2")
	for _, rank := range ranks {
		rank.Exit(process.Exit{})
	}
	p.expectEnd(nil)
	text, err := json.Marshal(p.Report())
	if err != nil {
		t.Fatal(err)
	}
	read, err := supervisor.ReadReport(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for rank, want := range []supervisor.RankReport{{Role: "trainer"}, {Role: "reader"}, {Role: "trainer", RoleRank: 1}, {}, {Role: "reader", RoleRank: 1}} {
		if got := read.Ranks[rank]; got.Role != want.Role || got.RoleRank != want.RoleRank {
			t.Errorf("rank %d is reported as %s/%d", rank, got.Role, got.RoleRank)
		}
	}
}

// TestBadRole: a name that would not stand in an environment, or in trainer/1, is refused before anything starts.
func TestBadRole(t *testing.T) {
	for _, role := range []string{"a b", "a/b", "a\n", "a\x00"} {
		s := supervisor.Spec{Ranks: supervisor.Repeat(1, process.Command{Args: []string{"true"}, Role: role})}
		if err := s.Check(process.Local()); !errors.Is(err, supervisor.ErrSpec) || !strings.Contains(err.Error(), "the role") {
			t.Errorf("%q: %v", role, err)
		}
	}
}
