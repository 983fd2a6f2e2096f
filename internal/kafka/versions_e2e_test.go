//go:build linux && e2e

package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicelog/sluice/test/servers"
)

// What docs/kafka.md says of each version of brokers is so: which of the requests that
// matter to us each of them takes, and in which form.
func TestRealVersions(t *testing.T) {
	k := realKafka(t, servers.KafkaOptions{Heap: "384m"})
	newest, oldest := map[int16]int16{}, map[int16]int16{}
	for _, api := range request(t, k.Brokers, kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse).ApiKeys {
		newest[api.ApiKey], oldest[api.ApiKey] = api.MaxVersion, api.MinVersion
	}
	for _, f := range []struct {
		what    string
		key     kmsg.Key
		version int16
		since   [2]int
	}{
		{"batches as we write them", kmsg.Produce, produceNewest, [2]int{2, 4}},
		{"fetching by name, with the leader's epoch", kmsg.Fetch, 11, [2]int{2, 3}},
		{"leaving a group by instance id", kmsg.LeaveGroup, 3, [2]int{2, 4}},
		{"where the logs of two leaders part", kmsg.OffsetForLeaderEpoch, 3, [2]int{2, 3}},
		{"lifetime of a SASL session", kmsg.SASLAuthenticate, 1, [2]int{2, 2}},
		{"offsets once open transactions have ended", kmsg.OffsetFetch, 7, [2]int{2, 5}},
		{"another epoch of the same producer id", kmsg.InitProducerID, 3, [2]int{2, 5}},
		{"offsets in a transaction with the member they are of", kmsg.TxnOffsetCommit, 3, [2]int{2, 5}},
		{"fenced as an answer of its own", kmsg.InitProducerID, 4, [2]int{2, 7}},
		{"ids of topics", kmsg.Metadata, 10, [2]int{2, 8}},
		{"fetching by topic id", kmsg.Fetch, 13, [2]int{3, 1}},
	} {
		has, want := newest[int16(f.key)] >= f.version, k.AtLeast(f.since[0], f.since[1])
		if has != want {
			t.Errorf("Kafka %s, %s (%s version %d): got %v, want %v", k.Version, f.what, f.key.Name(), f.version, has, want)
		}
		if min := oldest[int16(f.key)]; min > f.version && f.version <= produceNewest {
			t.Logf("Kafka %s takes %s from version %d on", k.Version, f.key.Name(), min)
		}
	}
	if oldest[int16(kmsg.Produce)] > produceNewest {
		t.Errorf("Kafka %s takes Produce from version %d on, we send %d", k.Version, oldest[int16(kmsg.Produce)], produceNewest)
	}
}
