package document

import (
	"bytes"
	"time"

	"github.com/sluicelog/sluice/indexer/parse"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/rule"
	"github.com/sluicelog/sluice/schemas"
)

// Zone is the zone of times that name none, of the events that fit its patterns.
type Zone struct {
	App, Dataset, Host rule.Patterns
	Location           *time.Location
}

// zoneOfHost is the zone of an event of which nothing but its host is known, besides the
// headers of its record.
func (e *Encoder) zoneOfHost(r *kafka.Record, host []byte) *time.Location {
	if len(e.zones) == 0 {
		return e.zone
	}
	value := append(append([]byte{'"'}, host...), '"')
	return e.zoneOf(r, &event{members: []jsontext.Member{{Key: []byte(schemas.FieldHostName), Value: value}}})
}

// zoneOf is the zone of an event's times that name none: event.timezone, or that of the
// first of the zones that fits, or the encoder's.
func (e *Encoder) zoneOf(r *kafka.Record, ev *event) *time.Location {
	for _, m := range ev.members {
		var name []byte
		switch {
		case string(m.Key) == "event" && m.Value[0] == '{' && bytes.Contains(m.Value, []byte(`"timezone"`)):
			if e.inner.Read(m.Value) {
				if t, ok := e.inner.Member("timezone"); ok {
					name = t.Value
				}
			}
		case string(m.Key) == "event.timezone":
			name = m.Value
		}
		if len(name) > 2 && name[0] == '"' {
			if zone, ok := parse.Zone(name[1 : len(name)-1]); ok {
				return zone
			}
		}
	}
	if len(e.zones) == 0 {
		return e.zone
	}
	app, dataset := e.field(r, ev, schemas.HeaderApp, "service", "name"), e.field(r, ev, schemas.HeaderDataset, "event", "dataset")
	host := e.field(r, ev, "", "host", "name")
	for i := range e.zones {
		z := &e.zones[i]
		if z.App.Match(string(app)) && z.Dataset.Match(string(dataset)) && z.Host.Match(string(host)) {
			return z.Location
		}
	}
	return e.zone
}
