package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/deadletter"
	"github.com/sluicelog/sluice/internal/estest"
	"github.com/sluicelog/sluice/internal/kafka"
)

// graveyard is a Kafka with dead letters, an Elasticsearch, and a configuration of both.
type graveyard struct {
	t   *testing.T
	k   *kfake.Cluster
	es  *estest.Server
	cfg string
	p   *kafka.Producer
	w   *deadletter.Writer
}

func newGraveyard(t *testing.T) *graveyard {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "sluice-dead"), kfake.SeedTopics(2, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	g := &graveyard{t: t, k: k, es: estest.New(), cfg: filepath.Join(t.TempDir(), "sluice.yaml")}
	text := fmt.Sprintf(`
host: web1
data_dir: %s
kafka: {central: {brokers: [%q]}}
indexer:
  kafka: central
  produce: {linger: 1ms}
  outputs:
    - {name: online, elasticsearch: {hosts: [%q]}, bulk: {linger: 10ms, retry_initial: 5ms, retry_max: 20ms}}
    - {name: standby, elasticsearch: {hosts: [%q]}, index: "standby-{yyyy.MM.dd}", bulk: {linger: 10ms}}
`, t.TempDir(), k.ListenAddrs()[0], g.es.URL, g.es.URL)
	if err := os.WriteFile(g.cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := kafka.ProducerOptions{Produce: config.Default().Indexer.Produce, Done: func(r *kafka.Result) {
		for i := range r.Tags {
			g.w.Done(&r.Tags[i], r.Err)
		}
	}}
	o.Linger = config.Duration(time.Millisecond)
	if g.p, err = kafka.NewProducer(t.Context(), &kafka.Cluster{Name: "central", Config: config.Kafka{Brokers: k.ListenAddrs()}}, o); err != nil {
		t.Fatal(err)
	}
	g.w = deadletter.NewWriter("sluice-dead", g.p, time.Second, quietly(config.Log{Level: "error"}, t.Output()))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { g.w.Run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended; g.p.Close(); k.Close(); g.es.Close() })
	return g
}

// buried is the owner of a letter in these tests.
type buried chan struct{}

func (b buried) Stored()     { close(b) }
func (b buried) Dropped()    { close(b) }
func (b buried) Held(bool)   {}
func (b buried) Ended() bool { return false }

// bury writes letters, each after the other.
func (g *graveyard) bury(letters ...*deadletter.Letter) {
	g.t.Helper()
	for _, l := range letters {
		stored := make(buried)
		g.w.Write(l, stored)
		<-stored
	}
}

// letter is one that the indexer has written: n makes it another.
func letter(n int, app, reason, text, value string) *deadletter.Letter {
	died := time.Date(2026, 11, 29, 7, 0, n, 0, time.UTC)
	return &deadletter.Letter{
		Record: kafka.Record{
			Key: []byte(app + "-1"), Value: []byte(value), Headers: []kafka.Header{{Key: []byte("app"), Value: []byte(app)}},
			Time: died.Add(-4 * time.Second), Offset: int64(10 + n),
		},
		Cluster: "central", Topic: "foreign", Reason: reason, Error: text, Status: 400, Role: "indexer", Output: "online", Target: "sluice-2026.11.29", ID: fmt.Sprintf("order-%d", n+1), Died: died,
	}
}

const (
	noObject = "[1:105] object mapping for [host] tried to parse field [host] as object, but found a concrete value"
	immense  = `Document contains at least one immense term in field="app" (whose UTF8 encoding is longer than the max length 32766), all of which were skipped.`
)

// four are the letters of the documentation.
func (g *graveyard) four() {
	parsing := "document_parsing_exception"
	value := func(n int, text, app string) string {
		return fmt.Sprintf(`{"@timestamp":"2026-11-29T06:59:5%dZ","message":%q,"host":"%s-1","@metadata":{"_id":"order-%d"}}`, 6+n, text, app, n+1)
	}
	g.bury(
		letter(0, "shop", parsing, noObject, value(0, "ordered", "shop")), letter(1, "shop", parsing, noObject, value(1, "ordered", "shop")),
		letter(2, "pay", parsing, noObject, value(2, "paid", "pay")), letter(3, "shop", "illegal_argument_exception", immense, value(3, "ordered", "shop")),
	)
}

// sluice runs a command line.
func (g *graveyard) sluice(args ...string) (out string, code int) {
	g.t.Helper()
	for i, a := range args {
		if a == "sluice.yaml" {
			args[i] = g.cfg
		}
	}
	var b bytes.Buffer
	code = Execute(g.t.Context(), args, &b, &b)
	return b.String(), code
}

// The commands of docs/dead-letters.md print what it says.
func TestDocumentedDeadLetters(t *testing.T) {
	page, err := os.ReadFile("../../docs/dead-letters.md")
	if err != nil {
		t.Fatal(err)
	}
	g := newGraveyard(t)
	g.four()
	g.es.OnItem(func(d *estest.Doc) estest.Item {
		if bytes.Contains(d.Source, []byte("paid")) {
			return estest.Item{Status: 400, Type: "document_parsing_exception", Reason: noObject}
		}
		return estest.Item{}
	})
	blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	ran := 0
	for _, b := range blocks {
		for _, part := range strings.Split("\n"+b[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(part, "\n")
			ran++
			got, _ := g.sluice(words(command)[1:]...)
			got = regexp.MustCompile(`(?m)^time=.*\n`).ReplaceAllString(got, "") // its log
			if strings.TrimRight(got, "\n") != strings.TrimRight(want, "\n") {
				t.Errorf("$ %s\n%s\nwant\n%s", command, got, want)
			}
		}
	}
	if ran < 7 {
		t.Errorf("%d commands were found", ran)
	}
}

// words are those of a command line with its quotes.
func words(s string) (out []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(s, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

// A replayed letter gets the id it was to have, goes to the output that refused it, and is
// not replayed again unless asked; what was done, and by whom, is an event.
func TestReplay(t *testing.T) {
	g := newGraveyard(t)
	g.four()
	big := letter(4, "big", "status 413", "too large", `{"@timestamp":"2026-11-29T06:59:58Z","message":"`+strings.Repeat("x", 3<<20)+`","@metadata":{"_id":"big-1"}}`)
	none := letter(5, "lost", "x", "x", `{"message":"m"}`)
	none.Output = "former"
	batch := letter(7, "", deadletter.Unreadable, "x", "\x00\x01")
	relayed := letter(6, "relayed", "record_too_large", "x", `{"@timestamp":"2026-11-29T06:59:58Z","message":"m","@metadata":{"_id":"relayed-1"}}`)
	relayed.Role, relayed.Output = "aggregator", "central"
	g.bury(big, none, relayed, batch)
	out, code := g.sluice("dead", "replay", "-c", "sluice.yaml", "--rate", "0")
	if code != 0 || !strings.Contains(out, "6 letters: 6 indexed, 0 died again") || !strings.Contains(out, "1 letter of output former") || !strings.Contains(out, "1 letter holding a batch") {
		t.Fatalf("code %d: %s", code, out)
	}
	docs := g.es.Docs()
	for _, want := range []string{"sluice-2026.11.29/order-1", "sluice-2026.11.29/order-4", "sluice-2026.11.29/big-1", "sluice-2026.11.29/relayed-1", "standby-2026.11.29/relayed-1"} {
		if docs[want] == nil {
			t.Errorf("%s is not indexed", want)
		}
	}
	if len(docs) != 7 {
		t.Errorf("%d documents, want 7", len(docs))
	}
	if out, code := g.sluice("dead", "replay", "-c", "sluice.yaml"); code != 0 || !strings.Contains(out, "0 letters: 0 indexed") {
		t.Errorf("a second time: code %d: %s", code, out)
	}
	if out, code := g.sluice("dead", "replay", "-c", "sluice.yaml", "--marked", "--app", "shop"); code != 0 || !strings.Contains(out, "3 letters: 3 indexed (3 were there)") {
		t.Errorf("asked for: code %d: %s", code, out)
	}
	if out, code := g.sluice("dead", "replay", "-c", "sluice.yaml", "--to", "standby", "--app", "lost"); code != 0 || !strings.Contains(out, "1 letter: 1 indexed") {
		t.Errorf("to another output: code %d: %s", code, out)
	}
	var events []string
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.k.ListenAddrs()...), kgo.ConsumeTopics("logs"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for len(events) < 4 {
		cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) { events = append(events, string(r.Value)) })
	}
	if !slices.ContainsFunc(events, func(e string) bool {
		return strings.Contains(e, "dead letters replayed: 3 letters: 3 indexed (3 were there), 0 died again (--app shop), by ") && strings.Contains(e, `"dataset":"sluice.audit"`)
	}) {
		t.Errorf("no event of what was done in %q", events)
	}
}

// Letters of an older form, and what is no letter, are counted and keep nobody from the others.
func TestDeadBesideOthers(t *testing.T) {
	g := newGraveyard(t)
	if out, code := g.sluice("dead", "list", "-c", "sluice.yaml"); code != 0 || !strings.Contains(out, "no letters in sluice-dead") {
		t.Errorf("none: code %d: %s", code, out)
	}
	if err := g.p.Append(t.Context(), "sluice-dead", 0, kafka.Record{Value: []byte("x"), Time: time.Now()}, kafka.Tag{}); err != nil {
		t.Fatal(err)
	}
	if err := g.p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.four()
	out, code := g.sluice("dead", "list", "-c", "sluice.yaml")
	if code != 0 || !strings.Contains(out, "1 record cannot be read as letters and were left out; the first: record at sluice-dead/0@0 is not a dead letter") || !strings.Contains(out, "4 letters in sluice-dead") {
		t.Errorf("code %d: %s", code, out)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"list", "--by", "colour"}, 2, "--by: expected some of app, day, error, index, mark, output, reason, topic"},
		{[]string{"list", "--since", "soon"}, 2, "--since: expected a time such as"},
		{[]string{"list", "--app", "["}, 2, "--app: "},
		{[]string{"show", "--at", "x"}, 2, "--at: expected the place of a letter"},
		{[]string{"list", "--topic", "none"}, 1, "topic none of central does not exist"},
		{[]string{"drop"}, 2, "choose letters by a filter"},
		{[]string{"replay", "--to", "none"}, 2, `no output is named "none"`},
	} {
		out, code := g.sluice(append([]string{"dead", c.args[0], "-c", "sluice.yaml"}, c.args[1:]...)...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%q: code %d: %s; want %s", c.args, code, out, c.want)
		}
	}
	for _, c := range []struct {
		args []string
		n    string
	}{
		{[]string{"--since", "2026-11-29T07:00:01Z", "--until", "2026-11-29T07:00:03Z"}, "2 letters"}, {[]string{"--app", "!shop"}, "1 letter "}, {[]string{"--at", "0/2", "--at", "sluice-dead/0/3"}, "2 letters"},
		{[]string{"--index", "sluice-*", "--from-topic", "/^for/", "--output", "online"}, "4 letters"}, {[]string{"--error", "IMMENSE"}, "1 letter "},
	} {
		if out, _ := g.sluice(append([]string{"dead", "list", "-c", "sluice.yaml"}, c.args...)...); !strings.Contains(out, "\n"+c.n) {
			t.Errorf("%q: %s; want %s", c.args, out, c.n)
		}
	}
	if out, code := g.sluice("dead", "drop", "-c", "sluice.yaml", "--all", "--dry-run"); code != 0 || !strings.Contains(out, "4 letters would be dropped") {
		t.Errorf("code %d: %s", code, out)
	}
	if out, code := g.sluice("dead", "show", "-c", "sluice.yaml", "--json", "-n", "0"); code != 0 || strings.Count(out, `"at":"sluice-dead/0/`) != 4 {
		t.Errorf("code %d: %s", code, out)
	}
}
