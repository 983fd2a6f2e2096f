package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The example of docs/rules.md does what it says.
func TestDocumentedRules(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	yaml := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	console := regexp.MustCompile("(?s)```console\n\\$ sluice (.*?) < lines\n(.*?)```").FindSubmatch(page)
	if yaml == nil || console == nil {
		t.Fatal("no example")
	}
	dir := t.TempDir()
	cfg, in := filepath.Join(dir, "sluice.yaml"), filepath.Join(dir, "lines")
	lines := `10.0.0.7 "GET /healthz HTTP/1.1" 200
INFO 3 items in the cart
INFO paid with 4111 1111 1111 1111 by jo@example.com
INFO login session=a1b2c3 Authorization: Bearer 0123456789abcdef
ERROR no stock of item 4711
ERROR card 5555-5555-5555-4444 was declined
INFO order 4111111111111112 is no card: its last digit is wrong
`
	for name, text := range map[string][]byte{cfg: yaml[1], in: []byte(lines)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		for i := range args {
			if args[i] == "sluice.yaml" {
				args[i] = cfg
			}
		}
		var out bytes.Buffer
		if code := Execute(t.Context(), append(args, "--lines", in), &out, &out); code != 0 {
			t.Errorf("%q: code %d: %s", args, code, &out)
		}
		return out.String()
	}
	if got := run(words(string(console[1]))...); strings.TrimSpace(squeeze(got)) != strings.TrimSpace(squeeze(string(console[2]))) {
		t.Errorf("got\n%s\nwant\n%s", got, console[2])
	}
	got := run("rules", "bench", "-c", cfg, "--app", "shop/cart", "--time", "1ms")
	for _, want := range []string{`(?m)^health-checks +drop +\d+ +1 *$`, `(?m)^errors +count +\d+ +2 *$`, `(?m)^private +mask +\d+ +3 *$`, `(?m)^noisy +limit +\d+ +7 *$`, `(?m)^all +\d+ `, `7 lines of \d+ bytes`} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// squeeze makes one space of several.
func squeeze(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }
