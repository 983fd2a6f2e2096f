package kafka

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/IBM/sarama"
)

// held is what members of a group have, as the broker and sarama would bring it about.
type held map[string]map[string][]int32

// meta is what the members say when they join.
func (h held) meta(generation int32, topics ...string) map[string]sarama.ConsumerGroupMemberMetadata {
	out := map[string]sarama.ConsumerGroupMemberMetadata{}
	for m, parts := range h {
		meta := sarama.ConsumerGroupMemberMetadata{Version: 1, Topics: topics, UserData: binary.BigEndian.AppendUint32(nil, uint32(generation))}
		for t, ps := range parts {
			meta.OwnedPartitions = append(meta.OwnedPartitions, &sarama.OwnedPartition{Topic: t, Partitions: ps})
		}
		out[m] = meta
	}
	return out
}

// settle plans until nobody has to let go of anything; after each plan no lane is with two
// members, and nobody gets what another one has.
func (h held) settle(t *testing.T, b *laneBalance, topics map[string][]int32) (rounds int) {
	t.Helper()
	names := slices.Sorted(maps.Keys(topics))
	for {
		rounds++
		plan, err := b.Plan(h.meta(int32(rounds), names...), topics)
		if err != nil {
			t.Fatal(err)
		}
		again := false
		for m, had := range h {
			for topic, ps := range had {
				for _, p := range ps {
					if !slices.Contains(plan[m][topic], p) {
						again = true
						for other := range h {
							if slices.Contains(plan[other][topic], p) {
								t.Fatalf("%s/%d is given to %s while %s has it", topic, p, other, m)
							}
						}
					}
				}
			}
		}
		with := map[laneKey]string{}
		for m := range h {
			h[m] = map[string][]int32{}
			for topic, ps := range plan[m] {
				h[m][topic] = ps
				for _, p := range ps {
					k := laneKey{topic, laneOf(p, b.lanes)}
					if with[k] != "" && with[k] != m {
						t.Fatalf("lane %v is with %s and %s", k, with[k], m)
					}
					with[k] = m
				}
			}
		}
		if !again {
			return rounds
		}
		if rounds > 5 {
			t.Fatal("members let go of partitions for ever")
		}
	}
}

func (h held) loads() (out []int) {
	for _, m := range slices.Sorted(maps.Keys(h)) {
		n := 0
		for _, ps := range h[m] {
			n += len(ps)
		}
		out = append(out, n)
	}
	return out
}

func numbers(n int) (out []int32) {
	for i := range n {
		out = append(out, int32(i))
	}
	return out
}

func TestLanesAreSharedOut(t *testing.T) {
	f := func(lanes, partitions, members int, want string) {
		t.Helper()
		h := held{}
		for i := range members {
			h[fmt.Sprint("m", i)] = nil
		}
		b := newLaneBalance(lanes)
		h.settle(t, b, map[string][]int32{"logs": numbers(partitions)})
		if got := fmt.Sprint(h.loads()); got != want {
			t.Errorf("%d partitions in %d lanes with %d members: %s, want %s", partitions, lanes, members, got, want)
		}
	}
	f(8, 64, 1, "[64]")
	f(8, 64, 2, "[32 32]")
	f(8, 64, 3, "[24 24 16]")
	f(8, 4, 3, "[2 1 1]")
	f(8, 9, 2, "[5 4]")
	f(8, 1, 2, "[1 0]")
	f(2, 64, 3, "[32 32 0]")
}

// Whatever comes and goes, lanes stay together, all of them are with somebody, and no more
// move than have to.
func TestLanesStayTogether(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		b := newLaneBalance(1 + rnd.IntN(9))
		topics := map[string][]int32{"a": numbers(1 + rnd.IntN(20)), "b": numbers(1 + rnd.IntN(70))}
		h := held{"m0": nil}
		for step := range 12 {
			switch rnd.IntN(4) {
			case 0:
				if len(h) > 1 {
					delete(h, slices.Sorted(maps.Keys(h))[rnd.IntN(len(h))])
				}
			case 1:
				topics["b"] = numbers(len(topics["b"]) + rnd.IntN(3))
			default:
				h[fmt.Sprint("m", step+1)] = nil
			}
			h.settle(t, b, topics)
			all := 0
			for _, n := range h.loads() {
				all += n
			}
			if want := len(topics["a"]) + len(topics["b"]); all != want {
				t.Fatalf("seed %d: %d partitions are with somebody, want %d", seed, all, want)
			}
			before := fmt.Sprint(h)
			if h.settle(t, b, topics); fmt.Sprint(h) != before {
				t.Fatalf("seed %d: lanes move without need:\n%s\n%v", seed, before, h)
			}
		}
	}
}

// A member that was away says that it has what is another's since.
func TestLaneOfTheLatestGenerationCounts(t *testing.T) {
	b := newLaneBalance(8)
	members := held{"old": {"logs": {0}}}.meta(3, "logs")
	maps.Copy(members, held{"new": {"logs": {0}}}.meta(4, "logs"))
	plan, err := b.Plan(members, map[string][]int32{"logs": {0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(plan["new"]["logs"], plan["old"]["logs"]); got != "[0] [1]" {
		t.Errorf("planned %s, want partition 0 with the new one", got)
	}
}
