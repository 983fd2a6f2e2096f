package cli

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/indexer/parse"
)

// A terminal gets columns and colours, and nothing of a line that it would obey.
func TestParsedLinesOnATerminal(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	in := strings.NewReader("2026-11-21 08:57:47.123 ERROR [main] a.B - boom \x1b[31m\x07x\r\n" + `{"msg":"hi","level":"info","logger":"a.very.long.name.of.a.Logger","n":1}` + "\nlast")
	if err := parseLines(in, w, parse.New(time.UTC), time.Date(2026, 11, 21, 8, 58, 0, 0, time.UTC), appendFoundText); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	want := "\x1b[2m2026-11-21 08:57:47.123Z\x1b[0m \x1b[31merror    \x1b[0m text   a.B                      2026-11-21 08:57:47.123 ERROR [main] a.B - boom [31mx\n" +
		"\x1b[2m-                       \x1b[0m \x1b[32minfo     \x1b[0m json   …y.long.name.of.a.Logger hi  \x1b[2mapp={\"n\":1}\x1b[0m\n" +
		"\x1b[2m-                       \x1b[0m -        \x1b[0m none                            last\n"
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}
