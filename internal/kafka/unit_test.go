package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"

	"github.com/sluicelog/sluice/internal/kafka/wire"
)

// What is held never exceeds the limit unless by one alone, whoever waits is served,
// and all is given back.
func TestBudget(t *testing.T) {
	b := &budget{limit: 1000}
	var wg sync.WaitGroup
	var held, over atomic.Int64
	for i := range 20 {
		wg.Go(func() {
			for j := range 300 {
				n := int64((i*7+j)%400 + 1)
				if j%100 == 50 {
					n = 5000 // more than the whole
				}
				if err := b.take(t.Context(), nil, n, nil); err != nil {
					t.Error(err)
					return
				}
				if h := held.Add(n); h > 1000 && h != n {
					over.Add(1)
				}
				held.Add(-n)
				b.give(n)
			}
		})
	}
	wg.Wait()
	if over.Load() > 0 || b.used.Load() != 0 || b.waiting.Load() != 0 {
		t.Errorf("over the limit %d times, used %d, waiting %d, want 0", over.Load(), b.used.Load(), b.waiting.Load())
	}
}

// Who waits first is served first, even if a later one would fit; one who gives up
// makes way.
func TestBudgetIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{limit: 100}
		if err := b.take(t.Context(), nil, 90, nil); err != nil {
			t.Fatal(err)
		}
		var order []string
		var mu sync.Mutex
		take := func(ctx context.Context, name string, n int64) {
			go func() {
				err := b.take(ctx, nil, n, nil)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprint(name, " ", err == nil))
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		take(ctx, "gives up", 50)
		take(t.Context(), "large", 60)
		take(t.Context(), "small", 5)
		if len(order) != 0 {
			t.Fatalf("served %v before there was room", order)
		}
		cancel()
		synctest.Wait()
		b.give(50)
		synctest.Wait()
		if got, want := fmt.Sprint(order), "[gives up false large true]"; got != want {
			t.Errorf("after 50 of 90 were given back: %v, want %v", got, want)
		}
		b.give(40)
		synctest.Wait()
		if got, want := fmt.Sprint(order), "[gives up false large true small true]"; got != want {
			t.Errorf("order = %v, want %v", got, want)
		}
		closed := make(chan struct{})
		close(closed)
		if err := b.take(t.Context(), closed, 1000, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("take when closed = %v, want %v", err, ErrClosed)
		}
	})
}

func TestJudge(t *testing.T) {
	f := func(err error, tries int, want remedy) {
		t.Helper()
		if got := judge(err, tries); got != want {
			t.Errorf("judge(%v, %d) = %d, want %d", err, tries, got, want)
		}
	}
	f(nil, 1, accept)
	f(sarama.ErrDuplicateSequenceNumber, 2, accept)
	f(sarama.ErrMessageSizeTooLarge, 1, halve)
	f(sarama.PacketEncodingError{Info: "invalid request size"}, 1, halve)
	f(sarama.ErrInvalidTimestamp, 1, single)
	f(sarama.ErrInvalidMessage, 1, again)
	f(sarama.ErrInvalidMessage, corruptTries, single)
	f(sarama.ErrTopicAuthorizationFailed, 1, slowly)
	f(fmt.Errorf("connect: %w", sarama.ErrSASLAuthenticationFailed), 1, slowly)
	f(errors.New("connection reset"), 1, again)
	f(sarama.KError(12345), 1, again) // codes of the future are tried again
	f(sarama.ErrUnknownProducerID, 1, epoch)
	f(sarama.ErrInvalidProducerEpoch, 1, renew)
}

func TestSequenceWraps(t *testing.T) {
	f := func(from int32, n int, want int32) {
		t.Helper()
		if got := (identity{sequence: from}).next(n).sequence; got != want {
			t.Errorf("%d + %d = %d, want %d", from, n, got, want)
		}
	}
	f(0, 10, 10)
	f(math.MaxInt32-1, 1, math.MaxInt32)
	f(math.MaxInt32, 1, 0)
	f(math.MaxInt32-4, 10, 5)
}

// A batch keeps headers apart whether neighbours share them or not, survives the
// growth of its slabs, and its halves are what it was.
func TestBatchHeadersAndSplit(t *testing.T) {
	p := &partition{topic: &topic{name: "t"}}
	b := newBatch(p, 1, 1)
	shared := []Header{{Key: []byte("dc"), Value: []byte("dc1")}}
	for i := range 5000 {
		r := Record{Value: fmt.Append(nil, i), Headers: shared, Time: time.UnixMilli(int64(10_000 + i%3))}
		if i%3 == 1 {
			r.Headers = []Header{{Key: []byte("n"), Value: fmt.Append(nil, i)}, {Key: []byte("m"), Value: nil}}
		}
		b.add(&r, Tag{Pos: int64(i)}, wireSize(&r))
	}
	packer := new(wire.Packer)
	check := func(b *batch, from, n int) {
		t.Helper()
		if len(b.tags) != n || len(b.sizes) != n {
			t.Fatalf("%d tags, %d sizes, want %d", len(b.tags), len(b.sizes), n)
		}
		seen := 0
		err := b.packed.Records(func(r *wire.Record) {
			i := int(r.Offset)
			want := from + i
			header := "dc1"
			if want%3 == 1 {
				header = fmt.Sprint(want)
			}
			if i != seen || r.Key != nil || string(r.Value) != fmt.Sprint(want) || string(r.Headers.Pairs()[0].Value) != header || b.tags[i].Pos != int64(want) ||
				int(b.sizes[i].Value) != len(r.Value) || r.Time != int64(10_000+want%3) {
				t.Fatalf("record %d is %s with headers %s at %d, tag %d, size %d, want %d", i, r.Value, r.Headers, r.Time, b.tags[i].Pos, b.sizes[i], want)
			}
			seen++
		})
		if err != nil || seen != n {
			t.Fatalf("%d records, %v, want %d", seen, err, n)
		}
	}
	b.pack(packer, wire.LZ4, false)
	bytes, held := b.bytes, b.held
	first, second, err := b.split()
	if err != nil {
		t.Fatal(err)
	}
	check(b, 0, 5000)
	b.recycle()
	if first.held+second.held != held {
		t.Errorf("halves hold %d+%d, want %d in all", first.held, second.held, held)
	}
	first.pack(packer, wire.LZ4, false)
	check(first, 0, 2500)
	second.pack(packer, wire.LZ4, false)
	check(second, 2500, 2500)
	if n := first.bytes + second.bytes; n > bytes || n < bytes-5000 {
		t.Errorf("halves are %d+%d bytes, want %d in all or a little less", first.bytes, second.bytes, bytes)
	}
}
