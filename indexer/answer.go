package indexer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// refusal is why a request or an item was not taken.
type refusal struct {
	status int    // 0: no answer
	kind   string // the error's type
	reason string
}

// Error implements error.
func (r *refusal) Error() string {
	switch {
	case r.status == 0:
		return r.reason
	case r.kind == "":
		return fmt.Sprintf("answered %d %s", r.status, r.reason)
	}
	return fmt.Sprintf("answered %d %s: %s", r.status, r.kind, r.reason)
}

// readRefusal reads Elasticsearch's error of a request, or the start of what a proxy
// has to say.
func readRefusal(status int, r io.Reader) *refusal {
	text, _ := io.ReadAll(io.LimitReader(r, 16<<10))
	why := &refusal{status: status}
	var s scanner
	if s.object(text) {
		readError(&s, value(&s, "error"), why)
	}
	if why.kind == "" {
		why.reason = string(cutBytes(bytes.Join(bytes.Fields(text), []byte(" ")), 256))
	}
	return why
}

// value is the member of that name of the object read last, nil if there is none.
func value(s *scanner, name string) []byte {
	for _, m := range s.members {
		if string(m.key) == name {
			return m.value
		}
	}
	return nil
}

// readError reads {"type":...,"reason":...,"caused_by":{...}} into why.
func readError(s *scanner, object []byte, why *refusal) {
	if len(object) == 0 || !s.object(object) {
		return
	}
	cause := value(s, "caused_by")
	why.kind, why.reason = text(value(s, "type")), text(value(s, "reason"))
	if len(cause) > 0 && s.object(cause) {
		why.reason += ": " + text(value(s, "reason"))
	}
	if len(why.reason) > maxReason {
		why.reason = strings.Clone(cut(why.reason, maxReason))
	}
}

// maxReason bounds what is kept of an error's text: every item of a bulk may have one.
const maxReason = 1024

func text(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	return string(unescape(nil, value[1:len(value)-1]))
}

// maxItem bounds what is read of one item of an answer.
const maxItem = 64 << 10

// readItems reads {"errors":...,"items":[{"create":{"status":201}},...]}, one item at a
// time. The verdict of every item is set, and judge is called for those not stored.
func readItems(r io.Reader, items []item, judge func(i int, v verdict, why *refusal)) error {
	in := bufio.NewReaderSize(r, 16<<10)
	head, err := in.Peek(64)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if bytes.Contains(head, []byte(`"errors":false`)) {
		for i := range items {
			items[i].verdict = indexed
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
	var s scanner
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
		status, why := readItem(&s, one)
		v := itemVerdict(status, why.kind)
		if items[i].verdict = indexed; v != indexed {
			why.status = status
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

func readItem(s *scanner, object []byte) (status int, why refusal) {
	if !s.object(object) || len(s.members) == 0 || !s.object(s.members[0].value) {
		return 0, refusal{kind: "unreadable", reason: string(cutBytes(object, 256))}
	}
	status, _ = strconv.Atoi(string(value(s, "status")))
	readError(s, value(s, "error"), &why)
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
