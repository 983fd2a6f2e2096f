package elastic

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/retry"
)

// hosts are those of one cluster, and how each of them does. A request goes to the one
// with the fewest under way among those that are well. A host that does not answer as it
// should is left out, and the others carry all; a probe, after a pause that doubles, brings
// it back, with one request at a time until one has gone well. Where none is well all are
// tried: it is the cluster that is away. Any number of goroutines may use it.
type hosts struct {
	all     []*host
	log     *slog.Logger
	timeout time.Duration          // of a probe
	pauses  retry.Backoff          // before a probe
	changed func(unwell int)       // called with every change, under the lock
	probe   func(h *host) *Refusal // nil: it is well

	mu    sync.Mutex
	turn  int  // where to look first; guarded by mu
	ended bool // nothing is probed any more; guarded by mu
}

// host is one of them.
type host struct {
	name   string // its URL
	client *elastictransport.Client
	idle   func() // closes connections that are not used, so that its name is resolved anew

	// Guarded by the hosts' mu.
	busy     int       // requests under way
	failures int       // since one has gone well
	out      bool      // left out until a probe goes well
	since    time.Time // of the first failure
	why      *Refusal  // the last
	renewed  time.Time // when unused connections were closed
}

// renewAfter is how long connections are kept before the name of their host is resolved
// again, at the next time that they are not in use.
const renewAfter = time.Minute

// newHosts makes the hosts of a cluster, with so many connections to each at most. It does
// not connect.
func newHosts(c *config.Elasticsearch, conns int) (*hosts, error) {
	hs := &hosts{timeout: min(c.Timeout.D(), 10*time.Second), log: slog.New(slog.DiscardHandler), changed: func(int) {},
		pauses: retry.Backoff{First: time.Second, Longest: 30 * time.Second}}
	hs.probe = hs.ask
	for i := range c.Hosts {
		h, err := newHost(c, i, conns)
		if err != nil {
			return nil, err
		}
		hs.all = append(hs.all, h)
	}
	return hs, nil
}

// take is the host that the next request is to go to; give gives it back.
func (hs *hosts) take() *host {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	var best *host
	for i := range hs.all {
		h := hs.all[(hs.turn+i)%len(hs.all)]
		if best == nil || h.better(best) {
			best = h
		}
	}
	hs.turn++
	best.busy++
	if time.Since(best.renewed) > renewAfter {
		best.renewed = time.Now()
		go best.idle()
	}
	return best
}

// better is whether a host is to be taken rather than another.
func (h *host) better(o *host) bool {
	switch a, b := h.usable(), o.usable(); {
	case a != b:
		return a
	case h.out != o.out:
		return o.out
	case !a && h.failures != o.failures:
		return h.failures < o.failures
	}
	return h.busy < o.busy
}

// usable is whether requests may go to it.
func (h *host) usable() bool { return !h.out && (h.failures == 0 || h.busy == 0) }

// give gives a host back. With a refusal that is its fault it is left out; give then
// reports whether another is there to be tried at once.
func (hs *hosts) give(h *host, why *Refusal) (another bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h.busy--
	if why == nil {
		hs.well(h)
		return false
	}
	for _, o := range hs.all {
		another = another || o != h && !o.out
	}
	hs.unwell(h, why)
	return another
}

// back gives a host back of which nothing was learned.
func (hs *hosts) back(h *host) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h.busy--
}

// well notes that a host does as it should. The caller holds mu.
func (hs *hosts) well(h *host) {
	if h.failures == 0 {
		return
	}
	if len(hs.all) > 1 {
		hs.log.Info("a host of the cluster is used again", "host", h.name, "after", time.Since(h.since).Round(time.Millisecond))
	}
	h.failures, h.out, h.why = 0, false, nil
	hs.changed(hs.unwellNow())
}

// unwell leaves a host out until a probe goes well. The caller holds mu.
func (hs *hosts) unwell(h *host, why *Refusal) {
	h.why = why
	if h.failures == 0 {
		h.since = time.Now()
	}
	if h.out || hs.ended {
		return // requests that were under way
	}
	h.failures++
	go h.idle()
	hs.changed(hs.unwellNow())
	if len(hs.all) == 1 {
		return // there is nothing to be chosen
	}
	h.out = true
	time.AfterFunc(hs.pauses.Pause(h.failures), func() { hs.look(h) })
	if h.failures > 1 {
		return
	}
	log := hs.log.Warn
	if why.Cure != "" {
		log = hs.log.Error
	}
	log("a host of the cluster is left out, the others carry on", "host", h.name, "error", why)
}

// look probes a host that is left out.
func (hs *hosts) look(h *host) {
	why := hs.probe(h)
	hs.mu.Lock()
	defer hs.mu.Unlock()
	switch {
	case hs.ended || !h.out:
	case why == nil:
		h.out = false // and failures stay: the first request shows
	default:
		h.why = why
		h.failures++
		go h.idle()
		time.AfterFunc(hs.pauses.Pause(h.failures), func() { hs.look(h) })
	}
}

// end ends the probes.
func (hs *hosts) end() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.ended = true
}

// unwellNow is how many hosts are left out, or back for one request. The caller holds mu.
func (hs *hosts) unwellNow() (n int) {
	for _, h := range hs.all {
		if h.failures > 0 {
			n++
		}
	}
	return n
}

// HostStatus is a host in /status.
type HostStatus struct {
	Host  string     `json:"host"`
	Busy  int        `json:"requests_under_way"`
	Since *time.Time `json:"unwell_since,omitempty"`
	Error string     `json:"error,omitempty"`
}

func (hs *hosts) status() (out []HostStatus) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.all {
		s := HostStatus{Host: h.name, Busy: h.busy}
		if h.failures > 0 {
			since := h.since
			s.Since, s.Error = &since, h.why.Error()
		}
		out = append(out, s)
	}
	return out
}

// ask asks a host who it is: nil is an answer that Elasticsearch may give to a user who
// may do no more than write.
func (hs *hosts) ask(h *host) *Refusal {
	ctx, cancel := context.WithTimeout(context.Background(), hs.timeout)
	defer cancel()
	return h.ask(ctx)
}

// Perform implements esapi.Transport for requests other than _bulk: one host after the
// other is tried until one answers as it should. The body, if there is one, has to be of
// a kind that net/http can send again.
func (hs *hosts) Perform(req *http.Request) (*http.Response, error) {
	for {
		h := hs.take()
		try := req.Clone(req.Context())
		if req.GetBody != nil {
			var err error
			if try.Body, err = req.GetBody(); err != nil {
				hs.back(h)
				return nil, err
			}
		}
		res, err := h.client.Perform(try)
		var why *Refusal
		switch {
		case req.Context().Err() != nil:
			hs.back(h)
			return res, err
		case err != nil:
			why = noAnswer(h, err)
		case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
			why = &Refusal{Host: h.name, Status: res.StatusCode}
		}
		if !hs.give(h, why) {
			if err != nil {
				return nil, why
			}
			return res, nil
		}
		if err == nil {
			res.Body.Close()
		}
	}
}
