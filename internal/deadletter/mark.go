package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/schemas"
)

// Mark says that somebody has dealt with a letter. Marks are records of a compacted topic
// beside that of the letters: the key is topic/partition/offset of the letter, the value
// this as JSON. Letters stay where they are.
type Mark struct {
	Action string    `json:"action"` // replayed or dropped
	At     time.Time `json:"at"`
	By     string    `json:"by"`            // who did it: user@host
	Output string    `json:"output"`        // it was replayed to; empty: none
	Died   time.Time `json:"died"`          // when the letter did: a topic that is made again has others at the same offsets
	Why    string    `json:"why,omitempty"` // what they said
}

// Values of Mark.Action.
const (
	Replayed = "replayed"
	Dropped  = "dropped"
)

// MarksTopic is the topic of the marks of a dead-letter topic.
func MarksTopic(topic string) string { return topic + "-marks" }

// At is where a letter is: of one in parts, the part that was read last.
type At struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String is topic/partition/offset.
func (a At) String() string { return fmt.Sprintf("%s/%d/%d", a.Topic, a.Partition, a.Offset) }

// parseAt reads what String wrote.
func parseAt(s string) (a At, ok bool) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return a, false
	}
	p, err1 := strconv.ParseInt(parts[1], 10, 32)
	o, err2 := strconv.ParseInt(parts[2], 10, 64)
	return At{parts[0], int32(p), o}, parts[0] != "" && err1 == nil && err2 == nil && p >= 0 && o >= 0
}

// Marks are the newest of a topic's letters.
type Marks map[At]Mark

// ReadMarks reads the marks of a dead-letter topic. Where their topic is not there yet,
// nor is a mark; a record that is no mark is an error.
func ReadMarks(ctx context.Context, c *kafka.Cluster, topic string) (Marks, error) {
	marks := Marks{}
	err := kafka.ReadWhole(ctx, c, MarksTopic(topic), func(p int32, r *kafka.Record) error {
		at, ok := parseAt(string(r.Key))
		if ok && r.Value == nil {
			delete(marks, at)
			return nil
		}
		var m Mark
		if !ok || json.Unmarshal(r.Value, &m) != nil {
			return fmt.Errorf("record at %s/%d@%d is no mark of a dead letter: that topic is for marks alone, such as sluice-dead/0/17 -> {\"action\":\"replayed\",...}", MarksTopic(topic), p, r.Offset)
		}
		marks[at] = m
		return nil
	})
	if errors.Is(err, kafka.ErrNoTopic) {
		err = nil
	}
	return marks, err
}

// Of is the mark of a letter; ok is false if it has none.
func (m Marks) Of(at At, l *Letter) (_ Mark, ok bool) {
	mark, ok := m[at]
	return mark, ok && mark.Died.Equal(l.Died)
}

// Marker writes marks. Its methods are safe for concurrent use.
type Marker struct {
	topic    string
	producer *kafka.Producer

	mu      sync.Mutex
	refused error // the first mark that the topic does not take; guarded by mu
}

// NewMarker makes the topic of the marks of a dead-letter topic, if it is missing, and
// writes to it until Close.
func NewMarker(ctx context.Context, c *kafka.Cluster, topic string, o kafka.ProducerOptions) (*Marker, error) {
	m := &Marker{topic: MarksTopic(topic)}
	if err := kafka.EnsureCompacted(ctx, c, m.topic); err != nil {
		return nil, err
	}
	o.Done = func(res *kafka.Result) {
		if res.Err == nil {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.refused == nil {
			m.refused = fmt.Errorf("topic %s of %s refuses a record of key %s: %w", res.Topic, c.Name, res.Record.Key, res.Err)
		}
	}
	var err error
	m.producer, err = kafka.NewProducer(ctx, c, o)
	return m, err
}

// Mark marks a letter; Drain says whether the topic has taken it.
func (m *Marker) Mark(ctx context.Context, at At, mark Mark) error {
	value, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	return m.producer.Append(ctx, m.topic, 0, kafka.Record{Key: []byte(at.String()), Value: value, Time: mark.At}, kafka.Tag{Owner: m})
}

// Event writes an event of sluice's own to a topic of logs: who has done what.
func (m *Marker) Event(ctx context.Context, topic, host, dc, text string, at time.Time) error {
	const service = "sluice"
	partitions, err := m.producer.Partitions(ctx, topic)
	if err != nil {
		return err
	}
	message := jsontext.Append(nil, text)
	source := &schemas.Source{ID: schemas.SourceID(host, service, "dead"), Host: host, DC: dc, ServiceName: service, Dataset: "sluice.audit"}
	line := schemas.Line{ID: schemas.NewPlace(source.ID, "", "").Line(at.UnixNano()).Add(message).ID(at), Time: at, Message: message, Size: int64(len(message))}
	r := kafka.Record{Key: []byte(source.ID), Value: schemas.AppendEvent(nil, &line, schemas.NewTail(source)), Time: at}
	for _, h := range [][2]string{{schemas.HeaderDC, dc}, {schemas.HeaderApp, service}, {schemas.HeaderDataset, source.Dataset}} {
		r.Headers = append(r.Headers, header(h[0], h[1]))
	}
	return m.producer.Append(ctx, topic, int32(at.UnixNano()%int64(max(partitions, 1))), r, kafka.Tag{Owner: m})
}

// Drain waits until all marks are stored.
func (m *Marker) Drain(ctx context.Context) error {
	if err := m.producer.Drain(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

// Close ends the marker; marks that are not stored are lost.
func (m *Marker) Close() error { return m.producer.Close() }
