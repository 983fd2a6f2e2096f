package aggregator

// status is the section relay of /status.
func (r *relay) status() any {
	type held struct {
		Kafka     string `json:"kafka"`
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Reason    string `json:"reason"`
	}
	type source struct {
		Kafka  string   `json:"kafka"`
		Group  string   `json:"group"`
		Topics []string `json:"topics"`
		DC     string   `json:"dc"`
		Claims any      `json:"claims"`
	}
	st := struct {
		Target struct {
			Kafka         string `json:"kafka"`
			Topic         string `json:"topic"`
			InFlightBytes int64  `json:"in_flight_bytes"`
		} `json:"target"`
		InFlight int64    `json:"in_flight"`      // events
		Dead     int      `json:"waiting_dead"`   // events on their way to the dead-letter topic
		Held     []held   `json:"held,omitempty"` // events that even the dead-letter topic refuses
		Sources  []source `json:"sources"`
	}{InFlight: r.taken.Load()}
	target := r.cfg.Aggregator.Target
	st.Target.Kafka, st.Target.Topic, st.Target.InFlightBytes = target.Kafka, target.Topic, r.out.InFlight()
	for _, s := range r.sources {
		st.Sources = append(st.Sources, source{s.cfg.Kafka, s.cfg.Group, s.cfg.Topics, string(s.label.Value), s.group.Status()})
	}
	waiting, refused := r.dead.Waiting()
	st.Dead = waiting
	for _, l := range refused {
		st.Held = append(st.Held, held{l.Cluster, l.Topic, l.Partition, l.Record.Offset, l.Error})
	}
	return st
}
