package kafka

import (
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/config"
)

// soakRecords is how many records go through the faults, in TestSoak and in
// TestRealSoak. docs/kafka.md tells of a long run.
var soakRecords = flag.Int("records", 0, "records that the soak tests send; 0 is a number that takes seconds")

// answer codes that are injected, by request. Those that mean "a record of this batch
// cannot be stored" would make the test lose it rightly, so they come for batches of
// several records alone, whose halves are taken.
var (
	coordinatorErrors = []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.UnknownServerError}
	transactionErrors = []*kerr.Error{kerr.ConcurrentTransactions, kerr.InvalidTxnState, kerr.InvalidProducerIDMapping, kerr.InvalidProducerEpoch,
		kerr.ProducerFenced, kerr.TransactionalIDAuthorizationFailed, kerr.TransactionCoordinatorFenced}
	leaderErrors = []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable, kerr.KafkaStorageError,
		kerr.TopicAuthorizationFailed, kerr.UnknownServerError, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch}
	produceErrors = slices.Concat(leaderErrors, []*kerr.Error{kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut,
		kerr.NetworkException, kerr.CorruptMessage, kerr.ClusterAuthorizationFailed, kerr.ThrottlingQuotaExceeded, kerr.PolicyViolation,
		kerr.BrokerNotAvailable, kerr.UnsupportedVersion})
	resetErrors = []*kerr.Error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping}
	splitErrors = []*kerr.Error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp}

	sourceErrors = map[kmsg.Key][]*kerr.Error{
		kmsg.Produce:         produceErrors,
		kmsg.Metadata:        {kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition, kerr.TopicAuthorizationFailed, kerr.UnknownServerError, kerr.KafkaStorageError},
		kmsg.ApiVersions:     {kerr.UnknownServerError, kerr.UnsupportedVersion, kerr.ClusterAuthorizationFailed},
		kmsg.InitProducerID:  {kerr.CoordinatorLoadInProgress, kerr.ClusterAuthorizationFailed, kerr.UnknownServerError, kerr.RequestTimedOut},
		kmsg.FindCoordinator: {kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.GroupAuthorizationFailed, kerr.UnknownServerError},
		kmsg.JoinGroup:       slices.Concat(coordinatorErrors, []*kerr.Error{kerr.UnknownMemberID, kerr.GroupAuthorizationFailed, kerr.RebalanceInProgress, kerr.FencedInstanceID}),
		kmsg.SyncGroup:       slices.Concat(coordinatorErrors, []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.FencedInstanceID}),
		kmsg.Heartbeat:       slices.Concat(coordinatorErrors, []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.FencedInstanceID}),
		kmsg.LeaveGroup:      slices.Concat(coordinatorErrors, []*kerr.Error{kerr.UnknownMemberID, kerr.GroupAuthorizationFailed}),
		kmsg.OffsetFetch:     slices.Concat(coordinatorErrors, []*kerr.Error{kerr.UnstableOffsetCommit, kerr.GroupAuthorizationFailed}),
		kmsg.OffsetCommit:    slices.Concat(coordinatorErrors, []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.RequestTimedOut}),
		kmsg.Fetch: slices.Concat(leaderErrors, []*kerr.Error{kerr.OffsetOutOfRange, kerr.OffsetNotAvailable, kerr.ReplicaNotAvailable, kerr.CorruptMessage,
			kerr.UnknownTopicID, kerr.InconsistentTopicID, kerr.UnsupportedCompressionType, kerr.InvalidRequest, kerr.ThrottlingQuotaExceeded}),
		kmsg.OffsetForLeaderEpoch: leaderErrors,
		kmsg.ListOffsets:          slices.Concat(leaderErrors, []*kerr.Error{kerr.OffsetNotAvailable}),
	}
	targetErrors = map[kmsg.Key][]*kerr.Error{
		kmsg.Produce:            slices.Concat(produceErrors, []*kerr.Error{kerr.InvalidTxnState, kerr.ProducerFenced, kerr.ConcurrentTransactions}),
		kmsg.Metadata:           sourceErrors[kmsg.Metadata],
		kmsg.ApiVersions:        sourceErrors[kmsg.ApiVersions],
		kmsg.InitProducerID:     slices.Concat(coordinatorErrors, transactionErrors),
		kmsg.FindCoordinator:    {kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.TransactionalIDAuthorizationFailed, kerr.UnknownServerError},
		kmsg.AddPartitionsToTxn: slices.Concat(coordinatorErrors, transactionErrors, []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.TopicAuthorizationFailed}),
		kmsg.AddOffsetsToTxn:    slices.Concat(coordinatorErrors, transactionErrors, []*kerr.Error{kerr.GroupAuthorizationFailed}),
		kmsg.TxnOffsetCommit: slices.Concat(coordinatorErrors, []*kerr.Error{kerr.RequestTimedOut, kerr.UnknownTopicOrPartition, kerr.GroupAuthorizationFailed,
			kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.FencedInstanceID, kerr.InvalidProducerEpoch, kerr.ProducerFenced}),
		kmsg.EndTxn:      slices.Concat(coordinatorErrors, transactionErrors),
		kmsg.OffsetFetch: sourceErrors[kmsg.OffsetFetch],
		kmsg.ListGroups:  {kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress},
	}
)

// trap does things to one cluster: error answers, and what a network does.
type trap struct {
	k    *kfake.Cluster
	wire *network
	name string

	set []*kfake.FaultHandle
	of  []string // what each of set is

	mu      sync.Mutex
	fates   map[kmsg.Key][]fate // to come; guarded by mu
	done    map[string]int      // how often each thing was done; guarded by mu
	batches map[string]any      // the first request with each batch of each sequence; guarded by mu
}

func newTrap(t testing.TB, name string, topics ...kfake.Opt) *trap {
	w := newNetwork()
	x := &trap{name: name, wire: w, fates: map[kmsg.Key][]fate{}, done: map[string]int{}, batches: map[string]any{}}
	x.k = fake(t, append(topics, kfake.NumBrokers(3), kfake.ListenFn(w.listen), kfake.GroupMinSessionTimeout(time.Second))...)
	w.set(x.fate)
	x.k.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		x.k.KeepControl()
		ownProducers(r.(*kmsg.ProduceRequest))
		return nil, nil, false
	})
	x.k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Count: -1, Observe: true, When: func(r kmsg.Request) bool {
		x.fresh(r)
		return false
	}})
	return x
}

func (x *trap) fate(key int16) fate {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := kmsg.Key(key)
	if len(x.fates[k]) == 0 {
		return pass
	}
	f := x.fates[k][0]
	x.fates[k] = x.fates[k][1:]
	x.done[k.Name()+" "+fateNames[f]]++
	return f
}

var fateNames = map[fate]string{lose: "cut before", loseAnswer: "cut after", mute: "no answer", stall: "late answer"}

// ownProducers gives each partition producers of its own. A broker keeps epoch and
// sequence of a producer for each partition; kfake has one epoch for all, and so a
// partition that begins the next one would have the tries of the others refused, among
// them those that may have been stored.
func ownProducers(r *kmsg.ProduceRequest) {
	const attributes, producer, transactional = 21, 43, 0x10
	for _, rt := range r.Topics {
		for _, rp := range rt.Partitions {
			b := rp.Records
			if len(b) < 61 || b[attributes+1]&transactional != 0 {
				continue
			}
			id := binary.BigEndian.Uint64(b[producer:])
			binary.BigEndian.PutUint64(b[producer:], id^uint64(rp.Partition)<<40)
			binary.BigEndian.PutUint32(b[attributes-4:], crc32.Checksum(b[attributes:], crc32.MakeTable(crc32.Castagnoli)))
		}
	}
}

// fresh says whether the broker sees all batches of a request for the first time. An
// answer that means "we have lost your sequence" to one that was stored before would
// be a lie that doubles it, as docs/kafka.md says.
func (x *trap) fresh(r kmsg.Request) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	fresh := true
	for _, rt := range r.(*kmsg.ProduceRequest).Topics {
		for _, rp := range rt.Partitions {
			if len(rp.Records) < 61 {
				continue
			}
			id := fmt.Sprintf("%d %x", rp.Partition, rp.Records[43:57]) // producer, epoch, sequence
			if x.batches[id] == nil {
				x.batches[id] = r
			}
			fresh = fresh && x.batches[id] == any(r)
		}
	}
	return fresh
}

// several says whether each batch of a request holds several records.
func several(r kmsg.Request) bool {
	for _, rt := range r.(*kmsg.ProduceRequest).Topics {
		for _, rp := range rt.Partitions {
			if len(rp.Records) < 61 || binary.BigEndian.Uint32(rp.Records[57:]) < 2 {
				return false
			}
		}
	}
	return true
}

// step is one thing to do, at a moment between 0 and 1.
type step struct {
	do func()
	at float64
}

// slow are requests of a group that come once in a while, so that it takes long until
// each has failed in each way: a short run picks a third of that.
var slow = map[kmsg.Key]bool{kmsg.JoinGroup: true, kmsg.SyncGroup: true, kmsg.Heartbeat: true, kmsg.OffsetCommit: true, kmsg.ListOffsets: true,
	kmsg.LeaveGroup: true, kmsg.OffsetForLeaderEpoch: true}

// faults is everything that can be done to the cluster.
func (x *trap) faults(errs map[kmsg.Key][]*kerr.Error) []step {
	var all []step
	put := func(do func()) { all = append(all, step{do, rand.Float64()}) }
	add := func(key kmsg.Key, e *kerr.Error, when func(kmsg.Request) bool) {
		put(func() {
			f := kfake.Fault{Keys: []kmsg.Key{key}, Err: e, Count: 1, When: when}
			x.set = append(x.set, x.k.Fault(f))
			x.of = append(x.of, key.Name()+" "+e.Message)
		})
	}
	for key, es := range errs {
		skip := func() bool { return *soakRecords == 0 && slow[key] && rand.N(3) > 0 }
		for _, e := range es {
			if !skip() {
				add(key, e, nil)
			}
		}
		for _, f := range []fate{lose, loseAnswer, mute, stall} {
			if skip() {
				continue
			}
			put(func() {
				x.mu.Lock()
				defer x.mu.Unlock()
				x.fates[key] = append(x.fates[key], f)
			})
		}
	}
	for _, e := range resetErrors {
		add(kmsg.Produce, e, x.fresh)
	}
	for _, e := range splitErrors {
		add(kmsg.Produce, e, func(r kmsg.Request) bool { return several(r) && x.fresh(r) })
	}
	cluster := func(what string, do func() error) {
		for range 3 {
			put(func() {
				if do() == nil {
					x.mu.Lock()
					defer x.mu.Unlock()
					x.done[what]++
				}
			})
		}
	}
	cluster("leaders moved", func() error { x.k.ShufflePartitionLeaders(); return nil })
	cluster("coordinators moved", func() error { x.k.RehashCoordinators(); return nil })
	cluster("connections cut", func() error { x.wire.cut(false); return nil })
	cluster("node removed", func() error { return x.k.RemoveNode(2) })
	cluster("node added", func() error {
		_, _, err := x.k.AddNode(2, 0)
		return err
	})
	return all
}

// left is what was set and has not happened.
func (x *trap) left() []string {
	var out []string
	for i, h := range x.set {
		if h.Hits() == 0 {
			out = append(out, x.name+" "+x.of[i])
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for key, fs := range x.fates {
		for _, f := range fs {
			out = append(out, x.name+" "+key.Name()+" "+fateNames[f])
		}
	}
	return out
}

// calm ends all that is still to come.
func (x *trap) calm() {
	for i, h := range x.set {
		h.Remove()
		x.done[x.of[i]] += h.Hits()
	}
	x.wire.set(nil)
}

// report tells how often what was done, by request.
func (x *trap) report(t testing.TB) {
	by := map[string]map[string]int{}
	total := 0
	for what, n := range x.done {
		kind, how, _ := strings.Cut(what, " ")
		if strings.ToUpper(how) == how {
			how = "error answers"
		}
		if by[kind] == nil {
			by[kind] = map[string]int{}
		}
		by[kind][how] += n
		total += n
	}
	t.Logf("%s: %d faults", x.name, total)
	for _, kind := range slices.Sorted(maps.Keys(by)) {
		t.Logf("%s: %s %v", x.name, kind, by[kind])
	}
}

// wantInOrder checks that the partitions of a topic hold the numbers from, from+step,
// ... up to each, once and in order.
func wantInOrder(t testing.TB, addrs []string, topic string, step, each int64, partitions int, o ...kgo.Opt) {
	t.Helper()
	next := make([]int64, partitions)
	for i := range next {
		next[i] = int64(i) % step
	}
	wrong := 0
	scan(t, addrs, topic, func(r *kgo.Record) {
		text, _, _ := strings.Cut(string(r.Value[:min(20, len(r.Value))]), ":")
		have, err := strconv.ParseInt(text, 10, 64)
		if err != nil || have != next[r.Partition] {
			if wrong++; wrong < 5 {
				t.Errorf("%s/%d: record %d at offset %d, want %d", topic, r.Partition, have, r.Offset, next[r.Partition])
			}
		}
		next[r.Partition] = have + step
	}, o...)
	for i, n := range next {
		if n < each || n >= each+step {
			t.Errorf("%s/%d: stored up to %d, want %d", topic, i, n, each)
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d records out of place", topic, wrong)
	}
}

// wait is until something is, as long as progress is made.
func wait(t testing.TB, what string, progress func() int64, is func() bool) {
	t.Helper()
	last, since := int64(-1), time.Now()
	for !is() {
		if now := progress(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > time.Minute {
			t.Fatalf("no progress at %d for a minute: %s", last, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Whatever two clusters answer to any kind of request, whatever connections are cut
// before or after it, leaders and coordinators moved, nodes removed and added, members
// and producers gone in the middle: what is written to the one is stored there once
// and in order with its callbacks in order, and what a group moves from there to the
// other in transactions is there once and in order. Every fault of the tables happens, in
// a short run those of slow requests by turns.
func TestSoak(t *testing.T) {
	t.Parallel()
	const partitions = 6
	records := *soakRecords
	if records == 0 {
		records = 60_000
	}
	source := newTrap(t, "source", kfake.SeedTopics(partitions, "logs"))
	target := newTrap(t, "target", kfake.SeedTopics(partitions, "logs"))
	at := func(x *trap, answer time.Duration) *Cluster {
		c := clusterAt(t, x.k.ListenAddrs()...)
		c.timing.answer = answer
		return c
	}
	s := newSink(t)
	o := produceOptions()
	o.BatchBytes, o.Buffer = 10_000, 4<<20
	p := newTestProducer(t, at(source, time.Second), o, s)
	f := newFeeder(t, p)
	c := at(source, 2500*time.Millisecond) // who joins waits until those who are gone are expelled
	const lanes = 4                        // of which two have two partitions
	done := &progress{at: map[int32]int64{}}
	var members [2]func()
	file := named(t, "relay-0")
	var relays [2]*relay
	var killed, crashed, usurped atomic.Int64
	restart := func(i int) {
		if members[i] != nil {
			if rand.N(2) == 0 { // it ends nothing that is open
				relays[i].lanes.Close()
				killed.Add(1)
			}
			members[i]()
		}
		o := groupOptions("logs")
		o.SessionTimeout, o.DrainTimeout = config.Duration(2*time.Second), 500*time.Millisecond
		if i == 0 { // one of them has a name
			o.MemberFile = file
		}
		relays[i] = newRelay(t, at(target, time.Second), "logs", lanes, done)
		o.Lanes = relays[i].lanes
		_, members[i] = join(t, c, o, relays[i])
	}
	crash := func(lane int) {
		for _, r := range relays {
			if rand.N(4) == 0 {
				if r.usurp(lane) == nil {
					usurped.Add(1)
				}
			} else if r.crash(lane) {
				crashed.Add(1)
			}
		}
	}
	restart(0)
	restart(1)

	rounds := 1 + records/1_000_000
	var steps []step
	for range rounds {
		one := slices.Concat(source.faults(sourceErrors), target.faults(targetErrors))
		for i := range 4 {
			one = append(one, step{func() { restart(i % 2) }, rand.Float64()})
		}
		for i := range 12 {
			one = append(one, step{func() { crash(i % lanes) }, rand.Float64()})
		}
		slices.SortFunc(one, func(a, b step) int { return cmp.Compare(a.at, b.at) })
		steps = append(steps, one...)
	}
	fed := 0
	feed := func(upTo int) {
		for ; fed < upTo; fed++ {
			f.add("logs", int32(fed%partitions), 60)
		}
	}
	start := time.Now()
	for i, step := range steps {
		step.do()
		feed(records * (i + 1) / len(steps) / partitions * partitions)
		time.Sleep(time.Duration(rand.N(20)) * time.Millisecond)
	}
	t.Logf("%d records were fed in %v", fed, time.Since(start).Round(time.Millisecond))
	left := func() []string { return append(source.left(), target.left()...) }
	for i := 0; len(left()) > 0; i++ { // what asks for a rebalance, a new connection, an abort
		if i == 100 {
			t.Errorf("did not happen: %s", strings.Join(left(), ", "))
			break
		}
		if i%4 == 3 { // seldom: commits and heartbeats need a session that lasts
			restart(i / 4 % 2)
		}
		for j := range lanes {
			crash(j)
		}
		if i%4 == 1 {
			source.wire.cut(false)
			target.wire.cut(false)
		}
		source.k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidProducerEpoch, When: source.fresh})
		for range 10 {
			if feed(fed + 5*partitions); len(left()) > 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	source.calm()
	target.calm()
	wait(t, "all is acknowledged", func() int64 { a, _ := s.counts(); return int64(a) }, func() bool { a, b := s.counts(); return a+b == fed })
	wait(t, "all is moved", done.moved, func() bool { return done.moved() >= int64(fed) })
	for _, leave := range members {
		leave()
	}
	t.Logf("all was moved after %v: %d members killed, %d lanes abandoned, %d usurped", time.Since(start).Round(time.Millisecond), killed.Load(), crashed.Load(), usurped.Load())
	if acked, refused := s.counts(); acked != fed || refused != 0 {
		t.Errorf("acked %d, refused %d, want %d, 0", acked, refused, fed)
	}
	each := int64(fed / partitions)
	wantInOrder(t, source.k.ListenAddrs(), "logs", 1, each, partitions)
	wantInOrder(t, target.k.ListenAddrs(), "logs", 1, each, partitions)
	for i, got := range committed(t, source.k.ListenAddrs(), "g", "logs", partitions) {
		if got != each {
			t.Errorf("partition %d: committed %d, want %d", i, got, each)
		}
	}
	source.report(t)
	target.report(t)
}
