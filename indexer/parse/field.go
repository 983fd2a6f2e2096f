package parse

import (
	"bytes"
	"net/netip"

	"github.com/sluicelog/sluice/internal/jsontext"
)

// Field is a member of a document that a line says more than its time and level with.
type Field struct {
	Name  string // of ECS, the first part: http, url, process
	Value []byte // JSON
}

// beginField begins a field, whose value is what is appended to p.values until endField.
func (p *Parser) beginField(name string) {
	p.fields = append(p.fields, Field{Name: name})
	p.from = len(p.values)
}

func (p *Parser) endField() {
	p.fields[len(p.fields)-1].Value = p.values[p.from:]
	p.found.Fields = p.fields
}

// addString adds a field that is an object of one string, the inside of a JSON string.
func (p *Parser) addString(name, member string, inside []byte) {
	p.beginField(name)
	p.values = append(append(append(append(append(p.values, `{"`...), member...), `":"`...), inside...), `"}`...)
	p.endField()
}

// addSource adds source.ip, or source.address of what is no IP address. A dash is nobody.
func (p *Parser) addSource(host []byte) {
	if len(host) > 255 || !plainText(host) {
		return
	}
	if len(host) < 46 {
		if ip, err := netip.ParseAddr(string(host)); err == nil && ip.Zone() == "" {
			p.addString("source", "ip", host)
			return
		}
	}
	p.addString("source", "address", host)
}

// isInside reports whether a part of the inside of a string is one itself: no escape in
// it was cut.
func isInside(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return true
		}
		n := jsontext.EscapeLen(b[i:])
		if n == 0 {
			return false
		}
		b = b[i+n:]
	}
}
