package generate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Ledger is what was written, by source: the ground truth. Its size is that of the
// number of sources, not of lines. It is for one goroutine.
type Ledger struct {
	Run     uint32    `json:"run"`
	Sources []Written `json:"sources"` // by number; one without lines was never started
}

// Written is what was written of one source.
type Written struct {
	Lines  int64  `json:"lines"`
	Bytes  int64  `json:"bytes"`  // of the files, with all that the format puts around lines
	Places uint64 `json:"places"` // sum of place over its lines; 0 where offsets are not known
}

// Add notes a line whose raw bytes begin at offset and take size bytes of its file.
func (l *Ledger) Add(m Mark, offset, size int64) {
	l.Run = m.Run
	for m.Source >= len(l.Sources) {
		l.Sources = append(l.Sources, Written{})
	}
	w := &l.Sources[m.Source]
	w.Lines++
	w.Bytes += size
	w.Places += PlaceHash(m.Seq, offset, size)
}

// Total is the sum over all sources.
func (l *Ledger) Total() (sources int, lines, bytes int64) {
	for _, w := range l.Sources {
		if w.Lines > 0 {
			sources++
		}
		lines += w.Lines
		bytes += w.Bytes
	}
	return sources, lines, bytes
}

// PlaceHash is a hash of where line seq of a source is. Sums of it over all lines of
// a source are equal only if every line is where it was written: two lines that
// were swapped, or one whose offset is wrong, change it.
func PlaceHash(seq, offset, size int64) uint64 {
	return mix(mix(mix(uint64(seq)+1)+uint64(offset)) + uint64(size))
}

// mix is SplitMix64's finaliser (Steele, Lea, Flood 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Save writes the ledger to a file, whole or not at all.
func (l *Ledger) Save(name string) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	tmp := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".tmp")
	if err := os.WriteFile(tmp, text, 0o644); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return os.Rename(tmp, name)
}

// LoadLedger reads a ledger.
func LoadLedger(name string) (*Ledger, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	l := &Ledger{}
	if err := json.Unmarshal(text, l); err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", name, err)
	}
	return l, nil
}
