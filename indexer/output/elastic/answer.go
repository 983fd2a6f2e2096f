package elastic

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/internal/jsontext"
)

// Refusal is why a request or an item was not taken.
type Refusal struct {
	Host   string // that refused a request; empty: it is of an item
	Status int    // 0: no answer
	Kind   string // the error's type; empty: it is not of Elasticsearch's making
	Reason string
	Cure   string // what an operator has to do; empty: nothing, or it is not known
}

// Error implements error.
func (r *Refusal) Error() string {
	s := r.Reason
	switch {
	case r.Status != 0 && r.Kind == "":
		s = fmt.Sprintf("answered %d %s", r.Status, r.Reason)
	case r.Status != 0:
		s = fmt.Sprintf("answered %d %s: %s", r.Status, r.Kind, r.Reason)
	}
	switch {
	case r.Host != "" && r.Status != 0:
		s = r.Host + " " + s
	case r.Host != "":
		s = r.Host + ": " + s
	}
	if r.Cure != "" {
		s += "; " + r.Cure
	}
	return s
}

// reason is the refusal in a word, for figures.
func (r *Refusal) reason() string {
	if r.Kind == "" {
		return "status " + strconv.Itoa(r.Status)
	}
	return r.Kind
}

// readRefusal reads Elasticsearch's error of a request, {"error":{"type":...},"status":...}
// of any size, or the start of what a proxy has to say.
func readRefusal(status int, r io.Reader) *Refusal {
	start, _ := io.ReadAll(io.LimitReader(r, 4<<10))
	in := scanners.Get().(*scanner)
	defer scanners.Put(in)
	in.reset(io.MultiReader(bytes.NewReader(start), io.LimitReader(r, 1<<20)))
	defer in.reset(nil)
	why := &Refusal{Status: status}
	in.object(func(key []byte) error { // what is no JSON has no error type
		if string(key) == "error" {
			return in.cause(why, 0)
		}
		return in.skip()
	})
	if why.Kind == "" && why.Reason == "" {
		why.Reason = cutText(bytes.Join(bytes.Fields(start), []byte(" ")), 256)
	}
	return why
}

func text(o *jsontext.Object, key string) string {
	if m, ok := o.Member(key); ok {
		return m.Text()
	}
	return ""
}

// What is kept of an error's type and text at most: every item of a bulk may have one.
const (
	maxKind   = 128
	maxReason = 1024
)

// cutText is a text of so many bytes at most, cut in no rune.
func cutText(text []byte, most int) string {
	if len(text) > most {
		text = text[:jsontext.CutRunes(text, most)]
	}
	return string(text)
}

// errNotBulk: what was answered is not an answer to _bulk.
var errNotBulk = errors.New("the server is not Elasticsearch or one that does as it does, check the hosts of the output")

// readItems reads {"errors":...,"items":[{"create":{"status":201}},...]} to its end. With
// a nil error there was one item for each document, in their order: the verdict of each
// is set, and judge was called for those not stored. With an error nothing is known of
// any document, whatever was set and judged before.
func readItems(r io.Reader, b *bulk.Bulk, lo, hi int, judge func(i int, v bulk.Verdict, why *Refusal)) error {
	in := scanners.Get().(*scanner)
	defer scanners.Put(in)
	in.reset(r)
	defer in.reset(nil)
	if in.skipSpace(); in.peek() != '{' {
		return in.wrong("no object", errNotBulk)
	}
	found := false
	err := in.object(func(key []byte) error {
		if string(key) != "items" {
			return in.skip()
		}
		if found {
			return errors.New("items are there twice")
		}
		found = true
		return in.items(b, lo, hi, judge)
	})
	switch {
	case err != nil:
		return err
	case !found:
		return in.wrong("no items", errNotBulk)
	case in.skipSpace() != nil:
		return fmt.Errorf("after its end: unexpected %q", in.peek())
	}
	return in.failed()
}

// plainItem is an item as Elasticsearch writes it when all is well and it was asked for
// no more.
const plainItem = `{"create":{"status":201}}`

func (in *scanner) items(b *bulk.Bulk, lo, hi int, judge func(i int, v bulk.Verdict, why *Refusal)) error {
	i := lo
	err := in.array(func() error {
		for ; i < hi-1 && in.take(plainItem+","); i++ { // nearly all are so
			b.Items[i].Verdict = bulk.Stored
		}
		if i == hi {
			return fmt.Errorf("there are more items than the %d documents of the request", hi-lo)
		}
		it := &b.Items[i]
		if it.Verdict = bulk.Stored; !in.take(plainItem) {
			a, err := in.item()
			if err != nil {
				return fmt.Errorf("item %d of %d: %w", i-lo, hi-lo, err)
			}
			if a.id != nil && !isOf(a.id, b.Lines(i, i+1)) {
				return fmt.Errorf("item %d of %d is of the document %q, which is not what was sent at its place", i-lo, hi-lo, a.id)
			}
			if v := itemVerdict(&a.why); v != bulk.Stored {
				judge(i, v, &a.why)
			}
		}
		i++
		return nil
	})
	if err == nil && i < hi {
		err = fmt.Errorf("there are %d items for the %d documents of the request", i-lo, hi-lo)
	}
	return err
}

// itemAnswer is what was answered to one document.
type itemAnswer struct {
	id  []byte // nil: it was not said
	why Refusal
}

// item reads {"create":{"_id":...,"status":...,"error":...}}.
func (in *scanner) item() (a itemAnswer, err error) {
	actions := 0
	err = in.object(func([]byte) error {
		actions++
		return in.object(func(key []byte) (err error) {
			switch string(key) {
			case "status":
				a.why.Status, err = in.number()
			case "_id":
				var id []byte
				id, err = in.text(maxID)
				a.id = bytes.Clone(id)
			case "error":
				err = in.cause(&a.why, 0)
			default:
				err = in.skip()
			}
			return err
		})
	})
	switch {
	case err == nil && actions != 1:
		err = fmt.Errorf("it has %d actions, want 1", actions)
	case err == nil && a.why.Status != 200 && a.why.Status != 201 && (a.why.Status < 400 || a.why.Status > 599):
		err = fmt.Errorf("its status is %d: %w", a.why.Status, errNotBulk)
	case err == nil && a.why.Status < 400 && a.why.Kind+a.why.Reason != "":
		err = fmt.Errorf("its status is %d, and it has an error: %s %s", a.why.Status, a.why.Kind, a.why.Reason)
	}
	return a, err
}

// maxID is what is compared of an id at most: Elasticsearch has none that is longer.
const maxID = 512

// cause reads {"type":...,"reason":...,"caused_by":{...}}, or a text, as old servers have.
// Of the causes only the nearest is kept.
func (in *scanner) cause(why *Refusal, depth int) error {
	in.skipSpace()
	if in.peek() == '"' {
		reason, err := in.text(maxReason)
		why.Reason = cutText(reason, maxReason)
		return err
	}
	if in.peek() != '{' || depth > 1 {
		return in.skip()
	}
	var below Refusal
	err := in.object(func(key []byte) error {
		switch string(key) {
		case "type":
			kind, err := in.text(maxKind)
			why.Kind = cutText(kind, maxKind)
			return err
		case "reason":
			reason, err := in.text(maxReason)
			why.Reason = cutText(reason, maxReason)
			return err
		case "caused_by":
			return in.cause(&below, depth+1)
		}
		return in.skip()
	})
	if below.Reason != "" && depth == 0 {
		why.Reason = cutText([]byte(why.Reason+": "+below.Reason), maxReason)
	}
	return err
}

// isOf reports whether a document was sent with this id.
func isOf(id []byte, lines []byte) bool {
	_, sent := Target(lines)
	return string(id) == sent
}

// Target is the index and the id that the lines of a document name.
func Target(lines []byte) (index, id string) {
	line, _, _ := bytes.Cut(lines, []byte("\n"))
	var o jsontext.Object
	if !o.Read(line) || len(o.Members) != 1 || !o.Read(o.Members[0].Value) {
		return "", ""
	}
	return text(&o, "_index"), text(&o, "_id")
}
