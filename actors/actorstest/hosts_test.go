package actorstest_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/go-muster/muster/actors/actorstest"
	"github.com/go-muster/muster/actors/process"
)

// TestHosts: the hosts have the room that the test gives them, and who is lost with one hears of that after the room.
func TestHosts(t *testing.T) {
	h := actorstest.NewHosts(t, time.Second)
	h.Add("a", 2)
	var rooms []process.Room
	team := h.Join(0, func(r process.Room) { rooms = append(rooms, r) })
	h.Add("b", 2)
	plan, err := team.Place(3, []string{"", "b"})
	if err != nil || plan.Hosts != 2 || plan.Port == 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	a := process.Place{Host: "a", Addr: "a.test", Locals: 2}
	second := a
	second.Local = 1
	want := []process.Place{a, {Host: "b", Addr: "b.test", Node: 1, Locals: 1}, second}
	if !reflect.DeepEqual(plan.Places, want) {
		t.Errorf("the places are %+v", plan.Places)
	}
	audiences := make([]audience, 3)
	for rank, place := range plan.Places {
		_, err := team.Launch(process.ID{Rank: rank}, process.Command{Host: place.Host}, &audiences[rank])
		if err != nil {
			t.Fatal(err)
		}
	}
	h.Lose("a", "no reason")
	var lost *process.HostLostError
	for _, rank := range []int{0, 2} {
		if exits := audiences[rank].exits; len(exits) != 1 || !errors.As(exits[0].Err, &lost) || len(lost.Lives) != 2 {
			t.Errorf("rank %d was told %+v", rank, exits)
		}
	}
	h.Next(t.Context()).Ready() // nobody hears it
	if _, err := team.Launch(process.ID{}, process.Command{Host: "a"}, &audience{}); !errors.Is(err, process.ErrHostLost) {
		t.Errorf("a launch on a host that is lost: %v", err)
	}
	if _, err := team.Place(3, nil); !errors.Is(err, process.ErrNoRoom) {
		t.Errorf("three places of two: %v", err)
	}
	h.Next(t.Context()).Exit(process.Exit{})
	plan.Release()
	team.Leave()
	for i, want := range []process.Room{
		{Ranks: 2, Hosts: 1}, {Ranks: 4, Hosts: 2, Why: "host b has joined"}, {Ranks: 2, Hosts: 1, Why: "host a is lost: no reason"},
	} {
		if rooms[i] != want {
			t.Errorf("room %d is %+v, want %+v", i, rooms[i], want)
		}
	}
}

// TestHostsShared: what one group has is not another's, and who keeps a port or never leaves is at fault.
func TestHostsShared(t *testing.T) {
	s := &subject{TB: t}
	h := actorstest.NewHosts(s, time.Second)
	h.Add("a", 2)
	var room process.Room
	one, other := h.Join(0, func(process.Room) {}), h.Join(0, func(r process.Room) { room = r })
	if _, err := one.Place(1, nil); err != nil || one.Patience() != time.Second {
		t.Fatal(err)
	}
	if _, err := other.Place(2, nil); !errors.Is(err, process.ErrNoRoom) {
		t.Errorf("two places, of which one is taken: %v", err)
	}
	one.Leave()
	if s.errors != 1 || room.Ranks != 2 {
		t.Errorf("%d faults, and room %+v", s.errors, room)
	}
	for _, f := range s.cleanups {
		f()
	}
	if s.errors != 2 {
		t.Errorf("%d faults", s.errors)
	}
}
