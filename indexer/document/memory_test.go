package document

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/kafka"
)

// What a partition keeps between records is bounded, whatever records were before.
func TestMemoryOfAPartitionIsBounded(t *testing.T) {
	const size = 64 << 10
	e := newEncoder(t, "sluice-{dataset}")
	f := func(codec string, value []byte) {
		t.Helper()
		e.encode(codec, kafka.Record{Value: value, Time: samples.ReadTime})
		e.Shed(size)
		for name, b := range map[string][]byte{"clean": e.clean, "extra": e.extra, "line": e.line} {
			if cap(b) > size {
				t.Errorf("%s: %s keeps %d bytes", codec, name, cap(b))
			}
		}
		for _, o := range []*jsontext.Object{&e.object, &e.inner} {
			if cap(o.Members) > jsontext.MaxMembers || cap(o.Members) > 0 && o.Members[:1][0].Key != nil {
				t.Errorf("%s: an object keeps %d members", codec, cap(o.Members))
			}
		}
	}
	long := strings.Repeat("x", 1<<20)
	f("plain", []byte(long))
	f("syslog", []byte(long))
	f("syslog", []byte("<34>1 - h a - - [x y=\""+long+"\"] m"))
	f("json", []byte(`{"m":"`+long+`"}`))
	f("ecs", []byte(`{"message":"`+long+"\"\n}"))
	f("ecs", []byte(`{"message":"{\"a\":\"`+long[:200_000]+`\"}"}`))
	f("ecs", []byte(`{"message":"a=1 b=`+long[:200_000]+`"}`))
	for i := range 10 * maxNames {
		r := kafka.Record{Value: []byte("x"), Time: samples.ReadTime, Headers: []kafka.Header{{Key: []byte("dataset"), Value: fmt.Appendf(nil, "%d%s", i, long[:1000])}}}
		e.encode("plain", r)
	}
	bytes := 0
	for k, v := range e.names.known {
		bytes += len(k.dc) + len(k.dataset) + len(k.app) + len(v)
	}
	if bytes > 300<<10 {
		t.Errorf("%d names hold %d bytes", len(e.names.known), bytes)
	}
}
