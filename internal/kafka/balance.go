package kafka

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/IBM/sarama"
)

// laneOf is the lane of a partition.
func laneOf(partition int32, lanes int) int { return int(partition) % lanes }

// laneBalance gives the partitions of a lane to one member, always together: a lane is
// written by one producer. It moves as few lanes as make members carry equally many
// partitions, and a partition goes to its next member only when its last one has let go of
// it. Members that count lanes differently are not in one group: the name says the number.
type laneBalance struct {
	lanes      int
	generation atomic.Int32 // of the last assignment
}

func newLaneBalance(lanes int) *laneBalance {
	b := &laneBalance{lanes: lanes}
	b.generation.Store(-1)
	return b
}

// Name is part of sarama.BalanceStrategy.
func (b *laneBalance) Name() string { return fmt.Sprintf("sluice-lanes-%d", b.lanes) }

// SupportedProtocols is part of sarama.RebalanceProtocolBalanceStrategy.
func (b *laneBalance) SupportedProtocols() []sarama.RebalanceProtocol {
	return []sarama.RebalanceProtocol{sarama.RebalanceProtocolCooperative, sarama.RebalanceProtocolEager}
}

// AssignmentData is part of sarama.BalanceStrategy.
func (b *laneBalance) AssignmentData(string, map[string][]int32, int32) ([]byte, error) {
	return nil, nil
}

// SubscriptionUserData is part of sarama.SubscriptionUserDataBalanceStrategy: a member that
// was away may say that it owns what others have got since, of a later generation.
func (b *laneBalance) SubscriptionUserData([]string) ([]byte, error) {
	return binary.BigEndian.AppendUint32(nil, uint32(b.generation.Load())), nil
}

// OnAssignment is part of sarama.OnAssignmentBalanceStrategy.
func (b *laneBalance) OnAssignment(_ *sarama.ConsumerGroupMemberAssignment, generation int32) {
	b.generation.Store(generation)
}

// laneKey is a lane of a topic.
type laneKey struct {
	topic string
	lane  int
}

func (k laneKey) compare(l laneKey) int {
	return cmp.Or(cmp.Compare(k.topic, l.topic), cmp.Compare(k.lane, l.lane))
}

// Plan is part of sarama.BalanceStrategy.
func (b *laneBalance) Plan(members map[string]sarama.ConsumerGroupMemberMetadata, topics map[string][]int32) (sarama.BalanceStrategyPlan, error) {
	parts := map[laneKey][]int32{}
	for topic, ps := range topics {
		for _, p := range ps {
			k := laneKey{topic, laneOf(p, b.lanes)}
			parts[k] = append(parts[k], p)
		}
	}
	keys := slices.SortedFunc(maps.Keys(parts), laneKey.compare)
	names := slices.Sorted(maps.Keys(members))
	takes := func(member, topic string) bool { return slices.Contains(members[member].Topics, topic) }
	owns := b.owners(members)
	owner, load := map[laneKey]string{}, map[string]int{}
	var free []laneKey
	for _, k := range keys {
		if m := holder(k, parts[k], owns); m != "" && takes(m, k.topic) {
			owner[k] = m
			load[m] += len(parts[k])
			continue
		}
		free = append(free, k)
	}
	for _, k := range free {
		to := ""
		for _, m := range names {
			if takes(m, k.topic) && (to == "" || load[m] < load[to]) {
				to = m
			}
		}
		if to != "" {
			owner[k] = to
			load[to] += len(parts[k])
		}
	}
	for moved := true; moved; { // each move brings two loads closer together, so there is an end
		moved = false
		for _, k := range keys {
			from, n := owner[k], len(parts[k])
			for _, m := range names {
				if from != "" && takes(m, k.topic) && load[m]+n < load[from] {
					owner[k] = m
					load[from], load[m] = load[from]-n, load[m]+n
					moved, from = true, m
				}
			}
		}
	}
	plan := sarama.BalanceStrategyPlan{}
	for _, k := range keys {
		if m := owner[k]; m != "" {
			plan.Add(m, k.topic, ready(k.topic, parts[k], m, owns)...)
		}
	}
	return plan, nil
}

// ownership is who says that it has a partition, and of which generation.
type ownership map[place]map[string]int32

// owners is what members have, in the last generation in which they were given anything.
func (b *laneBalance) owners(members map[string]sarama.ConsumerGroupMemberMetadata) ownership {
	owns := ownership{}
	for m, meta := range members {
		generation := int32(-1)
		if len(meta.UserData) == 4 {
			generation = int32(binary.BigEndian.Uint32(meta.UserData))
		}
		for _, o := range meta.OwnedPartitions {
			for _, p := range o.Partitions {
				at := place{o.Topic, p}
				if owns[at] == nil {
					owns[at] = map[string]int32{}
				}
				owns[at][m] = generation
			}
		}
	}
	return owns
}

// holder is the member that has a lane, or most of it; empty: nobody.
func holder(k laneKey, parts []int32, owns ownership) string {
	var latest int32 = -1
	for _, p := range parts {
		for _, generation := range owns[place{k.topic, p}] {
			latest = max(latest, generation)
		}
	}
	count := map[string]int{}
	for _, p := range parts {
		for m, generation := range owns[place{k.topic, p}] {
			if generation == latest {
				count[m]++
			}
		}
	}
	best := ""
	for _, m := range slices.Sorted(maps.Keys(count)) {
		if best == "" || count[m] > count[best] {
			best = m
		}
	}
	return best
}

// ready is what a member is given of a lane now: while another one has any of it, no more
// than it has already.
func ready(topic string, parts []int32, m string, owns ownership) []int32 {
	foreign := false
	var own []int32
	for _, p := range parts {
		for other := range owns[place{topic, p}] {
			foreign = foreign || other != m
		}
		if _, ok := owns[place{topic, p}][m]; ok {
			own = append(own, p)
		}
	}
	if foreign {
		return own
	}
	return parts
}
