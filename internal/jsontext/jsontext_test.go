package jsontext

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEnds(t *testing.T) {
	f := func(in string, scan, lastEscape, end, quote int) {
		t.Helper()
		n, last, _ := Scan([]byte(in))
		if got := [4]int{n, last, End([]byte("xy"+in), 2), Quote([]byte(in))}; got != [4]int{scan, lastEscape, end, quote} {
			t.Errorf("%q: Scan, its escape, End, Quote are %v, want %v", in, got, [4]int{scan, lastEscape, end, quote})
		}
	}
	f(`"`, 0, -1, 2, 0)
	f(`abc"`, 3, -1, 5, 3)
	f(`abcdefghijk"rest`, 11, -1, 13, 11)
	f(`a\n"`, 3, 1, 5, 3)
	f(`a\"b\\"`, 6, 4, 8, 6)
	f(`0123456\"89"`, 11, 7, 13, 11)
	f(`a\u00e9"`, 7, 1, 9, 7)
	f("上海\"", 6, -1, 8, 6)
	f("\xff\"", -1, -1, 3, 1)   // not UTF-8
	f("a\x00\"", -1, -1, -1, 2) // a control character
	f("a\nb\"", -1, -1, -1, 3)
	f(`a\x"`, -1, -1, -1, 3) // no escape
	f(`a\u12"`, -1, -1, -1, 5)
	f(`a\u00eg"`, -1, -1, -1, 7)
	f(`abc`, -1, -1, -1, -1)
	f(`abc\"`, -1, 3, -1, -1)
	f(`abc\`, -1, -1, -1, -1)
	f(``, -1, -1, -1, -1)
}

func TestCut(t *testing.T) {
	f := func(in string, limit, want int) {
		t.Helper()
		if got := Cut([]byte(in), limit); got != want {
			t.Errorf("%q at %d: %d, want %d", in, limit, got, want)
		}
	}
	f(`abc`, 5, 3)
	f(`abcdef`, 3, 3)
	f(`ab\ndef`, 3, 2)
	f(`ab\\\\n`, 5, 4)
	f(`a\u00e9b`, 5, 1)
	f(`a\ud83d\ude00b`, 7, 1)
	f(`a\ud83d\ude00b`, 13, 13)
	f(`a上b`, 2, 1)
	f(`\\a`, 1, 0)
}

// FuzzStrings holds what encoding/json says of bytes against what is said here.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{
		``, `plain`, `a\"b\\c\n`, `\ud83d\ude00\/`, `\ud83dx\ude00`, "\u0301\"0", "a\"b\\c\n\r\t\x00\x1f\x7f", "上海 \xff\xfe \xe4\xb8",
		"\x1b[31mred\x1b[0m", `0123456"`, `01234567\"9"`, "\u2028\u2029<&>", `a\u12`, `a\`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var text string
		legal := json.Unmarshal([]byte(`"`+string(b)+`"`), &text) == nil
		if got := End(append(bytes.Clone(b), '"'), 0); legal != (got == len(b)) {
			t.Fatalf("%q: legal is %v, End = %d", b, legal, got)
		}
		if got, _, _ := Scan(append(bytes.Clone(b), '"')); (legal && utf8.Valid(b)) != (got == len(b)) {
			t.Fatalf("%q: legal is %v, Scan = %d", b, legal, got)
		}
		if got := Quote(append(bytes.Clone(b), '"')); legal && got != len(b) {
			t.Fatalf("%q: Quote = %d", b, got)
		}
		if n, last, _ := Scan(b); n >= 0 {
			if last != lastEscape(b[:n]) {
				t.Fatalf("%q: its last escape is at %d, want %d", b, last, lastEscape(b[:n]))
			}
			cutAnywhere(t, b[:n])
		}
		if legal && utf8.Valid(b) {
			if got := string(Unescape(nil, b)); got != text {
				t.Fatalf("%q: unescaped %q, want %q", b, got, text)
			}
		}
		roundTrip(t, b)
	})
}

func lastEscape(in []byte) int {
	last := -1
	for i := 0; i < len(in); i++ {
		if in[i] == '\\' {
			last = i
			i += EscapeLen(in[i:]) - 1
		}
	}
	return last
}

// cutAnywhere: both halves of a legal inside are legal.
func cutAnywhere(t *testing.T, in []byte) {
	for limit := 1; limit <= min(len(in), 20); limit++ {
		cut := Cut(in, limit)
		for _, half := range [][]byte{in[:cut], in[cut:]} {
			if e, _, _ := Scan(append(bytes.Clone(half), '"')); e != len(half) {
				t.Fatalf("%q cut at %d of %d: %q is not legal", in, cut, limit, half)
			}
		}
	}
}

// roundTrip: what is appended is read back as the same text, invalid bytes as U+FFFD.
func roundTrip(t *testing.T, b []byte) {
	in, invalid := AppendCleaned(nil, b)
	var got string
	if err := json.Unmarshal([]byte(`"`+string(in)+`"`), &got); err != nil {
		t.Fatalf("%q: %v", in, err)
	}
	want := string([]rune(string(b)))
	if got != want || string(Unescape(nil, in)) != want {
		t.Fatalf("got %q, and unescaped %q, want %q", got, Unescape(nil, in), want)
	}
	if (invalid == 0) != utf8.Valid(b) {
		t.Fatalf("%q: invalid = %d", b, invalid)
	}
	if got := string(Append(nil, string(b))); got != string(in) {
		t.Fatalf("of a string %q, of bytes %q", got, in)
	}
	if Plain(b) != (string(in) == string(b) && utf8.Valid(b)) {
		t.Fatalf("%q: Plain = %v", b, Plain(b))
	}
}

func TestNothingIsAllocated(t *testing.T) {
	in := []byte(strings.Repeat(`GET /order/7919 \"上海\" 200 `, 40) + `"`)
	dst := make([]byte, 0, 4*len(in))
	if n := testing.AllocsPerRun(100, func() {
		end, _, _ := Scan(in)
		if End(in, 0) != end || Quote(in) != end || Plain(in[:end]) {
			t.Fatal("not what is in it")
		}
		dst = Append(Unescape(dst[:0], in[:end])[:0], in[:Cut(in[:end], 500)])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func Benchmark(b *testing.B) {
	inside := func(line string) []byte {
		return append(Append(nil, strings.Repeat(line, 1000/len(line)+1)[:1000]), '"')
	}
	texts := map[string][]byte{
		"ascii":   inside(`GET /order/7919?user=42 200 0.004 `),
		"escapes": inside(`{"level":"info","msg":"order done"} `),
		"chinese": inside(`订单 7919 已完成 `),
	}
	do := map[string]func(in, dst []byte) int{
		"Scan":     func(in, _ []byte) int { n, _, _ := Scan(in); return n },
		"End":      func(in, _ []byte) int { return End(in, 0) },
		"Quote":    func(in, _ []byte) int { return Quote(in) },
		"Plain":    func(in, _ []byte) int { Plain(in[:len(in)-1]); return 0 },
		"Append":   func(in, dst []byte) int { return len(Append(dst, in)) },
		"Unescape": func(in, dst []byte) int { return len(Unescape(dst, in)) },
	}
	dst := make([]byte, 0, 8<<10)
	for _, what := range []string{"Scan", "End", "Quote", "Plain", "Append", "Unescape"} {
		for _, kind := range []string{"ascii", "escapes", "chinese"} {
			b.Run(what+"/"+kind, func(b *testing.B) {
				in, f := texts[kind], do[what]
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					if f(in, dst) < 0 {
						b.Fatal("no end")
					}
				}
			})
		}
	}
}

func TestScanCountsReplacedBytes(t *testing.T) {
	for in, want := range map[string]int{`a"`: 0, `\ufffd"`: 1, `\n\ufffda\ufffd\ufffd\n"`: 3, `\\ufffd"`: 0, `\uFFFD"`: 0, "\uFFFD\"": 0, `\u003c\ufffd\u003e"`: 1} {
		if end, _, got := Scan([]byte(in)); got != want || end != len(in)-1 {
			t.Errorf("%s: %d, want %d", in, got, want)
		}
	}
}
