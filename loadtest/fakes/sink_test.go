package fakes_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/loadtest/fakes"
	"github.com/sluicelog/sluice/loadtest/generate"
	"github.com/sluicelog/sluice/loadtest/verify"
	"github.com/sluicelog/sluice/schemas"
)

type bulkAnswer struct {
	Errors bool
	Items  []map[string]struct {
		ID     string `json:"_id"`
		Status int
	}
}

// sinkEvent is line seq of source 0 as the shipper sends it.
func sinkEvent(seq, offset, size int64) []byte {
	const said = " said it"
	at := time.Date(2026, 11, 21, 8, 57, 47, 123456000, time.UTC)
	m := generate.Mark{Run: 1, Seq: seq, Time: at.UnixMicro()}
	text := generate.AppendSeal(append(m.Append(nil), said...), []byte(said))
	return schemas.AppendEvent(nil, &schemas.Line{Time: at, Message: jsontext.Append(nil, text), Stream: "stdout", Offset: offset, Size: size},
		schemas.NewTail(&schemas.Source{Host: "h", Path: "/log"}))
}

// bulkOf is a body of `create` items for lines from to to of source 0.
func bulkOf(from, to int64) []byte {
	var b bytes.Buffer
	for seq := from; seq < to; seq++ {
		fmt.Fprintf(&b, `{"create":{"_index":"i","_id":"id-%d"}}`+"\n%s\n", seq, sinkEvent(seq, seq*10, 10))
	}
	return b.Bytes()
}

func postBulk(t *testing.T, url string, body []byte, zipped bool) (a bulkAnswer, code int) {
	t.Helper()
	req, _ := http.NewRequest("POST", url+"/_bulk", bytes.NewReader(body))
	if zipped {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(body)
		w.Close()
		req, _ = http.NewRequest("POST", url+"/_bulk", &z)
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, 0
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a, resp.StatusCode
}

func statuses(a bulkAnswer) map[int]int {
	n := map[int]int{}
	for _, it := range a.Items {
		n[it["create"].Status]++
	}
	return n
}

// A document sent again is answered 409 and counted once.
func TestSink(t *testing.T) {
	v := verify.NewVerifier(verify.Options{Run: 1, Places: true})
	sink := &fakes.Sink{See: v.See, RememberIDs: true}
	s, err := fakes.Serve("127.0.0.1:0", sink)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := func(body []byte, zipped bool, want map[int]int, errors bool) {
		t.Helper()
		a, code := postBulk(t, s.URL, body, zipped)
		if code != 200 || a.Errors != errors || fmt.Sprint(statuses(a)) != fmt.Sprint(want) {
			t.Errorf("%d, errors %v, %v, want %v", code, a.Errors, statuses(a), want)
		}
	}
	f(bulkOf(0, 10), false, map[int]int{201: 10}, false)
	f(bulkOf(5, 20), true, map[int]int{201: 10, 409: 5}, true)
	f(bulkOf(19, 20), false, map[int]int{409: 1}, true)
	var l generate.Ledger
	for seq := range int64(20) {
		l.Add(generate.Mark{Run: 1, Seq: seq}, seq*10, 10)
	}
	if got := v.Verdict(&l); !got.OK() {
		t.Error(got)
	}
	resp, err := http.Get(s.URL + "/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got fakes.SinkStats
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Items != 26 || got.Duplicates != 6 || got.Requests != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, code := postBulk(t, s.URL, []byte(`{"create":{}}`), false); code != 400 {
		t.Errorf("a body without its last newline: %d", code)
	}
}

func TestFront(t *testing.T) {
	v := verify.NewVerifier(verify.Options{Run: 1})
	back := httptest.NewServer(&fakes.Sink{See: v.See, RememberIDs: true})
	defer back.Close()
	f := &fakes.Front{Upstream: back.URL}
	s, err := fakes.Serve("127.0.0.1:0", f)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if a, code := postBulk(t, s.URL, bulkOf(0, 10), true); code != 200 || statuses(a)[201] != 10 {
		t.Errorf("no trouble: %d %v", code, a)
	}
	f.Set(fakes.Trouble{Status: 429})
	if _, code := postBulk(t, s.URL, bulkOf(10, 20), false); code != 429 || v.Distinct() != 10 {
		t.Errorf("status 429: %d, %d documents", code, v.Distinct())
	}
	f.Set(fakes.Trouble{Items: 0.5})
	a, code := postBulk(t, s.URL, bulkOf(10, 210), true)
	n := statuses(a)
	if code != 200 || !a.Errors || n[201]+n[429] != 200 || n[429] < 50 || n[429] > 150 || v.Distinct() != 10+int64(n[201]) {
		t.Errorf("half the items: %d %v, %d documents", code, n, v.Distinct())
	}
	for i, it := range a.Items { // each answer is that of its item
		if want := fmt.Sprintf("id-%d", 10+i); it["create"].ID != want {
			t.Fatalf("item %d is %q, want %q", i, it["create"].ID, want)
		}
	}
	f.Set(fakes.Trouble{Drop: 1})
	before := v.Distinct()
	if _, code := postBulk(t, s.URL, bulkOf(500, 510), false); code != 0 || v.Distinct() < before+10 {
		t.Errorf("cut instead of an answer: %d, %d documents, want %d", code, v.Distinct(), before+10)
	}
	f.Set(fakes.Trouble{Delay: 30 * time.Millisecond})
	start := time.Now()
	if _, code := postBulk(t, s.URL, bulkOf(600, 601), false); code != 200 || time.Since(start) < 30*time.Millisecond {
		t.Errorf("delayed: %d after %v", code, time.Since(start))
	}
}

func BenchmarkSink(b *testing.B) {
	body := bulkOf(0, 2000)
	sink := &fakes.Sink{}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/_bulk", bytes.NewReader(body))
		w := httptest.NewRecorder()
		sink.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
