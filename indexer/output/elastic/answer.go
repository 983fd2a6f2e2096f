package elastic

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/internal/jsontext"
)

// Refusal is why a request or an item was not taken.
type Refusal struct {
	Status int    // 0: no answer
	Kind   string // the error's type; empty: it is not of Elasticsearch's making
	Reason string
}

// Error implements error.
func (r *Refusal) Error() string {
	switch {
	case r.Status == 0:
		return r.Reason
	case r.Kind == "":
		return fmt.Sprintf("answered %d %s", r.Status, r.Reason)
	}
	return fmt.Sprintf("answered %d %s: %s", r.Status, r.Kind, r.Reason)
}

// readRefusal reads Elasticsearch's error of a request, or the start of what a proxy
// has to say.
func readRefusal(status int, r io.Reader) *Refusal {
	text, _ := io.ReadAll(io.LimitReader(r, 16<<10))
	why := &Refusal{Status: status}
	var o jsontext.Object
	if o.Read(text) {
		readError(&o, why)
	}
	if why.Kind == "" {
		why.Reason = string(start(bytes.Join(bytes.Fields(text), []byte(" "))))
	}
	return why
}

// start is enough of a text to see what it is.
func start(text []byte) []byte { return text[:jsontext.CutRunes(text, 256)] }

// readError reads the member error of the object read last into why:
// {"type":...,"reason":...,"caused_by":{...}}.
func readError(o *jsontext.Object, why *Refusal) {
	m, ok := o.Member("error")
	if !ok || !o.Read(m.Value) {
		return
	}
	why.Kind, why.Reason = text(o, "type"), text(o, "reason")
	if m, ok := o.Member("caused_by"); ok && o.Read(m.Value) {
		why.Reason += ": " + text(o, "reason")
	}
	if len(why.Reason) > maxReason {
		why.Reason = why.Reason[:jsontext.CutRunes([]byte(why.Reason), maxReason)]
		why.Reason = strings.Clone(why.Reason)
	}
}

func text(o *jsontext.Object, key string) string {
	if m, ok := o.Member(key); ok {
		return m.Text()
	}
	return ""
}

// maxReason bounds what is kept of an error's text: every item of a bulk may have one.
const maxReason = 1024

// maxItem bounds what is read of one item of an answer.
const maxItem = 64 << 10

// readItems reads {"errors":...,"items":[{"create":{"status":201}},...]}, one item at a
// time. The verdict of every item is set, and judge is called for those not stored.
func readItems(r io.Reader, items []bulk.Item, judge func(i int, v bulk.Verdict, why *Refusal)) error {
	in := bufio.NewReaderSize(r, 16<<10)
	head, err := in.Peek(64)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if bytes.Contains(head, []byte(`"errors":false`)) {
		for i := range items {
			items[i].Verdict = bulk.Stored
		}
		io.Copy(io.Discard, in) // so that the connection can be used again
		return nil
	}
	head = bytes.Clone(head)
	if err := skipTo(in, `"items":[`); errors.Is(err, io.EOF) {
		return fmt.Errorf(`no "items":[ in an answer that starts with %q: the server is not Elasticsearch or one that does as it does, check the hosts of the output`, head)
	} else if err != nil {
		return err
	}
	var o jsontext.Object
	var one []byte
	for i := 0; ; i++ {
		c, err := in.ReadByte()
		for err == nil && (c == ',' || c == ' ' || c == '\n') {
			c, err = in.ReadByte()
		}
		switch {
		case err != nil:
			return fmt.Errorf("after %d of %d items: %w", i, len(items), noEOF(err))
		case c == ']' && i == len(items):
			_, err := io.Copy(io.Discard, in)
			return err
		case c != '{' || i == len(items):
			return fmt.Errorf("after %d of %d items: unexpected %q", i, len(items), c)
		}
		if one, err = readObject(in, one[:0]); err != nil {
			return fmt.Errorf("in item %d of %d: %w", i, len(items), noEOF(err))
		}
		status, why := readItem(&o, one)
		v := itemVerdict(status, why.Kind)
		if items[i].Verdict = bulk.Stored; v != bulk.Stored {
			why.Status = status
			judge(i, v, &why)
		}
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func readItem(o *jsontext.Object, object []byte) (status int, why Refusal) {
	if !o.Read(object) || len(o.Members) == 0 || !o.Read(o.Members[0].Value) {
		return 0, Refusal{Kind: "unreadable", Reason: string(start(object))}
	}
	if m, ok := o.Member("status"); ok {
		status, _ = strconv.Atoi(string(m.Value))
	}
	readError(o, &why)
	return status, why
}

// skipTo reads up to and with a text; io.EOF: there is no such text.
func skipTo(in *bufio.Reader, what string) error {
	for n := 0; n < len(what); {
		c, err := in.ReadByte()
		if err != nil {
			return err
		}
		switch {
		case c == what[n]:
			n++
		case c == what[0]:
			n = 1
		default:
			n = 0
		}
	}
	return nil
}

// readObject reads an object whose brace was read, of which no more than maxItem is
// kept.
func readObject(in *bufio.Reader, dst []byte) ([]byte, error) {
	dst = append(dst, '{')
	quoted, escaped := false, false
	for depth := 1; depth > 0; {
		c, err := in.ReadByte()
		if err != nil {
			return dst, err
		}
		if len(dst) < maxItem {
			dst = append(dst, c)
		}
		switch {
		case escaped:
			escaped = false
		case quoted:
			quoted, escaped = c != '"', c == '\\'
		case c == '"':
			quoted = true
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
	}
	return dst, nil
}
