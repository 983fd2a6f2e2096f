package metrics

import "testing"

func TestMetricsAreNamedAfterTheStageThatDeclaresThem(t *testing.T) {
	f := func(function, want string) {
		t.Helper()
		if got := stage(function); got != want {
			t.Errorf("%s: %s, want %s", function, got, want)
		}
	}
	f("github.com/sluicelog/sluice/shipper.init", "shipper")
	f("github.com/sluicelog/sluice/shipper/source/docker.init", "shipper")
	f("github.com/sluicelog/sluice/internal/kafka.init", "kafka")
	f("github.com/sluicelog/sluice/internal/kafka/wire.init.0", "kafka")
}
