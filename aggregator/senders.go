package aggregator

import (
	"github.com/sluicelog/sluice/internal/kafka"
)

const (
	sampleEvery = 1000 // batches of a sender, of which the first is opened to look for the dc header
	sendersMost = 4096 // that a partition remembers; then it forgets them all, which costs a look at a batch of each
)

// sender is who wrote a batch of the source: each start of a producer is another one.
type sender struct {
	id    int64
	epoch int16
}

// senders knows which writers of a partition give their records a dc header. Looking
// into a batch costs what relaying it unopened saves, so of each writer only the first
// one is looked into, and one in a thousand after it.
type senders map[sender]*habit

type habit struct {
	batches int  // since the last look
	without bool // its records have no dc header, or not all of them
}

// label says whether records of a batch may lack the dc header, so that it has to be opened;
// missed is how many do of a writer that was held to give them one.
func (s senders) label(w *kafka.Stored, limit int) (open bool, missed int) {
	if w.ProducerID < 0 { // anybody may have written it
		return true, 0
	}
	by := sender{w.ProducerID, w.ProducerEpoch}
	h := s[by]
	switch {
	case h == nil:
		if len(s) >= sendersMost {
			clear(s)
		}
		h = &habit{}
		s[by] = h
	case h.without:
		return true, 0
	case h.batches < sampleEvery-1:
		h.batches++
		return false, 0
	}
	known := h.batches > 0
	h.batches = 0
	n, err := unlabelled(w, limit)
	if err != nil {
		return true, 0 // whoever reads it finds out what is wrong
	}
	if n == 0 {
		h.batches = 1
		return false, 0
	}
	h.without = true
	if known {
		missed = n
	}
	return true, missed
}

// unlabelled is how many records of a batch have no dc header.
func unlabelled(w *kafka.Stored, limit int) (n int, err error) {
	err = w.Records(limit, func(v *kafka.View) error {
		if !v.Headers.Has(string(dcKey)) {
			n++
		}
		return nil
	})
	return n, err
}
