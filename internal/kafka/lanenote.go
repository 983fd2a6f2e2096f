package kafka

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// laneNote is where a lane's partitions are to be read on. It is the metadata of one offset
// that the lane commits with each transaction: one offset a partition would take a group a
// partition, since brokers keep offsets only of partitions that they have.
//
//	sluice-lane1 <number of the commit> <topic id, base64url> <partition>:<offset>:<leader epoch>[:<its topic id>] ...
//
// The offset itself is the sum of all, for eyes.
type laneNote struct {
	commits int64
	at      map[int32]position // by partition
}

const (
	laneMark = "sluice-lane1"
	noteMost = 4096 // offset.metadata.max.bytes, unless brokers are told otherwise
)

// String is what is committed.
func (n *laneNote) String() string {
	nums := slices.Sorted(maps.Keys(n.at))
	var id wire.TopicID
	if len(nums) > 0 {
		id = n.at[nums[0]].origin.topic
	}
	b := fmt.Appendf(nil, "%s %d %s", laneMark, n.commits, encodeID(id))
	for _, num := range nums {
		p := n.at[num]
		b = fmt.Appendf(b, " %d:%d:%d", num, p.offset, p.origin.epoch)
		if p.origin.topic != id { // the topic is being made anew
			b = fmt.Appendf(b, ":%s", encodeID(p.origin.topic))
		}
	}
	return string(b)
}

func encodeID(id wire.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func decodeID(s string) (id wire.TopicID, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	ok = err == nil && len(b) == len(id)
	copy(id[:], b)
	return id, ok
}

// sum is the offset that is committed.
func (n *laneNote) sum() (sum int64) {
	for _, p := range n.at {
		sum += max(0, p.offset)
	}
	return sum
}

// parseLaneNote reads what was committed; false: something else was.
func parseLaneNote(s string) (*laneNote, bool) {
	f := strings.Fields(s)
	if len(f) < 3 || f[0] != laneMark {
		return nil, false
	}
	n := &laneNote{at: map[int32]position{}}
	var err error
	if n.commits, err = strconv.ParseInt(f[1], 10, 64); err != nil || n.commits < 0 {
		return nil, false
	}
	topic, ok := decodeID(f[2])
	if !ok {
		return nil, false
	}
	for _, text := range f[3:] {
		part := strings.Split(text, ":")
		if len(part) != 3 && len(part) != 4 {
			return nil, false
		}
		own := topic
		if len(part) == 4 {
			if own, ok = decodeID(part[3]); !ok {
				return nil, false
			}
		}
		num, err1 := strconv.ParseInt(part[0], 10, 32)
		offset, err2 := strconv.ParseInt(part[1], 10, 64)
		epoch, err3 := strconv.ParseInt(part[2], 10, 32)
		if err1 != nil || err2 != nil || err3 != nil || num < 0 || offset < 0 || epoch < -1 {
			return nil, false
		}
		n.at[int32(num)] = position{offset: offset, origin: origin{topic: own, epoch: int32(epoch)}}
	}
	return n, true
}

// latest is the note of the last commit among what a group has.
func latest(notes map[place]note) (n *laneNote, key string) {
	for at, kept := range notes {
		if m, ok := parseLaneNote(kept.text); ok && (n == nil || m.commits > n.commits) {
			n, key = m, at.topic
		}
	}
	return n, key
}
