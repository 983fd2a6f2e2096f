package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/ack"
	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// position is an offset to read from and the log that it is of.
type position struct {
	offset int64 // -1: none
	origin origin
	out    bool // the leader has said that it is out of its range
	mark   bool // it is for eyes: a relay's truth is in the cluster that it writes to
}

// begin finds out where the claim starts, and reports what was deleted before we came
// to read it, and a log that is another one than what was committed is of. Nothing is
// handed out before. before is where an earlier claim of the session ended; nil: there
// was none. False: the partition was taken away meanwhile.
func (c *Claim) begin(before *position) bool {
	if !c.wired {
		c.beginOld()
		return c.g.opts.Lanes == nil || c.joinLane()
	}
	here := place{c.topic, c.partition}
	for try := 1; ; try++ {
		at, l, err := c.locate(before)
		if err == nil {
			if try > 5 {
				c.g.unread.tell(here, nil)
			}
			c.from, c.origin = at.offset, at.origin
			c.acks = ack.New(c.from)
			c.g.fetch.add(c, at.origin, l, c.ids)
			return true
		}
		if try > 5 {
			c.g.unread.tell(here, err)
		}
		pause := time.NewTimer(c.g.waits.backoff.Pause(try))
		for waiting := true; waiting; {
			select {
			case <-c.session.Context().Done():
				return false
			case _, ok := <-c.source.Messages(): // closed: it is another's; what sarama reads we do not need
				if !ok {
					return false
				}
			case <-pause.C:
				waiting = false
			}
		}
	}
}

// locate asks for all that decides where to begin.
func (c *Claim) locate(before *position) (at position, l leader, err error) {
	here := place{c.topic, c.partition}
	l, id, err := c.g.fetch.leads(here)
	if err != nil {
		return at, l, fmt.Errorf("find the leader of %s/%d: %w", c.topic, c.partition, err)
	}
	var start int64
	var committed position
	if before == nil || c.g.opts.Lanes != nil {
		start, committed, err = c.g.offsets(c.topic, c.partition)
	} else {
		committed = *before
		start, err = c.g.logStart(c.topic, c.partition)
	}
	if lanes := c.g.opts.Lanes; lanes != nil && err == nil {
		committed, err = lanes.begin(c.session.Context(), c, id, committed)
		committed.out = before != nil && before.out
	}
	if err != nil {
		return at, l, err
	}
	if c.ids = id; id == (wire.TopicID{}) { // a broker of before 2.8 among newer ones
		c.ids = committed.origin.topic
	}
	anew := position{offset: start, origin: origin{c.ids, -1}}
	switch {
	case committed.offset < 0:
		anew.offset, err = c.g.first(c.topic, c.partition, start)
		return anew, l, err
	case committed.origin.another(id):
		c.rewound("the topic was deleted and made anew since offsets were committed, reading it from its start", committed.offset, start)
		return anew, l, nil
	case committed.offset < start:
		c.missed(committed.offset, start)
		return anew, l, nil
	}
	end, known := int64(0), false
	if committed.origin.epoch >= 0 {
		if end, known, err = c.ends(here, l, committed.origin.epoch); err != nil {
			return at, l, err
		}
	}
	if !known && committed.out { // the log ends before; or a leader is late to know what it has
		end, err = c.g.clientNow().GetOffset(c.topic, c.partition, sarama.OffsetNewest)
		if err != nil {
			return at, l, fmt.Errorf("read the end of %s/%d: %w", c.topic, c.partition, err)
		}
		if end < committed.offset {
			c.rewound("the partition is shorter than what was committed, reading it from its start", committed.offset, start)
			return anew, l, nil
		}
	}
	if known && end < committed.offset {
		anew.offset = max(end, start)
		c.rewound("the log has lost records that were read, reading it from where it differs", committed.offset, anew.offset)
		return anew, l, nil
	}
	return position{offset: committed.offset, origin: origin{c.ids, committed.origin.epoch}}, l, nil
}

// first is where a partition begins of which nothing was committed; start is that of its log.
func (g *Group) first(topic string, partition int32, start int64) (int64, error) {
	if g.opts.Since <= 0 {
		return start, nil
	}
	client := g.clientNow()
	offset, err := client.GetOffset(topic, partition, time.Now().Add(-g.opts.Since).UnixMilli())
	if err == nil && offset < 0 { // all is older
		offset, err = client.GetOffset(topic, partition, sarama.OffsetNewest)
	}
	if err != nil {
		return 0, fmt.Errorf("find the records of the last %v in %s/%d: %w", g.opts.Since, topic, partition, err)
	}
	return max(offset, start), nil
}

// ends is where the records of an epoch end in the log; known is false if the leader
// does not say.
func (c *Claim) ends(at place, l leader, epoch int32) (end int64, known bool, err error) {
	conn, err := c.g.fetch.broker(l.addr).connect()
	if err != nil {
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.g.waits.answer)
	defer cancel()
	return epochEnd(ctx, conn, at, l.epoch, epoch)
}

// missed reports records that were deleted before they were read.
func (c *Claim) missed(committed, start int64) {
	c.g.cluster.registry().Counter(gapRecords, c.g.cluster.Name, c.g.opts.Group, c.topic).Add(float64(start - committed))
	c.g.log.Error("records were deleted before they were read", "topic", c.topic, "partition", c.partition,
		"committed", committed, "log_start", start, "records", start-committed)
}

// rewound reports that the claim begins below what was committed.
func (c *Claim) rewound(text string, committed, from int64) {
	c.g.cluster.registry().Counter(rewinds, c.g.cluster.Name, c.g.opts.Group, c.topic).Inc()
	c.g.log.Error(text, "topic", c.topic, "partition", c.partition, "committed", committed, "from", from)
	c.session.ResetOffset(c.topic, c.partition, from, origin{c.ids, -1}.String()) // sarama's marks only move forward
}

// beginOld is begin where sarama fetches. It has found a place to begin by itself, and
// starts over if that is out of range.
func (c *Claim) beginOld() {
	c.origin.epoch = -1
	c.from = c.source.InitialOffset()
	if c.from >= 0 {
		c.acks = ack.New(c.from)
		return
	}
	var start int64
	var committed position
	var err error
	for try := 1; try <= 3; try++ {
		if start, committed, err = c.g.offsets(c.topic, c.partition); err == nil {
			break
		}
		select {
		case <-c.session.Context().Done():
		case <-time.After(c.g.waits.backoff.Pause(try)):
		}
	}
	if err != nil {
		c.g.log.Warn("cannot tell whether records were missed", "topic", c.topic, "partition", c.partition, "error", err)
	}
	c.from = start
	c.acks = ack.New(start)
	switch {
	case committed.offset < 0 || err != nil:
	case committed.offset < start:
		c.missed(committed.offset, start)
	default:
		c.rewound("the partition is shorter than what was committed, reading it from its start", committed.offset, start)
	}
}

// joinLane is begin of a lane's claim where sarama fetches, after beginOld: what is below the
// lane's place is left out. If that is before where sarama has begun, it has to begin anew.
func (c *Claim) joinLane() bool {
	for try := 1; ; try++ {
		at, err := c.g.opts.Lanes.begin(c.session.Context(), c, wire.TopicID{}, position{offset: c.from, origin: origin{epoch: -1}, mark: true})
		switch {
		case err == nil && at.offset >= 0 && at.offset < c.from:
			c.session.ResetOffset(c.topic, c.partition, at.offset, "")
			c.g.meant.Store(true)
			return false // which ends the session
		case err == nil:
			c.from = max(c.from, at.offset)
			c.acks = ack.New(c.from)
			return true
		}
		c.g.report(err)
		select {
		case <-c.session.Context().Done():
			return false
		case <-time.After(c.g.waits.backoff.Pause(try)):
		}
	}
}

// Restart ends the claim, for a new one to begin where the last marked record ended, or where
// its lane says.
func (c *Claim) Restart(why error) { c.restart(why) }

// Open is the bytes that were handed out and are not below the mark.
func (c *Claim) Open() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// renew ends the claim, for a new one to begin that finds out where: sarama's session
// and the other claims go on. What was fetched is handed out before, unless it is of
// another log.
func (c *Claim) renew(err error) {
	if c.stream != nil {
		c.g.fetch.room(c.stream, false)
	}
	if errors.Is(err, errOtherLog) || errors.Is(err, errCutLog) {
		c.restart(err)
		return
	}
	select {
	case c.final <- err:
	default:
	}
	c.wake.Raise()
}

// restart is renew without waiting; the first reason counts.
func (c *Claim) restart(err error) {
	select {
	case c.anew <- err:
	default:
	}
}
