package config

import (
	"cmp"
	"net"
	"regexp"
	"slices"
	"strings"
)

// circle checks the topics of a source that is in the target's cluster. What regular
// expressions match is known only once there are topics: the aggregator looks at those.
func (k *checker) circle(key string, s Source) {
	a := &k.Aggregator
	name := s.Kafka
	if name != a.Target.Kafka {
		name += " (the cluster of " + a.Target.Kafka + ": they have a broker in common)"
	}
	if Subscribed(s.Topics, a.DeadLetterTopic) {
		k.fail(key, "would read what the aggregator itself writes to %s: dead letters of %s, in a circle", name, a.DeadLetterTopic)
		return
	}
	for _, t := range s.Topics {
		to := TargetTopic(a.Target.Topic, t, cmp.Or(s.DC, s.Kafka))
		open := strings.HasPrefix(t, "^") && strings.Contains(a.Target.Topic, "{topic}")
		if to == t || !open && Subscribed(s.Topics, to) {
			k.fail(key, "would read what the aggregator itself writes to %s: %s goes to %s, which is read too, in a circle", name, t, to)
			return
		}
	}
}

// TargetTopic is where records of a topic and a data centre go. A dc comes from a record,
// so whatever Kafka allows in no topic's name becomes _.
func TargetTopic(template, topic, dc string) string {
	legal := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}
	name := strings.NewReplacer("{topic}", topic, "{dc}", strings.Map(legal, dc)).Replace(template)
	return name[:min(len(name), 249)] // the longest name Kafka allows
}

// SameCluster reports whether two names mean one cluster: because they are equal, or
// because a broker is named under both.
func SameCluster(clusters map[string]Kafka, a, b string) bool {
	if a == b {
		return true
	}
	brokers := map[string]bool{}
	for _, x := range clusters[a].Brokers {
		brokers[broker(x)] = true
	}
	return slices.ContainsFunc(clusters[b].Brokers, func(x string) bool { return brokers[broker(x)] })
}

// broker is an address in a form that is the same for the same broker.
func broker(address string) string {
	address = strings.ToLower(address)
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "9092")
	}
	return address
}

// Subscribed reports whether a topic is one of a list of names and regular expressions.
func Subscribed(list []string, topic string) bool {
	return slices.ContainsFunc(list, func(t string) bool {
		if !strings.HasPrefix(t, "^") {
			return t == topic
		}
		re, err := regexp.Compile(t)
		return err == nil && re.MatchString(topic)
	})
}
