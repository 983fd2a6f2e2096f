package shipper

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicelog/sluice/config"
)

// With rules all lines are still accounted for: what is sent and what rules dropped add up
// to what was read, positions reach the end of every file, and a restart sends nothing again.
func TestRulesKeepTheBalance(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.Rules = []config.Rule{
		{Name: "debug", Match: config.Match{App: config.Texts{"shop"}, Text: "^DEBUG"}, Drop: true},
		{Name: "others", Match: config.Match{App: config.Texts{"!shop"}}, Drop: true},
		{Name: "cards", Mask: config.Texts{"card"}},
		{Name: "half", Match: config.Match{Text: "heartbeat"}, Sample: "1/2"},
		{Name: "errors", Match: config.Match{Text: "ERROR"}, Count: true},
		{Name: "noisy", Match: config.Match{Text: "noise"}, Limit: config.Limit{Events: 1, Over: "drop"}, By: "file"},
	}
	var text strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&text, "DEBUG %d\nheartbeat %d\nnoise %d\nERROR card 4111111111111111 of order %d\n", i, i, i, i)
	}
	s.append("a.log", text.String())
	s.append("b.log", strings.Repeat("DEBUG all is dropped\n", 1000))
	s.start()
	s.until("all of it", func() bool { return s.counter("shipper_made_events_total") >= 9000 })
	s.until("end of the lag", func() bool {
		return s.counter("shipper_lag_bytes") == 0 && s.counter("shipper_in_flight_events") == 0
	})
	s.positionsDone()
	s.settle()
	dropped := int(s.counter("shipper_dropped_events_total"))
	if len(s.events)+dropped != 9000 {
		t.Errorf("%d sent and %d dropped, want 9,000 in all", len(s.events), dropped)
	}
	counts := map[string]int{}
	for _, m := range s.messages() {
		kind, _, _ := strings.Cut(m, " ")
		counts[kind]++
		if strings.Contains(m, "4111") || kind == "ERROR" && !strings.Contains(m, "[card]") {
			t.Fatalf("not masked: %q", m)
		}
	}
	if counts["DEBUG"] != 0 || counts["ERROR"] != 2000 || counts["heartbeat"] < 800 || counts["heartbeat"] > 1200 || counts["noise"] < 1 || counts["noise"] > 60 {
		t.Errorf("sent %v", counts)
	}
	account, err := s.reg.Account()
	if err != nil {
		t.Fatal(err)
	}
	for _, sum := range account.Sums {
		if sum.Missing != 0 {
			t.Errorf("%+v does not come out", sum)
		}
	}
	s.stop()
	n := len(s.order)
	s.start()
	s.append("a.log", "one more\n")
	s.until("the line after the restart", func() bool { return len(s.order) > n })
	s.settle()
	if len(s.order) != n+1 {
		t.Errorf("%d records after the restart, want 1", len(s.order)-n)
	}
}

// A source over its limit waits, another does not, and in the end all is there.
func TestLimitDelaysOneSource(t *testing.T) {
	s := newSite(t).plain()
	s.cfg.Shipper.Files[0].Paths = []string{s.path("quiet.log")}
	noisy := s.cfg.Shipper.Files[0]
	noisy.Paths, noisy.App = []string{s.path("noisy.log")}, "noisy"
	s.cfg.Shipper.Files = append(s.cfg.Shipper.Files, noisy)
	s.cfg.Shipper.Rules = []config.Rule{{Name: "slow", Match: config.Match{App: config.Texts{"noisy"}}, Limit: config.Limit{Events: 1000}, By: "app"}}
	s.append("noisy.log", lines("n", 0, 3000))
	s.start()
	s.append("quiet.log", lines("q", 0, 500))
	s.until("the quiet one", func() bool {
		n := 0
		for _, e := range s.events {
			if strings.HasPrefix(e.Message, "q") {
				n++
			}
		}
		return n == 500
	})
	s.append("noisy.log", lines("m", 0, 100)) // is read once 2,000 lines too many are paid for
	s.wait(3600)
	if s.counter("shipper_rule_events_total") == 0 && s.counter("shipper_dropped_events_total") > 0 {
		t.Error("the limit has dropped lines, or delayed none")
	}
}
