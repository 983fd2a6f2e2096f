package deadletter

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
)

// A batch that cannot be read is kept as it is, in parts if it must be, and Keep returns
// when all of it is stored, or when ctx ends.
func TestKeep(t *testing.T) {
	play(t, func(w *Writer, p *topic, _ *bytes.Buffer) {
		p.set(64<<10, nil, nil)
		batch := bytes.Repeat([]byte("abcdefgh"), 40<<10)
		l := Batch(&kafka.Poison{Topic: "logs", Partition: 2, From: 70, To: 99, Bytes: batch, Err: errors.New("its CRC is wrong")}, "dc1", "indexer", "online")
		batch[0] = 'x' // it was valid during the call
		if err := w.Keep(context.Background(), l); err != nil {
			t.Fatal(err)
		}
		got := p.letters(t)
		batch[0] = 'a'
		if len(got) != 1 || !bytes.Equal(got[0].Record.Value, batch) || got[0].Record.Key != nil || got[0].Record.Offset != 70 || got[0].Partition != 2 ||
			got[0].Topic != "logs" || got[0].Cluster != "dc1" || got[0].Output != "online" || got[0].Reason != Unreadable || got[0].Error != "offsets 70 to 99: its CRC is wrong" {
			t.Errorf("kept %d letters, %+v", len(got), got)
		}

		p.set(0, kafka.ErrInvalidRecord, nil)
		ctx, cancel := context.WithTimeout(context.Background(), 10*testRetry)
		defer cancel()
		began := time.Now()
		if err := w.Keep(ctx, l); err == nil || time.Since(began) != 10*testRetry {
			t.Errorf("kept in a topic that takes nothing: %v after %v", err, time.Since(began))
		}
		settle()
		if queued, held := w.Waiting(); queued > 0 || len(held) > 0 {
			t.Errorf("%d letters wait and %d are held for nobody", queued, len(held))
		}
	})
}
