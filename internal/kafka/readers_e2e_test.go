//go:build linux && e2e

package kafka

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/test/servers"
)

// What we write is read by Java's client and by librdkafka as by us, with every codec,
// whether it was appended or written in place: frames of several blocks, blocks that do
// not compress, matches as long and as far as they can be.
func TestRealReaders(t *testing.T) {
	k := realKafka(t, servers.KafkaOptions{Nodes: 1, Heap: "384m"})
	c := realCluster(t, k.Brokers)
	rnd := rand.New(rand.NewPCG(1, 2))
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[rnd.IntN(64)]
		}
		return string(b)
	}
	again := noise(900)
	var values []string
	for i := range 6000 {
		switch v := fmt.Sprintf(`{"n":%d,"message":"GET /order/%d 200 %s"}`, i, rnd.IntN(1000), again[:rnd.IntN(900)]); {
		case i%500 == 100:
			v += noise(70_000)
			fallthrough
		default:
			values = append(values, v)
		case i%700 == 200:
			values = append(values, strings.Repeat("x", 300_000))
		case i%50 == 3:
			values = append(values, "")
		}
	}
	for _, codec := range []string{"none", "lz4", "zstd", "snappy", "gzip"} {
		t.Run(codec, func(t *testing.T) {
			topic := "readers-" + codec
			if err := EnsureTopic(t.Context(), c, topic, 1, 1); err != nil {
				t.Fatal(err)
			}
			o := produceOptions()
			o.Compression, o.BatchBytes = codec, 1<<20
			s := newSink(t)
			p := newTestProducer(t, c, o, s)
			headers := []Header{{Key: []byte("dc"), Value: []byte("dc1")}, {Key: []byte("app"), Value: []byte("order")}}
			rendered := RenderHeaders(headers)
			for i, v := range values {
				if i%1000 < 500 {
					r := Record{Key: []byte("key"), Value: []byte(v), Headers: headers, Time: time.Now()}
					if err := p.Append(t.Context(), topic, 0, r, Tag{Pos: int64(i)}); err != nil {
						t.Fatal(err)
					}
					continue
				}
				w, err := p.Write(t.Context(), topic, len(v)+100)
				if err != nil {
					t.Fatal(err)
				}
				w.Commit(append(w.Begin(0, []byte("key"), time.Now(), 700), v...), rendered, Tag{Pos: int64(i)})
				w.Close()
			}
			longDrain(t, p)
			same := func(who, out string, form string) {
				t.Helper()
				lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
				if len(lines) != len(values) {
					t.Fatalf("%s reads %d records, want %d; the last line is %.200q", who, len(lines), len(values), lines[len(lines)-1])
				}
				for i, v := range values {
					if want := fmt.Sprintf(form, v); lines[i] != want {
						t.Fatalf("%s: record %d is %.200q, want %.200q", who, i, lines[i], want)
					}
				}
			}
			out, err := exec.CommandContext(t.Context(), "kcat", "-C", "-q", "-e", "-b", k.Brokers[0], "-t", topic, "-o", "beginning", "-X", "check.crcs=true",
				"-f", "%h %k %s\n").Output()
			if err != nil {
				t.Fatalf("kcat: %v", err)
			}
			same("librdkafka", string(out), "dc=dc1,app=order key %s")
			property := "--formatter-property"
			if !k.AtLeast(4, 2) {
				property = "--property"
			}
			text, err := k.Tool(t.Context(), k.Class(servers.ConsoleConsumer), "--bootstrap-server", k.Brokers[0], "--topic", topic, "--from-beginning",
				"--max-messages", fmt.Sprint(len(values)), "--timeout-ms", "30000", property, "print.key=true", property, "print.headers=true")
			if err != nil {
				t.Fatalf("console consumer: %v", err)
			}
			form := "dc:dc1,app:order\tkey\t%s"
			if !k.AtLeast(2, 7) { // its tool prints no headers
				form = "key\t%s"
			}
			same("Java", text, form)
		})
	}
}
