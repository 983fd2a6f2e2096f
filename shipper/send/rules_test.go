package send

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/internal/rule"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/line"
)

// obeying is a desk whose sender has rules.
func obeying(t *testing.T, decoder line.Decoder, specs ...rule.Spec) (*desk, *metrics.Registry) {
	t.Helper()
	stage := rule.Stage{Name: "a test", Fields: 0xff, Kinds: 0xff, Limits: []rule.By{rule.ByApp, rule.ByContainer, rule.ByFile}}
	set, faults := rule.New(stage, specs)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	k, reg := newDesk(decoder), metrics.New("shipper", "h")
	k.keep = true
	k.sender.Obey(NewRules(set, reg))
	return k, reg
}

// messages are those of the batch.
func (k *desk) messages(t *testing.T) (out []string) {
	t.Helper()
	for _, o := range k.out {
		h, ok := schemas.ParseHead(o.rec.Value)
		if !ok {
			t.Fatalf("no event: %s", o.rec.Value)
		}
		out = append(out, string(h.Message))
	}
	return out
}

// A position passes a dropped line when it passes those before it, and waits for no
// answer to it: also where all lines are dropped.
func TestDroppedLinesFinishTheirPositions(t *testing.T) {
	k, reg := obeying(t, nil, rule.Spec{Name: "d", Drop: true, Match: rule.Match{Text: "DEBUG"}})
	w := k.text.Window
	k.feed("DEBUG a\nDEBUG b\n")
	if at, n := w.Position(); at != 16 || n != 0 || !k.batch.Empty() {
		t.Fatalf("position %d, %d under way, want 16, 0", at, n)
	}
	k.feed("c\nDEBUG d\ne\nDEBUG f\n")
	k.batch.Send()
	if at, n := w.Position(); at != 16 || n == 0 {
		t.Errorf("position %d, %d under way, before the lines between are stored", at, n)
	}
	if got := fmt.Sprint(k.messages(t)); got != "[c e]" {
		t.Errorf("sent %s", got)
	}
	k.answer(k.out[1], nil)
	if at, _ := w.Position(); at != 16 {
		t.Errorf("position %d, want 16: c is not stored", at)
	}
	k.answer(k.out[0], nil)
	if at, n := w.Position(); at != k.text.Read || n != 0 || w.UnderWay() != 0 {
		t.Errorf("position %d, %d under way, want %d, 0", at, n, k.text.Read)
	}
	k.sender.Rules().Report()
	if got := figure(t, reg, "sluice_shipper_dropped_events_total"); got != 4 || k.made != 6 {
		t.Errorf("%v dropped of %d made, want 4 of 6", got, k.made)
	}
	if got := figure(t, reg, "sluice_shipper_rule_bytes_total"); got != 32 {
		t.Errorf("%v bytes, want 32", got)
	}
}

// An event of pieces in two files that is dropped finishes in both.
func TestDroppedEventOfTwoFiles(t *testing.T) {
	k, _ := obeying(t, line.JSONFile, rule.Spec{Name: "d", Drop: true, Match: rule.Match{Text: "begin end"}})
	young := line.Text[*Window]{Window: NewWindow(k.text.Window.source, 0)}
	k.feed(`{"log":"begin ","stream":"stdout","time":"2026-11-21T08:57:47Z"}` + "\n")
	k.maker.Feed(k.batch, &k.log, &young, []byte(`{"log":"end\n","stream":"stdout","time":"2026-11-21T08:57:47Z"}`+"\n"))
	a, _ := k.text.Window.Position()
	b, _ := young.Window.Position()
	if a != k.text.Read || b != young.Read || !k.batch.Empty() {
		t.Errorf("positions %d and %d, want %d and %d", a, b, k.text.Read, young.Read)
	}
}

// Masked events keep the id, offset and size of the raw line.
func TestMaskedEventsKeepTheirID(t *testing.T) {
	const text = "paid with 4111 1111 1111 1111 by a@b.com\n"
	plain := newDesk(nil)
	plain.keep = true
	plain.feed(text)
	k, _ := obeying(t, nil, rule.Spec{Name: "m", Mask: []string{"card", "email"}})
	k.maker.Now, k.batch.Now = plain.maker.Now, plain.batch.Now
	k.feed(text)
	was, is := string(plain.out[0].rec.Value), string(k.out[0].rec.Value)
	if want := strings.NewReplacer("4111 1111 1111 1111", "[card]", "a@b.com", "[email]").Replace(was); is != want {
		t.Errorf("got  %s\nwant %s", is, want)
	}
}

// What is dropped over a limit is counted to the line, and an event in the log says so.
func TestLimitDropsExactly(t *testing.T) {
	k, reg := obeying(t, nil, rule.Spec{Name: "noisy", Limit: rule.Rate{Events: 10, Over: "drop"}, By: "container"})
	w, start := k.text.Window, k.batch.Now
	for second := range 61 {
		k.batch.Now = start.Add(time.Duration(second) * time.Second)
		k.feed(strings.Repeat("x\n", 100))
		k.batch.Summarise(k.batch.Now)
		if n := len(k.out); second < 60 && n != 10*(second+1) {
			t.Fatalf("after %d s %d lines are sent, want %d", second+1, n, 10*(second+1))
		}
	}
	got := k.messages(t)
	if last := got[len(got)-1]; len(got) != 611 || last != "5,490 lines of this log were dropped by rule noisy in 61 s" {
		t.Errorf("%d events, the last %q", len(got), last)
	}
	k.batch.Send()
	for _, o := range k.out {
		k.answer(o, nil)
	}
	if at, n := w.Position(); at != k.text.Read || n != 0 {
		t.Errorf("position %d, %d under way, want %d, 0", at, n, k.text.Read)
	}
	k.sender.Rules().Report()
	if got := figure(t, reg, "sluice_shipper_dropped_events_total"); got != 5490 || k.made != 6101 {
		t.Errorf("%v dropped of %d made, want 5,490 of 6,101 with the one that says so", got, k.made)
	}
	n := len(k.out)
	k.batch.Summarise(k.batch.Now.Add(time.Hour))
	if len(k.out) != n {
		t.Error("what was reported is reported again")
	}
	// A log that went quiet is reported too.
	k.batch.Now = k.batch.Now.Add(time.Hour)
	k.feed(strings.Repeat("x\n", 11))
	k.batch.Summarise(k.batch.Now.Add(59 * time.Second))
	if k.batch.Summarise(k.batch.Now.Add(60 * time.Second)); len(k.out) != n+11 {
		t.Errorf("%d events more, want 10 and the one that says so", len(k.out)-n)
	}
}

// A limit that delays drops nothing: its source waits as long as its rate asks for.
func TestLimitDelays(t *testing.T) {
	k, reg := obeying(t, nil, rule.Spec{Name: "slow", Limit: rule.Rate{Bytes: 1000}, By: "app"})
	s := k.text.Window.source
	k.feed(strings.Repeat("123456789\n", 100))
	if s.Delayed(k.batch.Now) {
		t.Error("delayed within the burst")
	}
	k.feed(strings.Repeat("123456789\n", 300))
	if !s.Delayed(k.batch.Now.Add(2900*time.Millisecond)) || s.Delayed(k.batch.Now.Add(3100*time.Millisecond)) {
		t.Error("3,000 bytes over 1,000 a second do not wait for 3 s")
	}
	k.sender.Rules().Report()
	if dropped, over := figure(t, reg, "sluice_shipper_dropped_events_total"), figure(t, reg, "sluice_shipper_rule_events_total"); len(k.out) != 400 || dropped != 0 || over != 300 {
		t.Errorf("%d sent, %v dropped, %v over the limit; want 400, 0, 300", len(k.out), dropped, over)
	}
}

// figure is a metric, summed over its labels.
func figure(t *testing.T, reg *metrics.Registry, name string) (sum float64) {
	t.Helper()
	all, err := reg.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
