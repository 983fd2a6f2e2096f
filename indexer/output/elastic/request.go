package elastic

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/sluicelog/sluice/indexer/bulk"
)

var filterPath = []string{"errors", "items.*.status", "items.*.error.type", "items.*.error.reason", "items.*.error.caused_by.type", "items.*.error.caused_by.reason"}

// post sends the items from lo to hi, exclusive, to a host. With a nil refusal the cluster has
// answered for each of them, and judge was called for those that are not stored; the
// others have the verdict Stored. A refusal is of the request as a whole.
func (o *Output) post(h *host, b *bulk.Bulk, lo, hi int, judge func(i int, v bulk.Verdict, why *Refusal)) *Refusal {
	plain := b.Lines(lo, hi)
	send := plain
	header := http.Header{"Content-Type": {"application/x-ndjson"}, "X-Elastic-Event-Count": {strconv.Itoa(hi - lo)}}
	if o.level > 0 {
		send = b.Gzip(plain, o.level)
		header.Set("Content-Encoding", "gzip")
		header.Set("X-Elastic-Uncompressed-Request-Length", strconv.Itoa(len(plain)))
	}
	o.asked.Store(true)
	o.Figures.Bytes.Add(float64(len(plain)))
	o.Figures.Sent.Add(float64(len(send)))

	ctx, cancel := context.WithTimeout(o.ctx, o.timeout)
	defer cancel()
	in := newBody(send)
	started := time.Now()
	res, err := esapi.BulkRequest{Body: in, FilterPath: filterPath, Header: header}.Do(ctx, h.client)
	var why *Refusal
	status := 0
	if err != nil {
		why = noAnswer(h, err)
	} else {
		status = res.StatusCode
		if status == http.StatusOK {
			err = readItems(res.Body, b, lo, hi, judge)
			switch {
			case errors.Is(err, errNotBulk):
				why = &Refusal{Status: status, Reason: err.Error()}
			case err != nil:
				why = &Refusal{Reason: "read the answer to _bulk: " + err.Error()}
			}
		} else {
			why = readRefusal(status, res.Body)
		}
		res.Body.Close()
	}
	if why != nil {
		why.Host = h.name
	}
	cancel()
	o.Figures.Seconds.Observe(time.Since(started).Seconds())
	o.Figures.Requests(status).Inc()
	if in.handed {
		<-in.closed // from here on nobody reads the buffer
	}
	return why
}
