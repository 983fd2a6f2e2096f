package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluicelog/sluice/internal/kafka"
	"github.com/sluicelog/sluice/internal/rule"
	"github.com/sluicelog/sluice/schemas"
)

// Found is a letter in its topic.
type Found struct {
	*Letter
	At   At
	Mark *Mark // nil: nobody has dealt with it
}

// App is the application that the record's header names; empty: none.
func (l *Letter) App() string {
	for _, h := range l.Record.Headers {
		if string(h.Key) == schemas.HeaderApp {
			return string(h.Value)
		}
	}
	return ""
}

// Unread is the records of a topic that are no letters, or not whole ones.
type Unread struct {
	Records    int       // that are no letters, of an older form, or damaged
	First      error     // of these
	Incomplete []*Letter // of which parts are missing
}

// openParts is what letters in parts may take that are not complete, in bytes.
const openParts = 256 << 20

// Walk reads all letters that a topic holds now with their marks, by partition in the
// order of the topic, and gives f those of the filter. Memory: that of the marks and of
// the letters at hand.
func Walk(ctx context.Context, c *kafka.Cluster, topic string, filter *Filter, f func(*Found) error) (Unread, error) {
	var unread Unread
	marks, err := ReadMarks(ctx, c, topic)
	if err != nil {
		return unread, err
	}
	reader := NewReader(topic, openParts)
	err = kafka.ReadWhole(ctx, c, topic, func(p int32, r *kafka.Record) error {
		l, err := reader.Read(p, r)
		switch {
		case err != nil:
			if unread.Records++; unread.First == nil {
				unread.First = err
			}
			return nil
		case l == nil:
			return nil
		}
		found := &Found{Letter: l, At: At{topic, p, r.Offset}}
		if m, ok := marks.Of(found.At, l); ok {
			found.Mark = &m
		}
		if !filter.Match(found) {
			return nil
		}
		return f(found)
	})
	if errors.Is(err, kafka.ErrNoTopic) {
		err = fmt.Errorf("topic %s of %s does not exist: no letter was ever written, or dead_letter_topic is another", topic, c.Name)
	}
	unread.Incomplete = reader.Incomplete()
	return unread, err
}

// Filter is which letters are meant. The zero Filter means those without a mark.
type Filter struct {
	Reason, App, Output, Topic, Index rule.Patterns
	Error                             string    // is in what was said, letters of either case alike; empty: any
	Since, Until                      time.Time // of death; zero: any; Until is exclusive
	Marked                            bool      // those with a mark too
	At                                map[At]bool
}

// Match reports whether a letter is meant.
func (f *Filter) Match(l *Found) bool {
	switch {
	case l.Mark != nil && !f.Marked:
	case len(f.At) > 0 && !f.At[l.At]:
	case !f.Reason.Match(l.Reason), !f.App.Match(l.App()), !f.Output.Match(l.Output), !f.Topic.Match(l.Topic), !f.Index.Match(l.Target):
	case f.Error != "" && !strings.Contains(strings.ToLower(l.Error), strings.ToLower(f.Error)):
	case !f.Since.IsZero() && l.Died.Before(f.Since), !f.Until.IsZero() && !l.Died.Before(f.Until):
	default:
		return true
	}
	return false
}

// ParseAt reads topic/partition/offset, or partition/offset of a topic.
func ParseAt(s, topic string) (At, error) {
	if at, ok := parseAt(s); ok {
		return at, nil
	}
	if at, ok := parseAt(topic + "/" + s); ok {
		return at, nil
	}
	return At{}, fmt.Errorf("expected the place of a letter, topic/partition/offset such as %s/0/17, got %q", topic, s)
}
