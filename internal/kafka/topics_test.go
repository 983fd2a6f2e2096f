package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// A topic that is made is as it was asked for; one that does not exist is not made by
// asking for it, and no topic is made twice.
func TestTopicsAreMadeAndDescribed(t *testing.T) {
	k := fake(t, kfake.NumBrokers(3))
	c := clusterAt(t, k.ListenAddrs()...)
	ctx := t.Context()
	want := Topic{Name: "logs", Partitions: 12, Replication: 2, Config: map[string]string{"retention.ms": "86400000", "max.message.bytes": "4194304"}}
	ask := func() []Topic {
		t.Helper()
		got, err := DescribeTopics(ctx, c, []string{"none", "logs"}, []string{"retention.ms", "max.message.bytes"})
		if err != nil || len(got) != 2 || got[0].Name != "none" || got[1].Name != "logs" {
			t.Fatalf("%+v, %v", got, err)
		}
		return got
	}
	if got := ask(); got[0].Partitions != 0 || got[1].Partitions != 0 {
		t.Errorf("before: %+v", got)
	}
	if made, err := CreateTopic(ctx, c, want); !made || err != nil {
		t.Fatal(made, err)
	}
	got := ask()
	if got[0].Partitions != 0 || got[1].Partitions != 12 || got[1].Replication != 2 || got[1].Config["retention.ms"] != "86400000" || got[1].Config["max.message.bytes"] != "4194304" {
		t.Errorf("after: %+v, want %+v", got, want)
	}
	if made, err := CreateTopic(ctx, c, want); made || err != nil {
		t.Errorf("a second time: made %v, %v", made, err)
	}
	if n, err := Brokers(ctx, c); n != 3 || err != nil {
		t.Errorf("%d brokers, %v", n, err)
	}
}

// Questions to a cluster that does not answer end with the context.
func TestAskingEndsWithTheContext(t *testing.T) {
	k := fake(t)
	c := clusterAt(t, k.ListenAddrs()...)
	k.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := DescribeTopics(ctx, c, []string{"logs"}, nil); err == nil {
		t.Error("no error")
	}
	if _, err := CreateTopic(ctx, c, Topic{Name: "logs"}); err == nil {
		t.Error("no error")
	}
}
