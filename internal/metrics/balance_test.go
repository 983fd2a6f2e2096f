package metrics

import (
	"encoding/json"
	"testing"
)

var (
	testIn     = NewCounter("test_balance_in", "events", "Taken", "topic")
	testOut    = NewCounter("test_balance_out", "events", "Sent", "topic")
	testDead   = NewCounter("test_balance_dead", "events", "Refused", "topic")
	testFlight = NewGauge("test_balance_in_flight", "events", "Under way")
	_          = NewBalance(testIn, testFlight, testOut, testDead)
	_          = NewLosses(testDead)
)

// A role's account names the sum and what is missing of it, over all labels, and what was lost.
func TestAccount(t *testing.T) {
	r := New("test", "web1")
	f := func(want string) {
		t.Helper()
		a, err := r.Account()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := json.Marshal(a); string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f(`{"sums":[],"losses":[]}`) // the stage does not run here
	r.Counter(testIn, "a").Add(60)
	r.Counter(testIn, "b").Add(40)
	r.Counter(testOut, "a").Add(90)
	r.Gauge(testFlight).Set(10)
	f(`{"sums":[{"in":{"name":"sluice_test_balance_in_total","value":100},"out":[{"name":"sluice_test_balance_out_total","value":90},{"name":"sluice_test_balance_dead_total","value":0}],"in_flight":{"name":"sluice_test_balance_in_flight","value":10},"missing":0}],"losses":[]}`)
	r.Counter(testDead, "a").Add(3)
	r.Gauge(testFlight).Set(4)
	f(`{"sums":[{"in":{"name":"sluice_test_balance_in_total","value":100},"out":[{"name":"sluice_test_balance_out_total","value":90},{"name":"sluice_test_balance_dead_total","value":3}],"in_flight":{"name":"sluice_test_balance_in_flight","value":4},"missing":3}],"losses":[{"name":"sluice_test_balance_dead_total","value":3}]}`)
}
