package embedded

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// throttled is the code THROTTLING_QUOTA_EXCEEDED: nothing was stored, try again later.
const throttled = 89

// A producer whose records have no room waits so long for it, looked for every step, before
// it is refused: mostly the reader goes on meanwhile, and there is nothing to report. Other
// connections are served.
var (
	longestHold = 5 * time.Second
	holdStep    = 100 * time.Millisecond
)

// hold is refuse, after waiting for room.
func (c *cluster) hold(req *kmsg.ProduceRequest) (resp *kmsg.ProduceResponse, taken bool) {
	resp, taken = c.refuse(req)
	for began := time.Now(); !taken && time.Since(began) < longestHold; {
		c.SleepControl(func() { time.Sleep(holdStep) })
		if c.closing.Load() {
			break // nobody is left to ask for room
		}
		resp, taken = c.refuse(req)
	}
	return resp, taken
}

// refuse answers a request for which there is no room; taken is true for one that may be
// stored. The answer is also nil for one that is refused and wants none. The cluster's
// goroutine waits for it.
func (c *cluster) refuse(req *kmsg.ProduceRequest) (resp *kmsg.ProduceResponse, taken bool) {
	why := c.diskFull()
	for i := 0; i < len(req.Topics) && why == ""; i++ {
		t := &req.Topics[i]
		topic := t.Topic
		if info := c.TopicIDInfo(t.TopicID); req.Version >= 13 && info != nil {
			topic = info.Topic
		}
		for _, p := range t.Partitions {
			if why = c.makeRoom(topic, p.Partition, int64(len(p.Records))); why != "" {
				break
			}
		}
	}
	if why == "" {
		return nil, true
	}
	if req.Acks == 0 {
		return nil, false
	}
	resp = req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.BaseOffset = p.Partition, -1
			rp.ErrorCode, rp.ErrorMessage = throttled, &why
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, false
}

// diskFull says so if less is free than has to stay.
func (c *cluster) diskFull() string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(c.o.Dir, &fs); err != nil {
		return "" // the write will show
	}
	if free := int64(fs.Bavail) * int64(fs.Bsize); free < c.o.Free {
		return fmt.Sprintf("the disk of %s has %d MiB free, and %d are to stay so", c.o.Dir, free>>20, c.o.Free>>20)
	}
	return ""
}

// makeRoom drops the oldest segments of a partition, if its share would be used up by more
// bytes, and says why if it still would.
func (c *cluster) makeRoom(topic string, partition int32, more int64) string {
	info := c.PartitionInfo(topic, partition)
	if info == nil || info.NumBytes+more <= c.share {
		return ""
	}
	reader := c.o.Readers[topic]
	floor := info.HighWatermark
	if reader != "" {
		floor = c.committed(reader, topic, partition)
	}
	dir := filepath.Join(c.o.Dir, partitionsDir, fmt.Sprintf("%s-%d", url.PathEscape(topic), partition))
	bases, err := segmentBases(dir)
	if err != nil {
		return err.Error()
	}
	left := info.NumBytes
	for i := 1; i < len(bases) && bases[i] <= floor && left+more > c.share-c.share/segmentsInShare; i++ {
		seg, err := os.Stat(filepath.Join(dir, strconv.FormatInt(bases[i-1], 10)+segmentSuffix))
		if err == nil {
			err = c.DeleteRecords(topic, partition, bases[i])
		}
		if err != nil {
			return fmt.Sprintf("drop the records of %s/%d below offset %d: %v", topic, partition, bases[i], err)
		}
		left -= seg.Size()
	}
	if left+more <= c.share {
		return ""
	}
	return fmt.Sprintf("%s/%d holds %d MiB, its share of the disk is %d MiB, and what group %q has not committed is kept: it has committed up to offset %d of %d",
		topic, partition, left>>20, c.share>>20, reader, max(floor, info.LogStartOffset), info.HighWatermark)
}

// committed is what the group has committed of a partition, -1 if nothing.
func (c *cluster) committed(group, topic string, partition int32) int64 {
	g := c.GroupInfo(group)
	if g == nil {
		return -1
	}
	if at, ok := g.Commits[topic][partition]; ok {
		return at.Offset
	}
	return -1
}
