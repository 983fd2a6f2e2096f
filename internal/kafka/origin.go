package kafka

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// origin is which log an offset is of: a topic may be deleted and made anew under its
// name, and a log may lose its end when a replica that is behind becomes the leader. An
// offset of another log means nothing, even if the log is as long. It is kept in the
// metadata of what is committed:
//
//	sluice1 <topic id, base64url> <leader epoch of the record before the offset>
type origin struct {
	topic wire.TopicID // zero: the brokers have no topic ids (before Kafka 2.8)
	epoch int32        // -1: unknown
}

const originMark = "sluice1"

// markWord after it says that what is committed is for eyes: a lane's truth is elsewhere.
const markWord = "mark"

// isMark says whether what was committed is for eyes.
func isMark(s string) bool {
	f := strings.Fields(s)
	return len(f) > 1 && f[0] == originMark && f[len(f)-1] == markWord
}

// String is what is committed; "" if nothing is known.
func (o origin) String() string {
	if o.topic == (wire.TopicID{}) && o.epoch < 0 {
		return ""
	}
	return o.text()
}

func (o origin) text() string {
	return originMark + " " + base64.RawURLEncoding.EncodeToString(o.topic[:]) + " " + strconv.Itoa(int(o.epoch))
}

// parseOrigin reads what was committed; what others wrote, or older versions of sluice,
// is an origin of which nothing is known.
func parseOrigin(s string) origin {
	unknown := origin{epoch: -1}
	f := strings.Fields(strings.TrimSuffix(s, " "+markWord))
	if len(f) != 3 || f[0] != originMark {
		return unknown
	}
	o := unknown
	id, err := base64.RawURLEncoding.DecodeString(f[1])
	if err != nil || len(id) != len(o.topic) {
		return unknown
	}
	epoch, err := strconv.ParseInt(f[2], 10, 32)
	if err != nil {
		return unknown
	}
	copy(o.topic[:], id)
	o.epoch = int32(epoch)
	return o
}

// another says whether the offset is of a topic that exists no more.
func (o origin) another(now wire.TopicID) bool {
	none := wire.TopicID{}
	return o.topic != none && now != none && o.topic != now
}

const keyEpochEnd = 23 // OffsetForLeaderEpoch

// epochEnd asks the leader where in its log the records of an epoch end: a log that
// goes on with another epoch below an offset that was read in this one has lost what was
// read. ok is false if the leader does not know.
func epochEnd(ctx context.Context, conn *wire.Conn, at place, current, epoch int32) (end int64, ok bool, err error) {
	version := min(conn.Highest(keyEpochEnd), 4)
	if version < 2 {
		return 0, false, nil
	}
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = at.partition, current, epoch
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic, t.Partitions = at.topic, append(t.Partitions, p)
	req, resp := kmsg.NewPtrOffsetForLeaderEpochRequest(), kmsg.NewPtrOffsetForLeaderEpochResponse()
	req.Version, req.ReplicaID, req.Topics = version, -1, append(req.Topics, t)
	if err := conn.Call(ctx, req, resp); err != nil {
		return 0, false, fmt.Errorf("ask where epoch %d of %s/%d ends: %w", epoch, at.topic, at.partition, err)
	}
	conn.Throttle(throttled(resp.ThrottleMillis))
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, false, fmt.Errorf("ask where epoch %d of %s/%d ends: %w", epoch, at.topic, at.partition, wire.ErrBroken)
	}
	a := resp.Topics[0].Partitions[0]
	if a.ErrorCode != 0 {
		return 0, false, fmt.Errorf("ask where epoch %d of %s/%d ends: %w", epoch, at.topic, at.partition, code(a.ErrorCode))
	}
	return a.EndOffset, a.EndOffset >= 0, nil
}
