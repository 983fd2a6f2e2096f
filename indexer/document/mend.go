package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sluicelog/sluice/indexer/parse"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/schemas"
)

// tagMistyped is the tag of documents of which members are under app, since the mapping
// of their field takes no such value: Elasticsearch would refuse the whole.
const tagMistyped = "_typemismatch"

// field is what the mapping says of one: objects have members.
type field struct {
	takes   takes
	members map[string]*field
}

// takes is which values a field takes.
type takes uint8

const (
	takesObject takes = iota // of its members
	takesAnyObject
	takesScalar
	takesInteger
	takesDate
)

// mapped is the fields of the mapping.
var mapped = func() *field {
	var file struct {
		Template struct {
			Mappings json.RawMessage
		}
	}
	text, err := schemas.Elastic.ReadFile("elastic/mappings.json")
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		panic(fmt.Sprintf("the embedded mapping: %v", err))
	}
	return readField(file.Template.Mappings)
}()

func readField(mapping json.RawMessage) *field {
	var m struct {
		Type            string
		IgnoreMalformed bool `json:"ignore_malformed"`
		Properties      map[string]json.RawMessage
	}
	if err := json.Unmarshal(mapping, &m); err != nil {
		panic(fmt.Sprintf("the embedded mapping: %v", err))
	}
	f := &field{}
	switch {
	case m.Properties != nil:
		f.members = map[string]*field{}
		for name, p := range m.Properties {
			f.members[name] = readField(p)
		}
	case m.Type == "flattened":
		f.takes = takesAnyObject
	case m.Type == "long" && !m.IgnoreMalformed:
		f.takes = takesInteger
	case m.Type == "date":
		f.takes = takesDate
	default:
		f.takes = takesScalar
	}
	return f
}

// at is the field of a key, which may be a path with dots; nil: it is in no mapping. False:
// Elasticsearch takes no such key.
func (f *field) at(key []byte) (*field, bool) {
	if len(key) == 0 || key[0] == '_' && f == mapped && reserved(key) {
		return nil, false
	}
	for {
		part, rest, more := bytes.Cut(key, []byte("."))
		if len(bytes.TrimSpace(part)) == 0 {
			return nil, false
		}
		if f != nil {
			f = f.members[string(part)]
		}
		if !more {
			return f, true
		}
		if key = rest; f != nil && f.takes == takesAnyObject {
			return nil, !bytes.HasPrefix(key, []byte(".")) && !bytes.HasSuffix(key, []byte(".")) && !bytes.Contains(key, []byte("..")) && len(key) > 0
		} else if f != nil && f.takes != takesObject {
			return nil, false
		}
	}
}

// reserved says of a name that it is one of Elasticsearch's own.
func reserved(key []byte) bool {
	switch string(key) {
	case "_id", "_index", "_type", "_source", "_routing", "_field_names", "_ignored", "_ignored_source", "_seq_no", "_version", "_nested_path", "_doc_count", "_tier", "_size", "_feature", "_data_stream_timestamp",
		"_primary_term", "_all", "_parent", "_uid", "_tsid":
		return true
	}
	return false
}

// mend puts members whose values their fields do not take under app, and tags the event.
// What is left of an object stays in its place.
func (e *Encoder) mend(ev *event) {
	e.odd = e.odd[:0]
	var fixed []jsontext.Member
	for i, m := range ev.members {
		f, legal := mapped.at(m.Key)
		if legal && e.clean1(f, m.Value, 0) {
			if fixed != nil {
				fixed = append(fixed, m)
			}
			continue
		}
		if fixed == nil {
			fixed = append(make([]jsontext.Member, 0, len(ev.members)+1), ev.members[:i]...)
			e.taken = e.namesInApp(ev.members)
		}
		if string(m.Key) == schemas.FieldMessage && ev.absent { // it is to be found all the same
			e.line = jsontext.Append(e.line[:0], m.Value)
			ev.message, ev.absent = e.line, false
		}
		if !legal || f == nil || f.takes != takesObject || m.Value[0] != '{' {
			e.setAside(nil, m.Key, m.Value)
			continue
		}
		fixed = append(fixed, jsontext.Member{Key: m.Key, Value: e.without(nil, f, m.Key, m.Value)})
	}
	if fixed == nil {
		return
	}
	ev.members, e.taken = e.intoApp(fixed), nil
	ev.tag = tagMistyped
	e.tally.Mistyped++
}

// namesInApp is the set of names that the event's own app has.
func (e *Encoder) namesInApp(members []jsontext.Member) map[string]bool {
	names := map[string]bool{}
	for _, m := range members {
		if string(m.Key) != schemas.FieldApp || m.Value[0] != '{' || !e.inner.Read(m.Value) {
			continue
		}
		for _, n := range e.inner.Members {
			names[string(n.Key)] = true
		}
	}
	return names
}

// intoApp adds what was set aside to the member app. An app that is a list becomes a
// member of it.
func (e *Encoder) intoApp(members []jsontext.Member) []jsontext.Member {
	for i, m := range members {
		if string(m.Key) != schemas.FieldApp {
			continue
		}
		object := m.Value
		if object[0] != '{' {
			if object[0] == '[' {
				e.setAside(nil, m.Key, object)
			}
			object = []byte("{}") // a null has nothing to keep
		}
		app := append(append(make([]byte, 0, len(e.odd)+len(object)+2), '{'), e.odd...)
		members[i].Value = closeObject(app, 1, object)
		return members
	}
	app := append(append(append(make([]byte, 0, len(e.odd)+2), '{'), e.odd...), '}')
	return append(members, jsontext.Member{Key: []byte(schemas.FieldApp), Value: app})
}

// setAside appends a member, by its whole path, to what goes under app. A name that is
// there already gets an underscore after it.
func (e *Encoder) setAside(path, key, value []byte) {
	name := bytes.Clone(key)
	if len(path) > 0 {
		name = slices.Concat(path, []byte{'.'}, key)
	}
	for e.taken[string(name)] {
		name = append(name, '_')
	}
	e.taken[string(name)] = true
	if len(e.odd) > 0 {
		e.odd = append(e.odd, ',')
	}
	e.odd = append(append(append(append(e.odd, '"'), name...), `":`...), value...)
}

// without is an object without the members that their fields do not take, which are set
// aside.
func (e *Encoder) without(dst []byte, f *field, path, object []byte) []byte {
	var o jsontext.Object
	o.Read(object)
	dst = append(dst, '{')
	from := len(dst)
	for _, m := range o.Members {
		sub, legal := f.at(m.Key)
		if legal && e.clean1(sub, m.Value, 0) {
			if len(dst) > from {
				dst = append(dst, ',')
			}
			dst = append(append(append(append(dst, '"'), m.Key...), `":`...), m.Value...)
			continue
		}
		if !legal || sub == nil || sub.takes != takesObject || m.Value[0] != '{' {
			e.setAside(path, m.Key, m.Value)
			continue
		}
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), m.Key...), `":`...)
		dst = e.without(dst, sub, append(append(bytes.Clone(path), '.'), m.Key...), m.Value)
	}
	return append(dst, '}')
}

// clean1 reports whether a field takes a value whole.
func (e *Encoder) clean1(f *field, value []byte, depth int) bool {
	if f == nil || string(value) == "null" {
		return true
	}
	if value[0] == '[' {
		return elements(value, func(v []byte) bool { return e.clean1(f, v, depth) })
	}
	switch f.takes {
	case takesObject:
		if value[0] != '{' {
			return false
		}
		for len(e.levels) <= depth {
			e.levels = append(e.levels, jsontext.Object{})
		}
		if !e.levels[depth].Read(value) {
			return false
		}
		for _, m := range e.levels[depth].Members {
			if sub, legal := f.at(m.Key); !legal || !e.clean1(sub, m.Value, depth+1) {
				return false
			}
		}
		return true
	case takesAnyObject:
		return value[0] == '{'
	case takesInteger:
		return isInteger(value)
	case takesDate:
		return isDate(value)
	}
	return value[0] != '{'
}

// elements calls f for each element of a list until it is false, which it then is.
func elements(list []byte, f func([]byte) bool) bool {
	i := jsontext.SkipSpace(list, 1)
	if list[i] == ']' {
		return true
	}
	for {
		from, depth := i, 0
		for ; ; i++ {
			switch list[i] {
			case '"':
				i = jsontext.End(list, i+1)
				continue
			case '{', '[':
				depth++
				continue
			case '}':
				depth--
				continue
			case ']':
				if depth > 0 {
					depth--
					continue
				}
			case ',':
				if depth > 0 {
					continue
				}
			default:
				continue
			}
			break
		}
		if !f(bytes.TrimSpace(list[from:i])) {
			return false
		}
		if list[i] == ']' {
			return true
		}
		i = jsontext.SkipSpace(list, i+1)
	}
}

// isInteger reports whether a value is a number that fits 64 bits, or a string of one;
// Elasticsearch cuts off a fraction.
func isInteger(value []byte) bool {
	if value[0] == '"' {
		value = value[1 : len(value)-1]
	}
	digits, _, _ := bytes.Cut(value, []byte("."))
	digits = bytes.TrimPrefix(digits, []byte("-"))
	for _, c := range bytes.Replace(value, []byte("."), nil, 1) {
		if c-'0' >= 10 && c != '-' {
			return false
		}
	}
	for _, c := range digits {
		if c == '-' {
			return false
		}
	}
	return len(digits) > 0 && len(digits) <= 18 && value[len(value)-1] != '.' && value[len(value)-1] != '-'
}

// isDate reports whether a value is a date of strict_date_optional_time, or a number of
// milliseconds.
func isDate(value []byte) bool {
	if value[0] != '"' {
		return isInteger(value) && bytes.IndexByte(value, '.') < 0
	}
	b := value[1 : len(value)-1]
	if len(b) < 10 || b[4] != '-' || b[7] != '-' || len(b) > 10 && (len(b) < 19 || b[10] != 'T') {
		return false
	}
	stamp := b
	if len(b) == 10 {
		stamp = append(bytes.Clone(b), "T00:00:00Z"...)
	}
	return parse.IsISO(stamp)
}
