package verify

import "math/bits"

// seen is a set of sequence numbers as a bitmap of pages: 1 bit a line, so 100 million
// lines take 12.5 MB.
type seen struct {
	pages []*[pageWords]uint64
	n     int64
	top   int64 // highest + 1
}

const (
	pageWords = 128 // 1 KiB
	pageBits  = pageWords * 64
)

// add says whether seq is new.
func (s *seen) add(seq int64) bool {
	p := seq / pageBits
	for p >= int64(len(s.pages)) {
		s.pages = append(s.pages, nil)
	}
	page := s.pages[p]
	if page == nil {
		page = new([pageWords]uint64)
		s.pages[p] = page
	}
	word, bit := &page[seq%pageBits/64], uint64(1)<<(seq%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	s.n++
	s.top = max(s.top, seq+1)
	return true
}

func (s *seen) has(seq int64) bool {
	p := seq / pageBits
	return p < int64(len(s.pages)) && s.pages[p] != nil && s.pages[p][seq%pageBits/64]>>(seq%64)&1 == 1
}

// span is a run of sequence numbers, To not included.
type span struct{ From, To int64 }

// missing lists what is not there of 0 to lines, limit spans at most, and how much it is in all.
func (s *seen) missing(lines int64, limit int) (spans []span, n int64) {
	for seq := int64(0); seq < lines; {
		if s.has(seq) {
			seq++
			if p := seq / pageBits; seq%64 == 0 && p < int64(len(s.pages)) && s.pages[p] != nil {
				seq += int64(bits.TrailingZeros64(^s.pages[p][seq%pageBits/64])) &^ 63 // whole words
			}
			continue
		}
		from := seq
		for seq < lines && !s.has(seq) {
			seq++
		}
		n += seq - from
		if len(spans) < limit {
			spans = append(spans, span{from, seq})
		}
	}
	return spans, n
}

// idPages hold a hash of each line's id, 4 bytes a line, in pages that never move.
type idPages []*[idPage]uint32

const idPage = 1024 // 4 KiB

// at is where the hash of seq is.
func (p *idPages) at(seq int64) *uint32 {
	n := seq / idPage
	for n >= int64(len(*p)) {
		*p = append(*p, nil)
	}
	if (*p)[n] == nil {
		(*p)[n] = new([idPage]uint32)
	}
	return &(*p)[n][seq%idPage]
}
