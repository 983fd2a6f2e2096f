package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluicelog/sluice/test/servers"
)

// Elastic asks an Elasticsearch what the load test wants to know of it.
type Elastic struct{ URL string }

// Call sends a request and returns the answer's body.
func (e Elastic) Call(ctx context.Context, method, path, body string) ([]byte, error) {
	return servers.Call(ctx, method, e.URL+path, body)
}

// Count is how many documents a search finds, after a refresh if wanted.
func (e Elastic) Count(ctx context.Context, index string, refresh bool) (int64, error) {
	if refresh {
		if _, err := e.Call(ctx, "POST", "/"+index+"/_refresh", ""); err != nil {
			return 0, err
		}
	}
	text, err := e.Call(ctx, "GET", "/"+index+"/_count", "")
	if err != nil {
		return 0, err
	}
	var n struct{ Count int64 }
	return n.Count, json.Unmarshal(text, &n)
}

// Read hands every document of the indices to see, in no order; the value is the whole
// hit. Each document comes once.
func (e Elastic) Read(ctx context.Context, index string, see func(value []byte, at time.Time)) error {
	if _, err := e.Call(ctx, "POST", "/"+index+"/_refresh", ""); err != nil {
		return err
	}
	text, err := e.Call(ctx, "POST", "/"+index+"/_search?scroll=2m", `{"size":5000,"sort":["_doc"],"_source":["message","event.original","log.offset","log.size"]}`)
	for {
		if err != nil {
			return fmt.Errorf("read %s: %w", index, err)
		}
		var page struct {
			ScrollID string `json:"_scroll_id"`
			Shards   struct {
				Failed int
			} `json:"_shards"`
			Hits struct{ Hits []json.RawMessage }
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return fmt.Errorf("read %s: %w", index, err)
		}
		if page.Shards.Failed > 0 {
			return fmt.Errorf("read %s: %d shards failed", index, page.Shards.Failed)
		}
		if len(page.Hits.Hits) == 0 {
			_, err := e.Call(ctx, "DELETE", "/_search/scroll", fmt.Sprintf(`{"scroll_id":%q}`, page.ScrollID))
			return err
		}
		for _, h := range page.Hits.Hits {
			see(h, time.Time{})
		}
		text, err = e.Call(ctx, "POST", "/_search/scroll", fmt.Sprintf(`{"scroll":"2m","scroll_id":%q}`, page.ScrollID))
	}
}
