package rule

import (
	"bytes"
	"slices"
)

// scanner finds which of many literals are in a text, in one pass that mostly skips: two
// bytes, letters of either case alike, say how far the end of the next literal is away at
// least (Wu and Manber 1994). It may be used by several goroutines.
type scanner struct {
	window int // bytes of each literal that are looked for
	shift  [scanSlots]uint8
	first  [scanSlots + 1]uint16 // of entries, by slot
	at     []scanEntry
}

const (
	scanSlots  = 4096
	mostWindow = 12
)

// scanEntry is a literal whose window ends in the two bytes of a slot.
type scanEntry struct {
	literal
	before int // bytes of the literal before the last two of its window
	rule   int
}

func scanSlot(a, b byte) uint { return (uint(a|0x20)*67 ^ uint(b|0x20)*3) & (scanSlots - 1) }

// newScanner is for literals of rules, by the rules' numbers; nil if there are none.
func newScanner(of map[int][]literal) *scanner {
	s := &scanner{window: mostWindow}
	var rules []int
	for rule, list := range of {
		rules = append(rules, rule)
		s.window = min(s.window, shortest(list))
	}
	if len(rules) == 0 {
		return nil
	}
	slices.Sort(rules)
	for i := range s.shift {
		s.shift[i] = uint8(s.window - 1)
	}
	buckets := make([][]scanEntry, scanSlots)
	for _, rule := range rules {
		for _, l := range of[rule] {
			start := s.rarest(l.bytes)
			w := l.bytes[start : start+s.window]
			for i := range s.window - 1 {
				slot := scanSlot(w[i], w[i+1])
				s.shift[slot] = min(s.shift[slot], uint8(s.window-2-i))
			}
			slot := scanSlot(w[s.window-2], w[s.window-1])
			buckets[slot] = append(buckets[slot], scanEntry{l, start + s.window - 2, rule})
		}
	}
	for i, b := range buckets {
		s.at = append(s.at, b...)
		s.first[i+1] = uint16(len(s.at))
	}
	return s
}

// rarest is where the window of a literal starts whose last two bytes are met least.
func (s *scanner) rarest(l []byte) (start int) {
	best := 1 << 10
	for i := 0; i+s.window <= len(l); i++ {
		if n := common(l[i+s.window-2]) + common(l[i+s.window-1]); n < best {
			start, best = i, n
		}
	}
	return start
}

// common ranks a byte by how often logs have it, roughly.
func common(c byte) int {
	return 30 - bytes.IndexByte([]byte(" etaoinsrhldcumfpgwybv-.:kxjqz"), c|0x20)%31
}

// find sets the bits of rules that have a literal in a text. Each probe waits for the one
// before it, so a long text is searched in four places at a time.
func (s *scanner) find(t []byte, found []uint64) {
	start, end := s.window-2, len(t)-1
	quarter := (end - start) / 4
	if quarter < 16 {
		s.search(t, start, end, found)
		return
	}
	b, c, d := start+quarter, start+2*quarter, start+3*quarter
	i, k, m, n := start, b, c, d
	for i < b && k < c && m < d && n < end {
		x, y := s.shift[scanSlot(t[i], t[i+1])], s.shift[scanSlot(t[k], t[k+1])]
		z, w := s.shift[scanSlot(t[m], t[m+1])], s.shift[scanSlot(t[n], t[n+1])]
		if x == 0 || y == 0 || z == 0 || w == 0 {
			x, y = s.stop(t, i, x, found), s.stop(t, k, y, found)
			z, w = s.stop(t, m, z, found), s.stop(t, n, w, found)
		}
		i, k, m, n = i+int(x), k+int(y), m+int(z), n+int(w)
	}
	s.search(t, i, b, found)
	s.search(t, k, c, found)
	s.search(t, m, d, found)
	s.search(t, n, end, found)
}

// search finds literals whose windows end from i on and before end.
func (s *scanner) search(t []byte, i, end int, found []uint64) {
	for i < end {
		i += int(s.stop(t, i, s.shift[scanSlot(t[i], t[i+1])], found))
	}
}

// stop compares the literals whose windows may end at i, if the shift is 0, and is how far
// to go on.
func (s *scanner) stop(t []byte, i int, shift uint8, found []uint64) uint8 {
	if shift > 0 {
		return shift
	}
	slot := scanSlot(t[i], t[i+1])
	for k := s.first[slot]; k < s.first[slot+1]; k++ {
		e := &s.at[k]
		if from := i - e.before; from >= 0 && from+len(e.bytes) <= len(t) && e.is(t[from:from+len(e.bytes)]) {
			found[e.rule>>6] |= 1 << (e.rule & 63)
		}
	}
	return 1
}

// is reports whether bytes are the literal.
func (l *literal) is(b []byte) bool {
	if !l.fold {
		return bytes.Equal(l.bytes, b)
	}
	for i, c := range b {
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != l.bytes[i] {
			return false
		}
	}
	return true
}
