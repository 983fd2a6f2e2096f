package document

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/indexer/internal/samples"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

var update = flag.Bool("update", false, "rewrite golden files")

func newEncoder(t testing.TB, index string) *Encoder {
	t.Helper()
	p, err := NewPattern(index)
	if err != nil {
		t.Fatal(err)
	}
	e := NewEncoder(Options{Pattern: p, Zone: time.UTC})
	e.At(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	return e
}

// encode is Append by a codec.
func (e *Encoder) encode(codec string, r kafka.Record) []byte {
	e.codec = codec
	return e.Append(nil, &r, "logs", 3)
}

func TestDocuments(t *testing.T) {
	var got bytes.Buffer
	for _, original := range []bool{false, true} {
		e := newEncoder(t, "sluice-{dc}-{dataset}-{app}-{yyyy.MM.dd}") // one for all, as records come
		e.original = original
		for _, g := range samples.Records {
			if original && !strings.Contains(g.What, "ours") && g.Codec == "ecs" {
				continue
			}
			out := e.encode(g.Codec, g.Kafka())
			got.WriteString("# " + g.What + "\n")
			got.Write(out)
			lines := bytes.Split(out, []byte("\n"))
			if len(lines) != 3 || len(lines[2]) != 0 {
				t.Errorf("%s: %d lines", g.What, len(lines)-1)
			}
			for _, l := range lines[:2] {
				if !json.Valid(l) {
					t.Errorf("%s: no JSON: %s", g.What, l)
				}
				if key := doubled(l); key != "" {
					t.Errorf("%s: %s twice in %s", g.What, key, l)
				}
			}
			if again := newEncoder(t, "sluice-{dc}-{dataset}-{app}-{yyyy.MM.dd}").encode(g.Codec, g.Kafka()); !original && !bytes.Equal(again, out) {
				t.Errorf("%s: not the same a second time:\n%s\n%s", g.What, out, again)
			}
		}
	}
	path := "testdata/documents.txt"
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s differs (-update rewrites it):\n%s", path, got.Bytes())
	}
}

// doubled is a key that is twice in an object, which Elasticsearch refuses.
func doubled(l []byte) string {
	dec := json.NewDecoder(bytes.NewReader(l))
	var walk func() string
	walk = func() string {
		tok, err := dec.Token()
		if err != nil {
			return ""
		}
		switch tok {
		case json.Delim('{'):
			seen := map[any]bool{}
			for dec.More() {
				k, _ := dec.Token()
				if seen[k] {
					return k.(string)
				}
				seen[k] = true
				if d := walk(); d != "" {
					return d
				}
			}
			dec.Token()
		case json.Delim('['):
			for dec.More() {
				if d := walk(); d != "" {
					return d
				}
			}
			dec.Token()
		}
		return ""
	}
	return walk()
}

// Whatever a record holds, it becomes an action and a document, each one line of JSON.
func FuzzEncode(f *testing.F) {
	for _, g := range samples.Records {
		f.Add(g.Codec, []byte(g.Value))
	}
	e := newEncoder(f, "sluice-{dataset}-{app}-{yyyy.MM.dd}")
	e.original = true
	f.Fuzz(func(t *testing.T, codec string, value []byte) {
		if _, ours := schemas.ParseHead(value); ours && !json.Valid(value) {
			return // the shipper's word that its own bytes are JSON is taken; else Elasticsearch refuses the one document
		}
		kept := string(value)
		r := kafka.Record{Value: value, Offset: 42, Time: samples.ReadTime}
		out := e.encode(codec, r)
		if string(value) != kept {
			t.Fatalf("%q was written to", kept)
		}
		lines := bytes.Split(out, []byte("\n"))
		if len(lines) != 3 || len(lines[2]) != 0 {
			t.Fatalf("%q: %q is not two lines", value, out)
		}
		for _, l := range lines[:2] {
			if !json.Valid(l) {
				t.Fatalf("%q: %q is no JSON", value, l)
			}
		}
	})
}

// What a line says of its error stays under app where the event has an error already.
func TestErrorOfALineBesideThatOfItsEvent(t *testing.T) {
	e := newEncoder(t, "sluice-{yyyy.MM.dd}")
	f := func(codec, event, line, wantError, wantApp string) {
		t.Helper()
		if event != "" {
			message, _ := json.Marshal(line)
			line = `{` + event + `,"message":` + string(message) + `}`
		}
		_, doc := e.document(t, codec, kafka.Record{Value: []byte(line), Time: samples.ReadTime})
		object, _ := json.Marshal(doc["error"])
		app, _ := json.Marshal(doc["app"])
		if dotted := doc["error.code"]; dotted != nil {
			object, _ = json.Marshal(dotted)
		}
		if string(object) != wantError || string(app) != wantApp {
			t.Errorf("%s %s: error %s, want %s; app %s, want %s", codec, line, object, wantError, app, wantApp)
		}
	}
	const at, trace = `"@timestamp":"2026-11-21T08:57:47.123Z"`, `a.BException: no\n\tat a.B.c(B.java:1)`
	const lifted = `{"message":"no","stack_trace":"` + trace + `","type":"a.BException"}`
	for name, value := range map[string]string{"stack_trace": `"` + trace + `"`, "exc_info": `"` + trace + `"`, "err": `{"message":"no","stack":"` + trace + `","type":"a.BException"}`} {
		line := `{"level":"error","msg":"x","` + name + `":` + value + `}`
		f("ecs", at, line, lifted, `null`)
		f("json", "", line, lifted, `null`)
		f("ecs", at+`,"error":{"code":"7"}`, line, `{"code":"7"}`, `{"`+name+`":`+value+`}`)
		f("ecs", at+`,"error.code":"7"`, line, `"7"`, `{"`+name+`":`+value+`}`)
		f("ecs", `"@timestamp":"1999"`, line, `{"message":"@timestamp not believed: \"1999\""}`, `{"`+name+`":`+value+`}`)
	}
	f("json", "", `level=error msg=x stack_trace="`+trace+`"`, `{"message":"the value is no JSON object"}`, `{"stack_trace":"`+trace+`"}`)
}
