// Package workload makes the lines that the end-to-end tests write and look for: the
// same seed gives the same bytes, so the writer in a container and the test that
// verifies need not talk to each other.
package workload

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Lines is one deterministic sequence of lines without their newlines.
type Lines struct {
	Seed  uint64
	Count int
	Huge  bool // the sequence holds one line of 1 MiB and lines around 16 KiB
}

// At is line i of the sequence; 0 <= i < Count. It holds no newline and may be empty.
func (l Lines) At(i int) []byte {
	rnd := rand.New(rand.NewPCG(l.Seed, uint64(i)))
	if l.Huge {
		switch i {
		case l.Count / 2:
			return ascii(rnd, 1<<20)
		case l.Count / 3, l.Count/3 + 1, l.Count/3 + 2:
			return ascii(rnd, 16384+i-l.Count/3-1)
		}
	}
	id := fmt.Sprintf("seed=%d line=%d", l.Seed, i)
	switch rnd.IntN(12) {
	case 0:
		return nil
	case 1:
		return []byte(id + " 上海 → København, наш заказ №7 🚚 e\u0301 \u2028 \u2029")
	case 2:
		return []byte(id + ` say "hi" c:\temp\new 'x' \" \\ {"not": json} <a href="&amp;">`)
	case 3:
		b := []byte(id + " control")
		for c := byte(0); c < 0x20; c++ {
			if c != '\n' {
				b = append(b, c)
			}
		}
		return append(b, 0x7f)
	case 4:
		return []byte("\x1b[32m" + id + "\x1b[0m \x1b[1;31mERROR\x1b[0m done\r")
	case 5:
		return []byte(id + " bad \xff\xfe \xc3( \xe4\xb8 end\xed\xa0\x80")
	case 6:
		return []byte(fmt.Sprintf(`{"@timestamp":"2026-11-21T08:00:%02d.%03dZ","level":"warn","logger":"c.q.Order","message":"json %s","n":%d,"nested":{"a":[1,2.50,"x\u00e9"]}}`, i%60, i%1000, id, i))
	case 7:
		return []byte(fmt.Sprintf(`10.0.0.%d - - [21/Nov/2026:08:00:%02d +0000] "GET /api/%d?q=%s HTTP/1.1" 200 %d "-" "Mozilla/5.0"`, i%250, i%60, i, strings.ReplaceAll(id, " ", "+"), rnd.IntN(5000)))
	case 8:
		return []byte("93% disk, " + id + " trailing space ")
	default:
		pad := bytes.Repeat([]byte("k=v "), rnd.IntN(160))
		return fmt.Appendf(nil, "2026-11-21 08:00:%02d.%03d INFO  [http-%d] c.q.OrderService - %s %s", i%60, i%1000, i%200, id, pad)
	}
}

// Cleaned is the line as sluice documents it to arrive from Docker: each byte that is
// not UTF-8 became U+FFFD.
func Cleaned(line []byte) string { return string([]rune(string(line))) }

// ascii avoids bytes that dockerd's 16 KiB cut could break apart.
func ascii(rnd *rand.Rand, n int) []byte {
	const letters = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\"\\0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rnd.IntN(len(letters))]
	}
	return b
}
