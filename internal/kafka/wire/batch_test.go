package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var allCodecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// rec is a record that a test wants to find again.
type rec struct {
	ms         int64
	key, value []byte
	headers    []Pair
}

// text shows a record; nil is another than empty.
func (r rec) text() string {
	show := func(b []byte) string {
		if b == nil {
			return "nil"
		}
		return fmt.Sprintf("%q", b)
	}
	s := fmt.Sprint(r.ms, " ", show(r.key), "=", show(r.value))
	for _, h := range r.headers {
		s += fmt.Sprintf(" %q:%s", h.Key, show(h.Value)) // franz-go's keys are strings
	}
	return s
}

// append adds the record, one way or the other.
func (r rec) append(to *Records, written bool, expect int) {
	if !written || r.value == nil {
		to.Append(r.ms, r.key, r.value, r.headers)
		return
	}
	to.Begin(r.ms+1, []byte("forgotten"), 10)
	b := to.Begin(r.ms, r.key, expect)
	for i := range r.value { // a byte at a time, so that it has to grow in between
		b = append(b, r.value[i:i+1]...)
	}
	to.Commit(b, AppendHeaders(nil, r.headers))
}

// reads is what franz-go, which knows nothing of this package, reads in a batch. It
// checks the sum and the length.
func reads(t testing.TB, b []byte) (out []string) {
	t.Helper()
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.RecordBatches, rp.HighWatermark, rp.LastStableOffset = b, 1<<40, 1<<40
	fp, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t"}, &rp, kgo.DefaultDecompressor(), nil)
	if fp.Err != nil {
		t.Fatalf("franz-go: %v", fp.Err)
	}
	for i, r := range fp.Records {
		if r.Offset != int64(i) {
			t.Errorf("record %d has offset %d", i, r.Offset)
		}
		got := rec{ms: r.Timestamp.UnixMilli(), key: r.Key, value: r.Value}
		for _, h := range r.Headers {
			got.headers = append(got.headers, Pair{Key: []byte(h.Key), Value: h.Value})
		}
		out = append(out, got.text())
	}
	return out
}

// holds checks that a batch holds the records, to an independent reader and to ours.
func holds(t testing.TB, b *Batch, want []rec) {
	t.Helper()
	got := reads(t, b.Bytes())
	if len(got) != len(want) {
		t.Fatalf("franz-go reads %d records, want %d", len(got), len(want))
	}
	n := 0
	err := b.Records(func(r *Record) {
		if r.Offset != int64(n) || n >= len(want) {
			t.Fatalf("record %d of %d as number %d", n, len(want), r.Offset)
		}
		if w, own := want[n].text(), (rec{r.Time, r.Key, r.Value, r.Headers.Pairs()}).text(); got[n] != w || own != w {
			t.Fatalf("record %d is %s to franz-go, %s to us, want %s", n, got[n], own, w)
		}
		n++
	})
	if err != nil || n != len(want) {
		t.Fatalf("%d records, %v, want %d", n, err, len(want))
	}
}

// The bytes of a batch are those of the protocol.
func TestBatchOnTheWire(t *testing.T) {
	var r Records
	r.Append(1_700_000_000_000, []byte("key"), []byte("value"), []Pair{{Key: []byte("dc"), Value: []byte("dc1")}})
	r.Append(1_700_000_000_002, nil, nil, nil)
	b := r.Begin(1_699_999_999_999, []byte{}, 3)
	r.Commit(append(b, "abc"...), nil)
	var p Packer
	batch := p.Pack(&r, None, true)
	batch.Address(Identity{Producer: 7, Epoch: 1, Sequence: 5})
	const want = "0000000000000000" + "00000058" + "ffffffff" + "02" + "48bdd755" + "0010" + "00000002" + "0000018bcfe56800" + "0000018bcfe56802" +
		"0000000000000007" + "0001" + "00000005" + "00000003" +
		"2a" + "00" + "00" + "00" + "066b6579" + "0a76616c7565" + "02" + "046463" + "06646331" +
		"0c" + "00" + "04" + "02" + "01" + "01" + "00" +
		"12" + "00" + "01" + "04" + "00" + "06616263" + "00"
	if got := hex.EncodeToString(batch.Bytes()); got != want {
		t.Errorf("batch =\n%s, want\n%s", got, want)
	}
	if got := strings.Join(reads(t, batch.Bytes()), ", "); got != `1700000000000 "key"="value" "dc":"dc1", 1700000000002 nil=nil, 1699999999999 ""="abc"` {
		t.Errorf("franz-go reads %s", got)
	}
	same := bytes.Clone(batch.Bytes())
	batch.Address(Identity{Producer: 7, Epoch: 1, Sequence: 5})
	if !bytes.Equal(batch.Bytes(), same) {
		t.Error("sent again it is other bytes")
	}
	batch.Address(Identity{Producer: 8, Epoch: 0, Sequence: 0})
	h, err := ReadHeader(batch.Bytes())
	if err != nil || h.ProducerID != 8 || h.ProducerEpoch != 0 || h.BaseSequence != 0 || !h.Transactional() || h.Count != 3 {
		t.Errorf("addressed anew: %+v, %v", h, err)
	}
}

// Records come back as they were, with every codec, whether they were copied or written
// in place, and whether their values were as long as expected.
func TestEveryRecordComesBack(t *testing.T) {
	var p Packer
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, codec := range allCodecs {
		for round := range 8 {
			var r Records
			var want []rec
			for i := range rnd.IntN(150) + 1 {
				w := rec{ms: 1_700_000_000_000 + rnd.Int64N(200) - 100, key: []byte("key"), value: bytes.Repeat([]byte{byte(i)}, rnd.IntN(1<<rnd.IntN(15)))}
				if i%3 == 1 {
					w.key, w.headers = nil, []Pair{{Key: []byte("dc"), Value: []byte("dc1")}, {Key: []byte{}, Value: nil}}
				}
				if i%7 == 2 {
					w.value = nil
				}
				w.append(&r, round%2 == 1, len(w.value)*rnd.IntN(200)/100)
				want = append(want, w)
			}
			if r.Count() != len(want) || r.First().UnixMilli() != want[0].ms {
				t.Fatalf("%d records from %v on, want %d from %d", r.Count(), r.First(), len(want), want[0].ms)
			}
			plain := r.Size()
			b := p.Pack(&r, codec, false)
			b.Address(Identity{Producer: 1})
			if r.Count() != 0 || r.Size() != 0 || b.Size() > plain+HeaderSize {
				t.Fatalf("%d records are left, %d bytes became %d", r.Count(), plain, b.Size())
			}
			holds(t, &b, want)
			b.Release()
		}
	}
}

// Noise is not compressed, and the batch says so.
func TestNoiseIsSentAsItIs(t *testing.T) {
	var p Packer
	for _, codec := range allCodecs {
		var r Records
		noise := make([]byte, 100_000)
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		r.Append(1, nil, noise, nil)
		b := p.Pack(&r, codec, false)
		b.Address(Identity{})
		if h, err := ReadHeader(b.Bytes()); err != nil || h.Codec() != None {
			t.Errorf("codec %d: %+v, %v", codec, h, err)
		}
		holds(t, &b, []rec{{ms: 1, value: noise}})
	}
}

// A batch costs no allocation once its memory goes round.
func TestBatchesAllocateNothing(t *testing.T) {
	var p Packer
	key, value := []byte("0123456789abcdef"), []byte(strings.Repeat("some text ", 100))
	headers := []Pair{{Key: []byte("dc"), Value: []byte("dc1")}}
	rendered := AppendHeaders(nil, headers)
	got := testing.AllocsPerRun(100, func() {
		var r Records
		for range 50 {
			r.Append(1, key, value, headers)
			r.Commit(append(r.Begin(2, key, len(value)), value...), rendered)
		}
		b := p.Pack(&r, LZ4, false)
		b.Address(Identity{})
		b.Release()
	})
	if got > 10 { // one each time its memory grows or is given back
		t.Errorf("%v allocations a batch of 100 records, want 10 at most", got)
	}
}

// Memory that is taken has the size that was asked for, and comes back from its pool.
func TestMemory(t *testing.T) {
	for n := 1; n < 3*mostMemory; n += 1 + n/7 {
		b := take(n)
		if len(b) != n || n > leastMemory && n <= mostMemory && cap(b) > n+n/4+8 {
			t.Fatalf("asked for %d, got %d with room for %d", n, len(b), cap(b))
		}
		give(append(b, 1, 2, 3))
		give(make([]byte, 0, n))
		if c := take(n); len(c) != n {
			t.Fatalf("asked for %d again, got %d", n, len(c))
		}
	}
}

// A request is what kmsg makes of the same batches, and answers go to the right ones.
func TestProduceOnTheWire(t *testing.T) {
	batch := func(s string) *Batch {
		var r Records
		r.Append(1, nil, []byte(s), nil)
		b := new(Packer).Pack(&r, None, false)
		b.Address(Identity{Producer: 1})
		return &b
	}
	id := "txn"
	for version := int16(3); version <= 8; version++ {
		for _, txn := range []*string{nil, &id} {
			p := &Produce{Version: version, TransactionID: txn, Ack: 10 * time.Second, Batches: []Addressed{
				{"a", 0, batch("one")}, {"a", 5, batch("two")}, {"b", 1, batch("three")}, {"c", 0, batch(strings.Repeat("four", 10_000))},
			}}
			req := kmsg.NewProduceRequest()
			req.Version, req.TransactionID, req.Acks, req.TimeoutMillis = version, txn, -1, 10_000
			resp := kmsg.NewPtrProduceResponse()
			resp.Version, resp.ThrottleMillis = version, 250
			for _, b := range p.Batches {
				rp, ap := kmsg.NewProduceRequestTopicPartition(), kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.Records = b.Partition, b.Batch.Bytes()
				ap.Partition, ap.BaseOffset, ap.ErrorCode = b.Partition, int64(b.Partition)+100, int16(b.Partition)
				if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != b.Topic {
					rt, at := kmsg.NewProduceRequestTopic(), kmsg.NewProduceResponseTopic()
					rt.Topic, at.Topic = b.Topic, b.Topic
					req.Topics, resp.Topics = append(req.Topics, rt), append(resp.Topics, at)
				}
				n := len(req.Topics) - 1
				req.Topics[n].Partitions = append(req.Topics[n].Partitions, rp)
				if b.Topic != "b" {
					resp.Topics[n].Partitions = append(resp.Topics[n].Partitions, ap)
				}
			}
			if got, want := bytes.Join(p.Body(), nil), req.AppendTo(nil); !bytes.Equal(got, want) {
				t.Fatalf("version %d: body of %d bytes, want %d others", version, len(got), len(want))
			}
			out, pause, err := p.Answer(resp.AppendTo(nil))
			if err != nil || pause != 250*time.Millisecond {
				t.Fatalf("version %d: %v, %v", version, pause, err)
			}
			for i, s := range out {
				part := p.Batches[i].Partition
				if missed := i == 2; s.Missed != missed || !missed && (s.Offset != int64(part)+100 || s.Code != int16(part)) {
					t.Errorf("version %d: batch %d: %+v", version, i, s)
				}
			}
			if _, _, err := p.Answer([]byte{1, 2}); err == nil {
				t.Error("two bytes are an answer")
			}
		}
	}
}

// FuzzRecords fills batches with what the bytes say and reads them back.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("a record, another, and one more"), uint8(3), uint16(7))
	f.Add(bytes.Repeat([]byte{0xff, 0, 200}, 300), uint8(4), uint16(0))
	f.Add([]byte{}, uint8(0), uint16(60_000))
	var p Packer
	f.Fuzz(func(t *testing.T, b []byte, codec uint8, expect uint16) {
		var r Records
		var want []rec
		cut := func() []byte {
			if len(b) == 0 || b[0] == 0xff {
				b = b[min(1, len(b)):]
				return nil
			}
			n := min(int(b[0]), len(b)-1)
			v := b[1 : 1+n : 1+n]
			b = b[1+n:]
			return v
		}
		for first := true; first || len(b) > 0; first = false {
			w := rec{ms: int64(len(b)) * 977, key: cut(), value: cut()}
			if len(b)%2 == 0 {
				key := cut()
				if key == nil {
					key = []byte{} // must not be nil
				}
				w.headers = []Pair{{Key: key, Value: cut()}}
			}
			w.append(&r, len(b)%3 == 0, int(expect))
			want = append(want, w)
		}
		batch := p.Pack(&r, allCodecs[int(codec)%len(allCodecs)], false)
		batch.Address(Identity{Producer: 1, Sequence: int32(expect)})
		holds(t, &batch, want)
		batch.Release()
	})
}

// Whatever a broker answers to a produce request, each batch has its outcome or there is
// an error.
func FuzzAnswer(f *testing.F) {
	for v := int16(3); v <= 8; v++ {
		resp := kmsg.ProduceResponse{Version: v, Topics: []kmsg.ProduceResponseTopic{{Topic: "logs", Partitions: []kmsg.ProduceResponseTopicPartition{{Partition: 1, BaseOffset: 7}}}}}
		f.Add(v, resp.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		p := Produce{Version: 3 + (version&7)%6, Batches: []Addressed{{Topic: "logs", Partition: 1}, {Topic: "logs", Partition: 2}}}
		got, _, err := p.Answer(body)
		if err == nil && len(got) != 2 {
			t.Errorf("%d outcomes", len(got))
		}
	})
}

// Readdressing changes no CRC from wrong to right or back, and no record.
func FuzzReaddress(f *testing.F) {
	f.Add(batchOf(f, "lz4", 5, logLines(5, 10), nil), int64(7), true)
	f.Fuzz(func(t *testing.T, batch []byte, producer int64, transactional bool) {
		if len(batch) < HeaderSize || batch[atMagic] != 2 {
			return
		}
		right := func() bool {
			return crc32.Checksum(batch[atAttributes:], castagnoli) == be.Uint32(batch[atCRC:])
		}
		was, records := right(), bytes.Clone(batch[HeaderSize:])
		Readdress(batch, Identity{Producer: producer, Epoch: 3, Sequence: 9}, transactional)
		if right() != was || !bytes.Equal(records, batch[HeaderSize:]) {
			t.Errorf("its CRC was right: %v, is: %v", was, right())
		}
	})
}
