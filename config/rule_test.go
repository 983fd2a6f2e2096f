package config

import (
	"strings"
	"testing"
)

// What is wrong with a rule is said at its key.
func TestRulesAreJudged(t *testing.T) {
	const head = "data_dir: /x\nkafka: {k: {brokers: [x:1]}}\nshipper:\n  kafka: k\n  files: [{paths: [/a]}]\n  rules:\n"
	f := func(rules, want string) {
		t.Helper()
		_, err := parse("f.yaml", []byte(head+rules), testEnv, []string{"shipper"})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s\nwant %s", rules, got, want)
		}
	}
	f("    - {name: a, drop: true}\n", "")
	f("    - {name: a, match: {app: shop, labels: {team: [a, '!b']}, text: '(?i)x'}, sample: 1/10, by: source}\n", "")
	f("    - {name: a, limit: {bytes: 1MiB, burst: 5s, over: drop}, by: container}\n", "")
	f("    - {name: a, drop: true}\n    - name: b\n      match:\n        text: '('\n      drop: true\n", "f.yaml:10:15: shipper.rules[1].match.text: error parsing regexp: missing closing )")
	f("    - {name: a, drop: true}\n    - {name: a, count: true}\n", "f.yaml:8:14: shipper.rules[1].name: \"a\" is the name of rule 0 too")
	f("    - name: a\n      match: {level: debug}\n      drop: true\n", "f.yaml:8:22: shipper.rules[0].match.level: is not known to the shipper")
	f("    - {name: a, route: x}\n", "f.yaml:7:24: shipper.rules[0].route: the shipper cannot do that; it can count, drop, sample, limit, mask")
	f("    - {name: a}\n", "f.yaml:7:7: shipper.rules[0]: has no action")
	f("    - {name: a, match: {app: ['[']}, drop: true}\n", "f.yaml:7:30: shipper.rules[0].match.app: \"[\": a [ without its ]")
	f("    - {name: a, sample: 1/0}\n", "f.yaml:7:25: shipper.rules[0].sample: expected a part such as 1/10")
}
