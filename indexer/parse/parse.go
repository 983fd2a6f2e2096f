// Package parse finds in a message what it says of itself: its time, level and logger,
// and the members of a line that is JSON or logfmt. It owns the formats, a file each,
// their order, and the memory they work in; it knows neither Kafka nor Elasticsearch,
// and what it finds depends on its arguments alone.
//
//	message -> first byte that is no blank -> formats that may begin so, in order -> Found
//
// A new format is a file with a type that implements Format, and a line in registry.
package parse

import (
	"bytes"
	"time"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// Found is what a message says of itself. Byte slices are insides of JSON strings
// (escaped), except App, which is the members of an object without its braces. They
// point into the message or into the parser, and are valid until its next call.
type Found struct {
	Format  ID        // that read the message
	Time    time.Time // zero: none, or not believed
	Doubted bool      // a time was found and not believed
	Level   string    // one of log.level, or empty
	Logger  []byte
	Trace   []byte
	Message []byte // what message becomes
	App     []byte
	Members bool    // the message was read as members: Message and App are in place of the line
	Fields  []Field // what else the line says, each name once
}

// Parser reads messages. Every format is matched from the start, each byte looked at a
// bounded number of times: no input makes it slow. A parser serves one goroutine, and
// allocates only for lines that are longer than those before.
type Parser struct {
	usual *time.Location // of times that name none

	// The message being read.
	message    []byte
	start      int // of its first byte that is neither blank nor colour
	read       time.Time
	zone       *time.Location // of times that name none
	structured bool
	keyed      bool // it begins with key=
	present    Roles
	found      Found

	object jsontext.Object
	inner  jsontext.Object // of a member
	record jsontext.Object // of a member that has such members
	text   []byte          // the message unescaped
	part   []byte          // a part of it, unescaped
	pairs  []byte          // logfmt as JSON
	app    []byte

	named  thrown // that the line begins with
	fields []Field
	values []byte // of fields
	from   int    // where the value of the last field begins in values
}

// New makes a parser. Times without a zone are in this one.
func New(zone *time.Location) *Parser {
	return &Parser{usual: zone, object: jsontext.Object{Storable: true}}
}

// Options are what is known of a message before it is read.
type Options struct {
	Text    bool           // JSON and logfmt stay text
	Present Roles          // fields that the event has already: members of these names stay in App
	Zone    *time.Location // of times that name none; nil: that of the parser
}

// Parse reads a message, the inside of a JSON string, that was read at a time. What it
// returns is the parser's own, until its next call.
func (p *Parser) Parse(message []byte, read time.Time, o Options) *Found {
	p.begin(message, read, o)
	if p.start == len(message) {
		return &p.found
	}
	for _, id := range byFirst[message[p.start]] {
		if registry[id].Read(p) {
			if id.plain() && p.found.Level == "" && p.found.Time.IsZero() {
				break // a time that is not believed, and nothing else
			}
			p.found.Format = id
			break
		}
	}
	if !p.found.Members && !(bytes.Contains(message, []byte(`\n`)) && p.addThrown(message)) && p.named.kind != nil {
		p.addError(&p.named) // without frames
	}
	return &p.found
}

// Nothing is what is found where there is no message, for the caller to fill in; it is
// the parser's own like that of Parse.
func (p *Parser) Nothing() *Found {
	p.found = Found{}
	return &p.found
}

func (p *Parser) begin(message []byte, read time.Time, o Options) {
	p.message, p.read, p.structured, p.present = message, read, !o.Text, o.Present
	if p.zone = o.Zone; p.zone == nil {
		p.zone = p.usual
	}
	p.found = Found{Message: message}
	p.fields, p.values, p.named = p.fields[:0], p.values[:0], thrown{}
	if p.start = skipBlank(message, 0); at(message, p.start) == 0xef && bytes.HasPrefix(message[p.start:], []byte("\uFEFF")) {
		p.start = skipBlank(message, p.start+3)
	}
}

// Shed lets go of what a message was made of, and of buffers above a size: there is a
// parser for each partition.
func (p *Parser) Shed(size int) {
	p.message, p.found, p.named = nil, Found{}, thrown{}
	clear(p.fields[:cap(p.fields)])
	for _, b := range []*[]byte{&p.text, &p.part, &p.pairs, &p.app, &p.values} {
		if cap(*b) > size {
			*b = nil
		}
	}
	p.object.Shed()
	p.inner.Shed()
	p.record.Shed()
}

// timeAt reads a time at an index of the message and returns the index after it, 0 for
// none. A time that is not believed is one.
func (p *Parser) timeAt(i int) int {
	if i >= len(p.message) {
		return 0
	}
	var t Civil
	n := matchTime(p.message[i:], &t)
	if n == 0 {
		return 0
	}
	p.takeTime(&t)
	return i + n
}

// takeTime makes what was written the message's time, if it is to be believed.
func (p *Parser) takeTime(t *Civil) {
	if at, ok := t.At(p.read, p.zone); ok {
		p.found.Time = at
	} else {
		p.found.Doubted = true
	}
}
