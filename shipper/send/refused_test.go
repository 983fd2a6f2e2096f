package send

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
	"github.com/sluicelog/sluice/shipper/line"
)

// answer is what Kafka says of a record; nil: it is stored.
func (k *desk) answer(o outgoing, err error) {
	k.sender.Done(&kafka.Result{Err: err, Tags: []kafka.Tag{o.tag}, Record: o.rec})
	k.refusals.Take(k.maker.Now)
}

func (k *desk) feed(text string) { k.maker.Feed(k.batch, &k.log, &k.text, []byte(text)) }

func TestAnEventThatCannotBeSplitHoldsItsFileAndIsTold(t *testing.T) {
	k := newDesk(nil)
	k.keep = true
	w, s, now := k.text.Window, k.text.Window.source, k.maker.Now
	k.feed("a\nb\n")
	k.batch.Send()
	first, second := k.out[0], k.out[1]
	k.answer(second, nil)
	k.answer(first, kafka.ErrTooLarge)
	if at, n := w.Position(); at != 0 || n == 0 {
		t.Errorf("position %d, %d under way; it must wait for the refused event", at, n)
	}
	if s.Problem() == "" || len(k.refusals.queue) != 1 || k.refusals.Due(now) {
		t.Errorf("problem %q, %d kept", s.Problem(), len(k.refusals.queue))
	}
	if !k.refusals.Due(now.Add(2 * againAfter)) {
		t.Fatal("it is not tried again")
	}
	k.refusals.Resend(k.batch)
	for range maxAfter + 1 {
		k.batch.entries = append(k.batch.entries, entry{w, 4, false})
	}
	k.batch.Send()
	if !s.Waits(w) {
		t.Error("it is read on without end after a refused event")
	}
	again := k.out[len(k.out)-1]
	if s.Mended() || s.Problem() == "" || string(again.rec.Value) != string(first.rec.Value) {
		t.Errorf("problem %q, sent again %q, want %q", s.Problem(), again.rec.Value, first.rec.Value)
	}
	k.answer(again, nil)
	if at, _ := w.Position(); at != 4 || s.Waits(w) {
		t.Errorf("position %d, waits %v, want 4", at, s.Waits(w))
	}
	if !s.Mended() || s.Problem() != "" || s.Mended() {
		t.Errorf("problem %q after the end of it", s.Problem())
	}
}

// An event that came in pieces or from several files is finished once all of it is.
func TestWhatIsDerivedFinishesItsEventOnce(t *testing.T) {
	k := newDesk(line.JSONFile)
	k.keep = true
	other := NewWindow(k.text.Window.source, 0)
	young := line.Text[*Window]{Window: other}
	k.feed(`{"log":"begin ","stream":"stdout","time":"2026-11-21T08:57:47Z"}` + "\n")
	k.maker.Feed(k.batch, &k.log, &young, []byte(`{"log":"end\n","stream":"stdout","time":"2026-11-21T08:57:47Z"}`+"\n"))
	if len(k.out) != 1 {
		t.Fatalf("%d events", len(k.out))
	}
	k.batch.Send()
	whole := k.out[0]
	k.out = nil
	k.answer(whole, kafka.ErrTooLarge)
	for k.refusals.Due(k.maker.Now) {
		k.refusals.Resend(k.batch)
	}
	halves := k.out
	k.out = nil
	if len(halves) != 2 {
		t.Fatalf("%d pieces", len(halves))
	}
	finished := func(o outgoing) int { return ownerOf(o.tag).Stored(o.tag.Pos, 1) }
	k.answer(halves[0], errors.New("a clock that is wrong"))
	if finished(halves[1]) != 0 {
		t.Error("it is finished by half of it")
	}
	if a, _ := k.text.Window.Position(); a != 0 {
		t.Errorf("position %d", a)
	}
	k.refusals.Resend(k.batch)
	if finished(k.out[0]) != 1 {
		t.Error("it is not finished by all of it")
	}
	a, _ := k.text.Window.Position()
	b, _ := other.Position()
	if a != k.text.Read || b != young.Read || k.text.Window.source.refused.Load() != 0 {
		t.Errorf("positions %d and %d, want %d and %d", a, b, k.text.Read, young.Read)
	}
}

// Labels go before text does: where they are much of an event that is too large.
func TestAnEventThatIsTooLargeLosesItsLabelsFirst(t *testing.T) {
	k := newDesk(nil)
	k.keep = true
	labels := map[string]string{}
	for i := range 8 {
		labels[string(rune('a'+i))] = strings.Repeat("x", 500)
	}
	k.text.Window.source.Describe(&schemas.Source{ID: "c0ffee0123456789", Path: "/x", Host: "host1", DC: "dc1", ServiceName: "order", Labels: labels, ContainerLabels: labels}, "host")
	refuse := func() (sent []outgoing) {
		t.Helper()
		k.batch.Send()
		o := k.out[0]
		k.out = nil
		k.answer(o, kafka.ErrTooLarge)
		for k.refusals.Due(k.maker.Now) {
			k.refusals.Resend(k.batch)
		}
		return k.out
	}
	k.feed("a line that stays whole\n")
	whole := k.out[0].rec
	sent := refuse()
	if len(sent) != 1 {
		t.Fatalf("%d events", len(sent))
	}
	value := string(sent[0].rec.Value)
	if !strings.Contains(value, `"message":"a line that stays whole"`) || !strings.Contains(value, `"labels":{"dc":"dc1"}`) || !strings.Contains(value, `"tags":["metadata_cut"]`) || !strings.Contains(value, `"service":{"name":"order"}`) ||
		strings.Contains(value, "xxx") || value[:40] != string(whole.Value[:40]) || string(sent[0].rec.Key) != string(whole.Key) {
		t.Errorf("%s", value)
	}
	if sent = refuse(); len(sent) != 2 || !strings.Contains(string(sent[0].rec.Value), `"flags":["split"]`) {
		t.Errorf("%d events: %s", len(sent), sent[0].rec.Value)
	}
	for _, o := range sent {
		k.answer(o, nil)
	}
	if at, n := k.text.Window.Position(); at != k.text.Read || n != 0 {
		t.Errorf("position %d, %d under way; want %d", at, n, k.text.Read)
	}
	k.out = nil
	k.feed(strings.Repeat("much text ", 10_000) + "\n")
	if sent = refuse(); len(sent) != 2 || !strings.Contains(string(sent[0].rec.Value), "xxx") {
		t.Errorf("%d events of a line that is long itself, want it split with its labels", len(sent))
	}
}
