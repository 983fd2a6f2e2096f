package elastic

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/sluicelog/sluice/indexer/bulk"
	"github.com/sluicelog/sluice/internal/jsontext"
	"github.com/sluicelog/sluice/internal/retry"
)

// Greet asks the cluster for an answer, and whether an index template is for the output's
// indices; only then anything is written. So a role without events becomes ready too, and
// what is wrong shows before there are any. Any answer counts that is no refusal of us and
// no failure: a user who may only write is answered 403. It is called once, and returns when
// the cluster has answered and the output writes.
func (o *Output) Greet() {
	opened := !o.Await
	for o.ctx.Err() == nil && !o.asked.Load() {
		why := o.ask()
		if o.ctx.Err() != nil {
			break
		}
		if why != nil {
			o.reportAsk(why)
		}
		if !opened && (why == nil || why.answered()) { // a proxy may let nothing through but _bulk
			opened = true
			o.awaitTemplate()
		}
		if why == nil {
			if o.ctx.Err() == nil && !o.asked.Load() && o.Health.OK() {
				o.Log.Info("elasticsearch answers")
			}
			return
		}
		retry.Wait(o.ctx, min(o.pauses.Longest, 2*time.Second))
	}
	if !opened {
		close(o.open)
	}
}

// answered reports whether a host has answered with something that is neither an error of
// its own nor of ours.
func (r *Refusal) answered() bool {
	return r.Status != 0 && r.Status != http.StatusUnauthorized && r.Status != http.StatusTooManyRequests && r.Status < 500
}

// reportAsk notes and logs why the cluster does not answer as it should.
func (o *Output) reportAsk(why *Refusal) {
	s := why.Error()
	o.trouble.Store(&s)
	if requestVerdict(why) == bulk.Mend {
		if o.Health.Refuse(why) {
			o.Log.Error("elasticsearch does not let us in; nothing is written until that is mended", "host", why.Host, "error", why)
		}
	} else if o.Health.Fail(why) {
		o.Log.Warn("elasticsearch does not answer, trying again", "host", why.Host, "error", why)
	}
}

// ask asks one host who it is, or the next one if it is to blame.
func (o *Output) ask() *Refusal {
	for {
		ctx, cancel := context.WithTimeout(o.ctx, o.timeout)
		h := o.hosts.take()
		why := h.ask(ctx)
		cancel()
		if o.ctx.Err() != nil {
			o.hosts.back(h)
			return why
		}
		if why == nil || !why.ofHost(requestVerdict(why)) {
			o.hosts.give(h, nil)
			return why
		}
		if !o.hosts.give(h, why) {
			return why
		}
	}
}

// ask asks a host who it is: nil is an answer that Elasticsearch may give to a user who
// may do no more than write.
func (h *host) ask(ctx context.Context) *Refusal {
	res, err := esapi.InfoRequest{}.Do(ctx, h.client)
	if err != nil {
		return noAnswer(h, err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, 256<<10))
	if err != nil {
		return noAnswer(h, err)
	}
	why := &Refusal{Host: h.name, Status: res.StatusCode}
	switch {
	case res.StatusCode == http.StatusOK:
		if isElasticsearch(said) {
			return nil
		}
		why.Reason = "with what starts with " + strconv.Quote(cutText(said, 64))
		return why
	case res.StatusCode == http.StatusForbidden:
		return nil
	}
	why = readRefusal(res.StatusCode, bytes.NewReader(said))
	why.Host = h.name
	if (why.Kind != "" || isNoSuchMethod(said)) && res.StatusCode < 500 && res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusTooManyRequests {
		return nil
	}
	return why
}

// isElasticsearch reports whether an answer to GET / is that of Elasticsearch or of what
// does as it does: they all say a version.
func isElasticsearch(said []byte) bool {
	var o jsontext.Object
	if !o.Read(said) {
		return false
	}
	m, ok := o.Member("version")
	return ok && o.Read(m.Value) && text(&o, "number") != ""
}

// isNoSuchMethod reports whether an answer is that of an Elasticsearch which knows no GET /:
// {"error": "Incorrect HTTP method ...", "status": 405}.
func isNoSuchMethod(said []byte) bool {
	var o jsontext.Object
	if !o.Read(said) {
		return false
	}
	_, ok := o.Member("status")
	return ok && text(&o, "error") != ""
}

// noAnswer is why a host gave no answer, and the cure where it is a matter of settings.
func noAnswer(h *host, err error) *Refusal {
	return &Refusal{Host: h.name, Reason: err.Error(), Cure: cureOf(err, strings.HasPrefix(h.name, "https:"))}
}

// cureOf is what mends an error of a connection; empty: it may pass.
func cureOf(err error, secure bool) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		header    tls.RecordHeaderError
		alert     tls.AlertError
	)
	says := func(s string) bool { return strings.Contains(err.Error(), s) }
	switch {
	case errors.As(err, &authority):
		return "the server's certificate is of an authority that we do not know: name its PEM file in elasticsearch.tls.ca_file"
	case errors.As(err, &name):
		return "the server's certificate is for another name: write that name in elasticsearch.hosts, or in tls.server_name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is not valid now: renew it, or mend the clock of this host"
	case errors.As(err, &invalid), errors.As(err, &verify):
		return "the server's certificate is not to be trusted: give the server another, or check elasticsearch.tls"
	case errors.As(err, &header), says("server gave HTTP response to HTTPS client"):
		return "the server speaks no TLS: write http:// in elasticsearch.hosts and tls.enabled: false, or check the port"
	case errors.As(err, &alert), says("remote error: tls:"):
		return "the server refuses our side of TLS: check elasticsearch.tls.cert_file and key_file"
	case !secure && (says("malformed HTTP response") || says("malformed HTTP version")):
		return "the server does not speak HTTP, it may want TLS: write https:// in elasticsearch.hosts and tls.enabled: true, or check the port"
	}
	return ""
}
