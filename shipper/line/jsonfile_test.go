package line

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"github.com/sluicelog/sluice/test/e2e/workload"
)

// checkDecode compares with encoding/json.
func checkDecode(t *testing.T, raw []byte, mustDecode bool) {
	t.Helper()
	var d Piece
	ok := JSONFile.Decode(&d, raw)
	if !ok {
		if mustDecode {
			t.Errorf("%q: not decoded", raw)
		}
		return
	}
	var want struct {
		Log    string
		Stream string
		Time   time.Time
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		if d.At > 0 && utf8.Valid(raw) {
			t.Fatalf("%q: decoded, but %v", raw, err)
		}
		return
	}
	var got string
	if err := json.Unmarshal(append(append([]byte{'"'}, d.Inside...), '"'), &got); err != nil {
		t.Fatalf("%q: inside %q: %v", raw, d.Inside, err)
	}
	if d.Whole {
		got += "\n"
	}
	if got != want.Log || d.Stream != want.Stream || !d.Time.Equal(want.Time) {
		t.Errorf("%q:\ngot  %q %s %v\nwant %q %s %v", raw, got, d.Stream, d.Time, want.Log, want.Stream, want.Time)
	}
	if strings.HasSuffix(want.Log, "\n") != d.Whole {
		t.Errorf("%q: whole = %v", raw, d.Whole)
	}
}

func TestDockerLinesDecodeAsEncodingJSONDoes(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 57, 47, 123456789, time.UTC)
	const alphabet = "ab\"\\\n\r\t\x00\x1f\x7f<é\xff\xe4 上n"
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 3000 {
		log := make([]byte, rnd.IntN(60))
		for j := range log {
			log[j] = alphabet[rnd.IntN(len(alphabet))]
		}
		if i%2 == 0 {
			log = append(log, '\n')
		}
		raw := strings.TrimSuffix(shiptest.DockerJSON([]string{"stdout", "stderr"}[i/2%2], string(log), at.Add(time.Duration(rnd.Int64N(1e18)))), "\n")
		checkDecode(t, []byte(raw), true)
	}
	for i := range 500 {
		line := workload.Lines{Seed: 1, Count: 500}.At(i)
		checkDecode(t, []byte(strings.TrimSuffix(shiptest.DockerJSON("stdout", string(line)+"\n", at), "\n")), true)
	}
}

func TestJSONFileForms(t *testing.T) {
	f := func(raw, inside, stream string, ok, whole, direct bool) {
		t.Helper()
		var d Piece
		got := JSONFile.Decode(&d, []byte(raw))
		if got != ok {
			t.Errorf("%s: decoded %v, want %v", raw, got, ok)
			return
		}
		if ok && (string(d.Inside) != inside || d.Stream != stream || d.Whole != whole || (d.At > 0) != direct) {
			t.Errorf("%s: %q %s whole %v direct %v", raw, d.Inside, d.Stream, d.Whole, d.At > 0)
		}
	}
	const at = `"time":"2026-11-21T08:57:47.1Z"}`
	f(`{"log":"a\n","stream":"stdout",`+at, `a`, Stdout, true, true, true)
	f(`{"log":"a","stream":"stderr",`+at, `a`, Stderr, true, false, true)
	f(`{"log":"\n","stream":"stderr",`+at, ``, Stderr, true, true, true)
	f(`{"log":"","stream":"stdout",`+at, ``, Stdout, true, false, true)
	f(`{"log":"a\\n","stream":"stdout",`+at, `a\\n`, Stdout, true, false, true)
	f(`{"log":"a\\\n","stream":"stdout",`+at, `a\\`, Stdout, true, true, true)
	f(`{"log":"a\n","stream":"stdout","attrs":{"tag":"x","q\"":"}"},`+at, `a`, Stdout, true, true, true)
	f(`{"log":"a\n","stream":"stdout","attrs":{"n":{"m":1}},`+at, `a`, Stdout, true, true, false)
	f(`{"stream":"stdout","log":"a\n",`+at, `a`, Stdout, true, true, false)
	f(`{ "log" : "a\n", "stream" : "stdout", `+at, `a`, Stdout, true, true, false)
	f(`{"log":"a\n","stream":"stdout","time":"2026-11-21T08:57:47+01:00"}`, `a`, Stdout, true, true, true)
	f(`{"log":"a\n","stream":"stdout",`+at+"\r", `a`, Stdout, true, true, false)
	f(`{"log":"a{"log":"b\n","stream":"stdout",`+at, ``, "", false, false, false) // torn, then a whole line
	f(`{"log":"a\n","stream":"stdout","time":"2026-11{"log":"b\n","stream":"stdout",`+at, ``, "", false, false, false)
	f(`{"log":"a\n","stream":"stdout","time":"2026-13-21T08:57:47Z"}`, ``, "", false, false, false)
	f(`{"log":"a\n","stream":"third",`+at, ``, "", false, false, false)
	f(`{"log":"a\n","stream":"",`+at, `a`, "", true, true, false)
	f(`{"log":"a\n","stream":"stdout"`, ``, "", false, false, false)
	f("{\"log\":\"a\x00\\n\",\"stream\":\"stdout\","+at, ``, "", false, false, false)
	f("\x00\x00\x00\x00", ``, "", false, false, false)
	f(``, ``, "", false, false, false)
	f(`{}`, ``, "", false, false, false)
	f(`null`, ``, "", false, false, false)
	f(`{"message":"an application's own JSON","time":"2026-11-21T08:57:47Z"}`, ``, "", false, false, false)
}

func FuzzJSONFile(f *testing.F) {
	at := time.Date(2026, 11, 21, 8, 57, 47, 120000000, time.UTC)
	for i := range 12 {
		f.Add([]byte(strings.TrimSuffix(shiptest.DockerJSON("stdout", string(workload.Lines{Seed: 2, Count: 12}.At(i))+"\n", at), "\n")))
	}
	f.Add([]byte(`{"log":"a\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-11-21T08:57:47.1Z"}`))
	f.Add([]byte("\u0301\"0"))
	f.Add([]byte(`{"log":"a\ud83d\ude00\/","stream":"stderr","time":"2026-02-29T08:57:47Z"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkDecode(t, raw, false)
		// Cut anywhere, what is in a JSON string stays valid in both halves.
		if n, _, _ := jsontext.Scan(raw); n > 1 {
			in := raw[:n]
			for limit := 1; limit <= min(n, 20); limit++ {
				cut := jsontext.Cut(in, limit)
				for _, half := range [][]byte{in[:cut], in[cut:]} {
					if e, _, _ := jsontext.Scan(append(bytes.Clone(half), '"')); e != len(half) {
						t.Fatalf("%q cut at %d of %d: %q is not valid", in, cut, limit, half)
					}
				}
			}
		}
		if jsontext.Plain(raw) != (string(jsontext.Append(nil, raw)) == string(raw)) && utf8.Valid(raw) {
			t.Fatalf("%q: stands for itself %v", raw, jsontext.Plain(raw))
		}
	})
}
