package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// patient is sarama's client for a group. A partition whose leader cannot be asked is
// one that cannot be read yet, which sarama tries again every 5 s. Without it such a
// partition would be an error that ends the session, and with it all other claims, as
// often as the member joins.
type patient struct {
	sarama.Client
	g   *Group
	ctx context.Context // ends with Run's

	mu    sync.Mutex
	asked map[place]*question // under way; guarded by mu
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// question is one try to reach a partition's leader.
type question struct {
	done chan struct{}
	err  error // valid when done is closed
}

var errSilent = errors.New("its leader does not answer")

// PartitionNotReadable is what sarama calls before it reads a partition's offsets. It
// waits for the leader's answer for as long as a connection may take; a rebalance
// waits with it.
func (c *patient) PartitionNotReadable(topic string, partition int32) bool {
	at := place{topic, partition}
	q, err := c.ask(at), errSilent
	late := time.NewTimer(c.g.waits.dial)
	defer late.Stop()
	select {
	case <-q.done:
		err = q.err
	case <-late.C:
	case <-c.ctx.Done():
		return true
	}
	if c.ctx.Err() == nil {
		c.g.unread.tell(at, err)
	}
	if err == nil {
		c.g.wire(at)
	}
	return err != nil
}

// GetOffset is what sarama calls to begin with a partition, which it always does. One that
// we fetch ourselves begins at its end for sarama, until it can be paused: the log is said
// to start there.
func (c *patient) GetOffset(topic string, partition int32, time int64) (int64, error) {
	if time == sarama.OffsetOldest && c.g.wired(place{topic, partition}) {
		time = sarama.OffsetNewest
	}
	return c.Client.GetOffset(topic, partition, time)
}

// ask asks a partition's leader, unless it is being asked already.
func (c *patient) ask(at place) *question {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q := c.asked[at]; q != nil {
		return q
	}
	q := &question{done: make(chan struct{})}
	c.asked[at] = q
	c.g.asking.Go(func() {
		q.err = c.reach(at)
		c.mu.Lock()
		delete(c.asked, at)
		c.mu.Unlock()
		close(q.done)
	})
	return q
}

// reach asks for the end of the log, as sarama will next. A connection may have been
// cut, or a leader have moved, since it was used last: so it tries again.
func (c *patient) reach(at place) (err error) {
	for try := 1; try <= 3 && c.ctx.Err() == nil; try++ {
		if c.Client.PartitionNotReadable(at.topic, at.partition) {
			_ = c.RefreshMetadata(at.topic)
		}
		if _, err = c.GetOffset(at.topic, at.partition, sarama.OffsetNewest); err == nil {
			return nil
		}
		select {
		case <-time.After(c.g.waits.backoff.Pause(try)):
		case <-c.ctx.Done():
		}
	}
	return err
}

// unread is the partitions of a group that cannot be read now. Each is logged when
// that begins and when it ends; meanwhile health tells of one of them.
type unread struct {
	g *Group

	mu sync.Mutex
	at map[place]*trouble // guarded by mu
}

// tell notes whether a partition can be read.
func (u *unread) tell(at place, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t, log := u.at[at], u.g.log.With("topic", at.topic, "partition", at.partition)
	switch {
	case err != nil:
		if t == nil {
			t = &trouble{}
			u.at[at] = t
		}
		if t.Failed("") {
			log.Warn("cannot read a partition, trying again", "error", err)
		}
		t.seen = time.Now()
		t.err = fmt.Errorf("read %s/%d as %s: %w", at.topic, at.partition, u.g.opts.Group, err)
		u.g.cluster.Health.Fail(t.err)
	case t != nil:
		down, _ := t.OK()
		log.Info("partition can be read again", "after", down)
		u.drop(at)
	}
}

// forget drops what nobody asked for lately: the partition is another member's now.
func (u *unread) forget(before time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for at, t := range u.at {
		if t.seen.Before(before) {
			u.drop(at)
		}
	}
}

// drop ends a trouble. The caller holds mu.
func (u *unread) drop(at place) {
	delete(u.at, at)
	if len(u.at) == 0 && u.g.joined.Load() {
		u.g.cluster.Health.OK()
	}
}

// any reports whether there is one.
func (u *unread) any() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.at) > 0
}
