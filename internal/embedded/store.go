package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/blevesearch/bleve/v2/index/scorch"
	index "github.com/blevesearch/bleve_index_api"
)

// StoreOptions say where the store lives and how much it keeps.
type StoreOptions struct {
	Dir      string        // indices and templates; created if missing; one process at a time
	Listen   string        // host:port; empty: a free port of 127.0.0.1
	Hosts    []string      // names under which it may be asked, besides localhost and the addresses it listens on
	Keep     time.Duration // an index that nothing was written to for so long is removed; 0: 7 days
	MaxBytes int64         // on disk; above it indices are removed, the one written to longest ago first, never the last one; 0: 2 GiB
	Page     http.Handler  // what browsers get at / and everybody at /_page; nil: nothing
	Log      *slog.Logger  // nil: slog.Default()
}

// Store is a running store. It answers the part of the Elasticsearch 8 API that bulk
// indexing, searching logs and installing templates need. Its methods may be called from any goroutine.
//
// A bulk item is acknowledged when it is on disk, and can be searched from then on.
type Store struct {
	o       StoreOptions
	lock    *os.File
	ln      net.Listener
	server  *http.Server
	queue   *index.AnalysisQueue
	arrival atomic.Int64 // ns since 1970, grows with each document
	pending atomic.Int64 // bytes of bulk bodies in memory
	started time.Time
	stop    chan struct{}
	work    sync.WaitGroup
	once    sync.Once
	closing error

	mu      sync.RWMutex
	indices map[string]*logIndex

	templates templates
}

const (
	indicesDir       = "indices"
	trimInterval     = time.Minute
	maxOpenIndices   = 1000
	defaultKeep      = 7 * 24 * time.Hour
	defaultMaxBytes  = 2 << 30
	closeGrace       = 5 * time.Second
	compatibleWith   = "8.18.0" // the version clients are told
	productHeader    = "X-Elastic-Product"
	product          = "Elasticsearch"
	asyncErrors      = "sluice"
	maxIndexNameSize = 255
)

func init() {
	// The registry of callbacks is global to scorch; so is the logger.
	var asyncFailures failures
	scorch.RegistryAsyncErrorCallbacks[asyncErrors] = func(err error, path string) {
		if asyncFailures.isNew(path, err, time.Now()) {
			slog.Error("store: index", "path", path, "error", err)
		}
	}
}

// failures are those of tasks of scorch, which tries again many times a second, alternates
// between tasks, and names another segment each time.
type failures struct {
	mu   sync.Mutex
	last map[string]time.Time
}

var segmentName = regexp.MustCompile(`[0-9a-f]+\.zap`)

const failureQuiet = time.Minute // a failure that did not recur for so long is news

// isNew reports whether the same failure of the index at path was not seen for a while.
func (f *failures) isNew(path string, err error, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.last, func(_ string, at time.Time) bool { return now.Sub(at) > failureQuiet })
	key := path + " " + segmentName.ReplaceAllString(err.Error(), "")
	_, known := f.last[key]
	if f.last == nil {
		f.last = map[string]time.Time{}
	}
	f.last[key] = now
	return !known
}

// StartStore opens the indices in o.Dir and listens.
func StartStore(o StoreOptions) (*Store, error) {
	o.Keep = cmp.Or(o.Keep, defaultKeep)
	o.MaxBytes = cmp.Or(o.MaxBytes, defaultMaxBytes)
	o.Log = cmp.Or(o.Log, slog.Default())
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o: o, lock: lock, started: time.Now(), stop: make(chan struct{}),
		indices: map[string]*logIndex{},
		queue:   index.NewAnalysisQueue(runtime.GOMAXPROCS(0)),
	}
	s.arrival.Store(time.Now().UnixNano())
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.closeIndices())
	}
	return s, nil
}

func (s *Store) start() error {
	if err := s.templates.load(filepath.Join(s.o.Dir, "templates.json")); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(s.o.Dir, indicesDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || checkIndexName(e.Name()) != nil {
			continue
		}
		if _, err := s.openIndex(e.Name()); err != nil {
			return err
		}
	}
	if s.ln, err = listenLoopback(s.o.Listen); err != nil {
		return err
	}
	s.server = &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug)}
	s.work.Go(func() { s.server.Serve(s.ln) })
	s.work.Go(s.trimForEver)
	return nil
}

// URL is where the store listens, http://host:port.
func (s *Store) URL() string { return "http://" + s.ln.Addr().String() }

// Close answers the requests under way, up to 5 seconds, and closes the indices.
// Further calls return what the first one did.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.stop)
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		if s.server.Shutdown(ctx) != nil {
			s.server.Close()
		}
		s.work.Wait()
		s.closing = s.closeIndices()
	})
	return s.closing
}

func (s *Store) closeIndices() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, x := range s.indices {
		errs = append(errs, x.close())
	}
	s.queue.Close()
	return errors.Join(append(errs, s.lock.Close())...)
}

// Handler is the whole API, for a server of one's own.
func (s *Store) Handler() http.Handler {
	system, index := http.NewServeMux(), http.NewServeMux()
	handle := func(m *http.ServeMux, path string, f func(http.ResponseWriter, *http.Request) error, methods ...string) {
		for _, method := range methods {
			m.HandleFunc(strings.TrimSpace(method+" "+path), func(w http.ResponseWriter, r *http.Request) {
				if err := f(w, r); err != nil {
					answerError(w, err)
				}
			})
		}
	}
	for m, prefix := range map[*http.ServeMux]string{system: "", index: "/{index}"} {
		handle(m, prefix+"/_bulk", s.bulk, "POST", "PUT")
		handle(m, prefix+"/_search", s.search, "GET", "POST")
		handle(m, prefix+"/_count", s.countDocs, "GET", "POST")
		handle(m, prefix+"/_refresh", s.refresh, "GET", "POST")
		handle(m, "/", noHandler, "")
	}
	handle(system, "/{$}", s.root, "GET")
	if s.o.Page != nil {
		system.Handle("GET /_page", s.o.Page)
	}
	handle(system, "/_cluster/health", s.health, "GET")
	handle(system, "/_cat/indices", s.catIndices, "GET")
	for _, kind := range []string{indexTemplate, componentTemplate} {
		handle(system, "/"+kind, s.templates.list(kind), "GET")
		handle(system, "/"+kind+"/{name}", s.templates.list(kind), "GET")
		handle(system, "/"+kind+"/{name}", s.templates.put(kind), "PUT", "POST")
		handle(system, "/"+kind+"/{name}", s.templates.delete(kind), "DELETE")
	}
	handle(index, "/{index}/_doc/{id}", s.document, "GET")
	handle(index, "/{index}", s.showIndex, "GET")
	handle(index, "/{index}", s.createIndex, "PUT")
	handle(index, "/{index}", s.deleteIndex, "DELETE")
	return s.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; p == "/" || strings.HasPrefix(p, "/_") && !strings.HasPrefix(p, "/_all") {
			system.ServeHTTP(w, r)
		} else {
			index.ServeHTTP(w, r)
		}
	}))
}

func noHandler(_ http.ResponseWriter, r *http.Request) error {
	e := badArgument("no handler found for uri [%s] and method [%s]", r.URL.RequestURI(), r.Method)
	e.plain = true
	return e
}

// guard adds what every answer has, and refuses what a page of another site sends, also of
// one whose name was made to point here meanwhile: its requests name that host.
func (s *Store) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(productHeader, product)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !s.isHost(r) {
			answerError(w, errf(http.StatusForbidden, "security_exception", "host [%s] is not this store; sluice up --host NAME makes it one", r.Host))
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				answerError(w, errf(http.StatusForbidden, "security_exception", "origin [%s] is not this store", origin))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// isHost reports whether r was sent to a name or address of this store. The port does not
// matter: no foreign page can choose it alone.
func (s *Store) isHost(r *http.Request) bool {
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	is := func(other string) bool { return other != "" && strings.EqualFold(name, other) }
	if ip := net.ParseIP(name); ip != nil {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if ip.IsLoopback() || local != nil && local.IP.Equal(ip) {
			return true
		}
	}
	listen, _, _ := net.SplitHostPort(s.o.Listen)
	return is("localhost") || is(listen) || slices.ContainsFunc(s.o.Hosts, is)
}

func (s *Store) root(w http.ResponseWriter, r *http.Request) error {
	if s.o.Page != nil && strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.o.Page.ServeHTTP(w, r)
		return nil
	}
	answer(w, http.StatusOK, map[string]any{
		"name":         "sluice",
		"cluster_name": "sluice",
		"cluster_uuid": "sluice-embedded-store",
		"version": map[string]any{
			"number": compatibleWith, "build_flavor": "default", "build_type": "sluice", "build_snapshot": false,
			"minimum_wire_compatibility_version": "7.17.0", "minimum_index_compatibility_version": "7.0.0",
		},
		"tagline": "You Know, for Search",
	})
	return nil
}

func (s *Store) health(w http.ResponseWriter, _ *http.Request) error {
	n := len(s.all())
	answer(w, http.StatusOK, map[string]any{
		"cluster_name": "sluice", "status": "green", "timed_out": false, "number_of_nodes": 1, "number_of_data_nodes": 1,
		"active_primary_shards": n, "active_shards": n, "relocating_shards": 0, "initializing_shards": 0, "unassigned_shards": 0,
		"number_of_pending_tasks": 0, "active_shards_percent_as_number": 100.0,
	})
	return nil
}

func (s *Store) catIndices(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Get("format") != "json" {
		return badArgument("only format=json is supported")
	}
	rows := []map[string]string{}
	for _, x := range s.all() {
		n, err := x.count()
		if err != nil {
			return err
		}
		size, err := dirSize(x.dir)
		if err != nil {
			return err
		}
		rows = append(rows, map[string]string{
			"health": "green", "status": "open", "index": x.name, "pri": "1", "rep": "0", "docs.count": fmt.Sprint(n), "docs.deleted": "0",
			"store.size": fmt.Sprintf("%db", size), "pri.store.size": fmt.Sprintf("%db", size),
		})
	}
	answer(w, http.StatusOK, rows)
	return nil
}

func (s *Store) refresh(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.match(r); err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string]any{"_shards": shards(1)})
	return nil
}

func (s *Store) document(w http.ResponseWriter, r *http.Request) error {
	name, id := r.PathValue("index"), r.PathValue("id")
	x := s.get(name)
	if x == nil {
		return errNoIndex(name)
	}
	src, err := x.source(id)
	if err != nil {
		return err
	}
	a := map[string]any{"_index": name, "_id": id, "found": src != nil}
	if src == nil {
		answer(w, http.StatusNotFound, a)
		return nil
	}
	a["_version"], a["_source"] = 1, rawJSON(src)
	answer(w, http.StatusOK, a)
	return nil
}

func (s *Store) showIndex(w http.ResponseWriter, r *http.Request) error {
	found, err := s.match(r)
	if err != nil {
		return err
	}
	a := map[string]any{}
	for _, x := range found {
		a[x.name] = map[string]any{"aliases": map[string]any{}, "mappings": map[string]any{}, "settings": map[string]any{}}
	}
	answer(w, http.StatusOK, a)
	return nil
}

func (s *Store) createIndex(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("index")
	if s.get(name) != nil {
		return errf(http.StatusBadRequest, "resource_already_exists_exception", "index [%s] already exists", name)
	}
	if _, err := s.ensure(name); err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string]any{"acknowledged": true, "shards_acknowledged": true, "index": name})
	return nil
}

func (s *Store) deleteIndex(w http.ResponseWriter, r *http.Request) error {
	found, err := s.match(r)
	if err != nil {
		return err
	}
	for _, x := range found {
		if err := s.remove(x); err != nil {
			return err
		}
	}
	answer(w, http.StatusOK, map[string]any{"acknowledged": true})
	return nil
}

func (s *Store) get(name string) *logIndex {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.indices[name]
}

// all are the indices, by name.
func (s *Store) all() []*logIndex {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := make([]*logIndex, 0, len(s.indices))
	for _, x := range s.indices {
		found = append(found, x)
	}
	slices.SortFunc(found, func(a, b *logIndex) int { return cmp.Compare(a.name, b.name) })
	return found
}

// ensure is the index called name, made if there is none.
func (s *Store) ensure(name string) (*logIndex, error) {
	if x := s.get(name); x != nil {
		return x, nil
	}
	if err := checkIndexName(name); err != nil {
		return nil, err
	}
	return s.openIndex(name)
}

func (s *Store) openIndex(name string) (*logIndex, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.indices[name]; x != nil {
		return x, nil
	}
	if len(s.indices) >= maxOpenIndices {
		return nil, errf(http.StatusBadRequest, "validation_exception", "this action would add [1] shards, but this cluster has [%d] of at most [%d]", len(s.indices), maxOpenIndices)
	}
	x, err := openIndex(name, filepath.Join(s.o.Dir, indicesDir, name), s.queue, &s.arrival)
	if err != nil {
		return nil, err
	}
	s.indices[name] = x
	return x, nil
}

// remove closes x and deletes its files.
func (s *Store) remove(x *logIndex) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.indices[x.name] != x {
		return nil
	}
	delete(s.indices, x.name)
	if err := x.close(); err != nil {
		return fmt.Errorf("close index %s: %w", x.name, err)
	}
	return os.RemoveAll(x.dir)
}

// match are the indices that the path of r names: all of them without a name, otherwise a
// list of names and * patterns, those with a minus in front taken off again.
func (s *Store) match(r *http.Request) ([]*logIndex, error) {
	expr := r.PathValue("index")
	all := s.all()
	if expr == "" || expr == "_all" || expr == "*" {
		return all, nil
	}
	lenient := r.URL.Query().Get("ignore_unavailable") == "true"
	chosen := map[string]bool{}
	for _, name := range strings.Split(expr, ",") {
		name, minus := strings.CutPrefix(name, "-")
		found := false
		for _, x := range all {
			if globMatch(name, x.name) {
				chosen[x.name], found = !minus, true
			}
		}
		if !found && !lenient && !strings.Contains(name, "*") {
			return nil, errNoIndex(name)
		}
	}
	return slices.DeleteFunc(all, func(x *logIndex) bool { return !chosen[x.name] }), nil
}

// globMatch tells whether name is what pattern means, * being any text.
func globMatch(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(name, parts[0])
	if len(parts) == 1 || !ok {
		return ok && rest == ""
	}
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// checkIndexName holds names to the rules of Elasticsearch, which also make each of them
// the name of a directory.
func checkIndexName(name string) error {
	bad := func(why string) error {
		e := errf(http.StatusBadRequest, "invalid_index_name_exception", "Invalid index name [%s], %s", name, why)
		e.index = name
		return e
	}
	switch {
	case name == "" || name == "." || name == "..":
		return bad("must not be empty, '.' or '..'")
	case len(name) > maxIndexNameSize:
		return bad(fmt.Sprintf("index name is too long, (%d > %d)", len(name), maxIndexNameSize))
	case strings.ContainsAny(name[:1], "_-+"):
		return bad("must not start with '_', '-', or '+'")
	case strings.ContainsFunc(name, unicode.IsUpper):
		return bad("must be lowercase")
	case strings.ContainsAny(name, `\/*?"<>| ,#:`) || strings.ContainsFunc(name, unicode.IsControl):
		return bad(`must not contain the following characters [ , ", *, \, <, |, ,, >, /, ?, #, :]`)
	}
	return nil
}

func (s *Store) trimForEver() {
	t := time.NewTicker(trimInterval)
	defer t.Stop()
	for {
		if err := s.trim(time.Now()); err != nil {
			s.o.Log.Error("store: remove old indices", "error", err)
		}
		select {
		case <-t.C:
		case <-s.stop:
			return
		}
	}
}

// trim removes indices by age and then by size.
func (s *Store) trim(now time.Time) error {
	type sized struct {
		*logIndex
		size int64
	}
	var kept []sized
	var total int64
	for _, x := range s.all() {
		if now.Sub(time.Unix(0, x.written.Load())) > s.o.Keep {
			if err := s.removeOld(x, "age"); err != nil {
				return err
			}
			continue
		}
		size, err := dirSize(x.dir)
		if err != nil {
			return err
		}
		kept, total = append(kept, sized{x, size}), total+size
	}
	slices.SortFunc(kept, func(a, b sized) int { return cmp.Compare(a.written.Load(), b.written.Load()) })
	for len(kept) > 1 && total > s.o.MaxBytes {
		if err := s.removeOld(kept[0].logIndex, "size"); err != nil {
			return err
		}
		total -= kept[0].size
		kept = kept[1:]
	}
	return nil
}

func (s *Store) removeOld(x *logIndex, why string) error {
	s.o.Log.Info("store: removing an old index", "index", x.name, "by", why)
	return s.remove(x)
}

// shards is the _shards member of an answer about n indices.
func shards(n int) map[string]any {
	return map[string]any{"total": n, "successful": n, "skipped": 0, "failed": 0}
}
