package rule

import (
	"bytes"
	"unicode/utf8"
)

// findCards finds numbers of payment cards: 12 to 19 digits with the first digits and the
// length of a card scheme, whose last digit is right (Luhn, ISO/IEC 7812-1). They may be
// in groups with one kind of separator, and be in a word of letters, but in no longer
// number, decimal fraction or hexadecimal text.
func findCards(dst []span, plain []byte) []span {
	var g groups
	for i := 0; i < len(plain); {
		c := plain[i]
		if c-'0' >= 10 && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			if n := asciiDigits(plain[i:]); n < 4 && (i+n == len(plain) || plain[i+n] < utf8.RuneSelf) {
				i += n
				continue
			}
		} else if v, n := digit(plain, i); v < 0 {
			i += n
			continue
		}
		g.read(plain, i)
		if to := g.card(plain); to > 0 && startsNumber(plain, i) && !hexadecimal(plain, i, to) {
			dst = append(dst, span{from: i, to: to})
			i = to
			continue
		}
		i = g.ends[0]
	}
	return dst
}

func asciiDigits(b []byte) (n int) {
	for n < len(b) && b[n]-'0' < 10 {
		n++
	}
	return n
}

// digit is the value of the digit at i, or -1, and the bytes of its character: of ASCII,
// full width, Arabic or Devanagari.
func digit(b []byte, i int) (value, n int) {
	if c := b[i]; c < utf8.RuneSelf {
		if c-'0' < 10 {
			return int(c - '0'), 1
		}
		return -1, 1
	}
	r, n := utf8.DecodeRune(b[i:])
	for _, zero := range [...]rune{0xff10, 0x660, 0x6f0, 0x966} {
		if r >= zero && r < zero+10 {
			return int(r - zero), n
		}
	}
	return -1, n
}

const mostDigits = 19

// groups is digits with one kind of separator between them, as far as they may be one
// number.
type groups struct {
	digits [mostDigits]byte
	count  [mostDigits]int // digits up to the end of a group
	ends   [mostDigits]int // and where in the text that is
	n      int             // groups
	spaced bool            // a space is between them: what follows may be another number
}

// read reads groups from the digit at i. The first is read to its end, however long.
func (g *groups) read(b []byte, i int) {
	total, separator := 0, []byte(nil)
	for g.n = 0; ; {
		start := total
		for i < len(b) {
			v, n := digit(b, i)
			if v < 0 {
				break
			}
			if total < mostDigits {
				g.digits[total] = byte(v)
			}
			total++
			i += n
		}
		if total == start || total > mostDigits && g.n > 0 {
			return
		}
		g.count[g.n], g.ends[g.n] = total, i
		if g.n++; total >= mostDigits {
			return
		}
		n := separatorLen(b, i)
		if n == 0 || separator != nil && !bytes.Equal(separator, b[i:i+n]) {
			return
		}
		separator, g.spaced = b[i:i+n], b[i] == ' '
		i += n
	}
}

// separatorLen is the length of what may be between groups of a card's number.
func separatorLen(b []byte, i int) int {
	if i >= len(b) {
		return 0
	}
	switch b[i] {
	case ' ':
		if i+1 < len(b) && b[i+1] == ' ' {
			return 2
		}
		return 1
	case '-', '.', '_', '/', '+', '\t':
		return 1
	case '%': // of an address
		if i+2 < len(b) && b[i+1] == '2' && (b[i+2] == '0' || b[i+2]|0x20 == 'd') {
			return 3
		}
		return 0
	}
	if b[i] < utf8.RuneSelf {
		return 0
	}
	switch r, n := utf8.DecodeRune(b[i:]); {
	case r == 0xa0, r == 0x202f, r == 0x3000, r == 0x2212, r == 0xff0d, r == 0xb7, r >= 0x2000 && r <= 0x2015:
		return n
	}
	return 0
}

// card is where the longest number of a card ends that begins with the first group; 0:
// there is none.
func (g *groups) card(b []byte) int {
	for i := g.n - 1; i >= 0; i-- {
		n := g.count[i]
		if n < 12 || n > mostDigits || !g.shaped(i) || !scheme(g.digits[:n]) || !luhn(g.digits[:n]) || !endsNumber(b, g.ends[i]) {
			continue
		}
		if i > 0 && i < g.n-1 && !g.spaced { // the first part of a longer number
			continue
		}
		return g.ends[i]
	}
	return 0
}

// shaped reports whether cards are written in such groups: the first of 4 to 8 digits,
// those in the middle of 3 and more.
func (g *groups) shaped(last int) bool {
	if last == 0 {
		return true
	}
	for i := 0; i <= last; i++ {
		size := g.count[i]
		if i > 0 {
			size -= g.count[i-1]
		}
		if i == 0 && (size < 4 || size > 8) || i > 0 && i < last && size < 3 {
			return false
		}
	}
	return true
}

// startsNumber reports whether a number may begin at i: not within a decimal fraction or
// a word that has digits before.
func startsNumber(b []byte, i int) bool {
	k := i
	for k > 0 && isLetter(b[k-1]) {
		k--
	}
	if k == 0 {
		return true
	}
	c := b[k-1]
	if k < i {
		return c-'0' >= 10
	}
	return c-'0' >= 10 && !(c == '.' && k > 1 && b[k-2]-'0' < 10)
}

// endsNumber is startsNumber for the end.
func endsNumber(b []byte, i int) bool {
	k := i
	for k < len(b) && isLetter(b[k]) {
		k++
	}
	if k == len(b) {
		return true
	}
	c := b[k]
	if k > i {
		return c-'0' >= 10
	}
	return c-'0' >= 10 && !(c == '.' && k+1 < len(b) && b[k+1]-'0' < 10)
}

// hexadecimal reports whether a number is a part of what is written in hexadecimal digits,
// letters among them, and has one of the usual lengths of such: an id, a hash.
func hexadecimal(b []byte, from, to int) bool {
	letters := false
	isHex := func(c byte) bool {
		letter := (c|0x20)-'a' < 6
		letters = letters || letter
		return letter || c-'0' < 10
	}
	for from > 0 && isHex(b[from-1]) {
		from--
	}
	for to < len(b) && isHex(b[to]) {
		to++
	}
	if !letters || from > 0 && isWord(b[from-1]) || to < len(b) && isWord(b[to]) {
		return false
	}
	n := to - from
	return n == 16 || n >= 20 && n%4 == 0
}

func isLetter(c byte) bool { return (c|0x20)-'a' < 26 }

// scheme reports whether a card scheme has numbers that begin so and are as long.
func scheme(d []byte) bool {
	n := len(d)
	p := func(k int) int {
		v := 0
		for _, c := range d[:k] {
			v = v*10 + int(c)
		}
		return v
	}
	p2, p3, p4 := p(2), p(3), p(4)
	long := n >= 16 // to 19
	switch {
	case d[0] == 4: // Visa
		return n == 13 || n == 16 || n >= 18
	case p2 >= 51 && p2 <= 55, p4 >= 2221 && p4 <= 2720: // Mastercard
		return n == 16
	case p2 == 34, p2 == 37: // American Express
		return n == 15
	case p3 >= 300 && p3 <= 305, p3 == 309, p2 == 36, p2 == 38, p2 == 39: // Diners Club
		return n == 14 || n == 16
	case p4 >= 3528 && p4 <= 3589: // JCB
		return long
	case p4 >= 2200 && p4 <= 2204: // Mir
		return long
	case p4 == 5018, p4 == 5020, p4 == 5038, p4 == 5893, p4 == 6304, p4 == 6759, p4 >= 6761 && p4 <= 6763: // Maestro
		return true
	case p2 == 62, p2 == 81: // UnionPay
		return long
	case p4 == 6011, p3 >= 644 && p3 <= 649, p2 == 65, p3 == 636, p4 == 5060, p4 == 5061: // Discover, InterPayment, Elo, Verve
		return long
	case p2 == 60, p2 == 82, p3 == 508, p4 == 5019, p4 == 9792, p4 == 8600, p4 == 9860: // RuPay, Hipercard, Dankort, Troy, Uzcard, Humo
		return n == 16
	}
	return false
}

func luhn(d []byte) bool {
	sum, same := 0, true
	for i, c := range d {
		v := int(c)
		same = same && c == d[0]
		if (len(d)-i)%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0 && !same
}
