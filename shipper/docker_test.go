package shipper

import (
	"encoding/json"
	"fmt"
	"github.com/sluicelog/sluice/shipper/internal/shiptest"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicelog/sluice/config"
)

// fakeDaemon answers events, list, inspect and info on a unix socket, as dockerd does,
// and writes json-file logs.
type fakeDaemon struct {
	t    *testing.T
	root string
	sock string

	mu         sync.Mutex
	containers map[string]*fakeContainer
	streams    map[chan string]bool
	blind      bool          // inspect finds nothing
	broken     string        // the container that inspect fails for
	slow       time.Duration // inspect takes so long
	inspects   int           // under way
	most       int           // of them
	files      bool          // config.v2.json and hostconfig.json lie beside logs
	lists      int
	server     *http.Server
}

type fakeContainer struct {
	ID, Name, Image, Driver string
	Env                     []string
	Labels                  map[string]string
	State                   string
}

func newFakeDaemon(t *testing.T) *fakeDaemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "dockerd") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &fakeDaemon{t: t, root: filepath.Join(dir, "root"), sock: filepath.Join(dir, "s"), containers: map[string]*fakeContainer{}, streams: map[chan string]bool{}}
	if err := os.MkdirAll(filepath.Join(d.root, "containers"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.listen()
	t.Cleanup(d.close)
	return d
}

func (d *fakeDaemon) listen() {
	d.t.Helper()
	l, err := net.Listen("unix", d.sock)
	if err != nil {
		d.t.Fatal(err)
	}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"DockerRootDir": d.root}) })
	mux.HandleFunc("GET /containers/json", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lists++
		list := []map[string]any{}
		for _, c := range d.containers {
			if d.blind {
				continue
			}
			list = append(list, map[string]any{"Id": c.ID, "Names": []string{"/" + c.Name}, "State": c.State})
		}
		answer(w, list)
	})
	mux.HandleFunc("GET /containers/{id}/json", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.inspects++
		d.most = max(d.most, d.inspects)
		d.mu.Unlock()
		time.Sleep(d.slow)
		d.mu.Lock()
		d.inspects--
		if r.PathValue("id") == d.broken {
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		c := d.containers[r.PathValue("id")]
		if c == nil || d.blind {
			w.WriteHeader(http.StatusNotFound)
			answer(w, map[string]any{"message": "No such container"})
			return
		}
		answer(w, map[string]any{
			"Id": c.ID, "Name": "/" + c.Name, "LogPath": d.log(c.ID),
			"Config":     map[string]any{"Env": c.Env, "Labels": c.Labels, "Image": c.Image},
			"HostConfig": map[string]any{"LogConfig": map[string]any{"Type": c.Driver}},
		})
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		events := make(chan string, 2000)
		d.mu.Lock()
		d.streams[events] = true
		d.mu.Unlock()
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for {
			select {
			case e, ok := <-events:
				if !ok {
					return
				}
				fmt.Fprintln(w, e)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	d.server = &http.Server{Handler: mux}
	go d.server.Serve(l)
}

func (d *fakeDaemon) close() { d.server.Close() }

// drop ends all event streams.
func (d *fakeDaemon) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.streams {
		close(c)
		delete(d.streams, c)
	}
}

func (d *fakeDaemon) event(action, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	actor := map[string]any{"ID": id}
	if c := d.containers[id]; c != nil {
		attributes := maps.Clone(c.Labels)
		if attributes == nil {
			attributes = map[string]string{}
		}
		attributes["name"], attributes["image"] = c.Name, c.Image
		actor["Attributes"] = attributes
	}
	e, err := json.Marshal(map[string]any{"Type": "container", "Action": action, "Actor": actor, "id": id, "status": action, "time": time.Now().Unix()})
	if err != nil {
		d.t.Error(err)
	}
	for c := range d.streams {
		c <- string(e)
	}
}

func (d *fakeDaemon) streaming() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.streams) > 0
}

func (d *fakeDaemon) log(id string) string {
	return filepath.Join(d.root, "containers", id, id+"-json.log")
}

func fakeID(n int) string { return fmt.Sprintf("%064x", n) }

// add makes a running container with an empty log; quietly leaves the event out.
func (d *fakeDaemon) add(c fakeContainer, quietly bool) {
	d.t.Helper()
	if c.Driver == "" {
		c.Driver = "json-file"
	}
	if c.State == "" {
		c.State = "running"
	}
	if err := os.MkdirAll(filepath.Dir(d.log(c.ID)), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if d.files {
		for name, what := range map[string]any{
			"config.v2.json":  map[string]any{"ID": c.ID, "Name": "/" + c.Name, "Config": map[string]any{"Env": c.Env, "Labels": c.Labels, "Image": c.Image}},
			"hostconfig.json": map[string]any{"LogConfig": map[string]any{"Type": c.Driver, "Config": map[string]string{}}},
		} {
			b, err := json.Marshal(what)
			if err != nil {
				d.t.Fatal(err)
			}
			shiptest.Append(d.t, filepath.Join(filepath.Dir(d.log(c.ID)), name), string(b))
		}
	}
	shiptest.Append(d.t, d.log(c.ID), "")
	d.mu.Lock()
	d.containers[c.ID] = &c
	d.mu.Unlock()
	if !quietly {
		d.event("start", c.ID)
	}
}

func (d *fakeDaemon) remove(id string, quietly bool) {
	d.t.Helper()
	d.mu.Lock()
	delete(d.containers, id)
	d.mu.Unlock()
	if err := os.RemoveAll(filepath.Dir(d.log(id))); err != nil {
		d.t.Fatal(err)
	}
	if !quietly {
		d.event("die", id)
		d.event("destroy", id)
	}
}

// write appends a line as dockerd logs it, in pieces of 16 KiB.
func (d *fakeDaemon) write(id, stream, line string) {
	d.t.Helper()
	shiptest.Append(d.t, d.log(id), pieces16(stream, line+"\n", time.Now()))
}

func (s *site) docker() *fakeDaemon {
	s.t.Helper()
	d := newFakeDaemon(s.t)
	s.cfg.Shipper.Docker.Enabled = true
	s.cfg.Shipper.Docker.Endpoint = "unix://" + d.sock
	s.cfg.Shipper.Docker.ListInterval = config.Duration(100 * time.Millisecond)
	s.cfg.Shipper.Docker.Timeout = config.Duration(2 * time.Second)
	return d
}

func TestContainersAreFollowedWithTheirTags(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	s.cfg.Shipper.Docker.FieldsFromLabels = []string{"team*"}
	d.add(fakeContainer{ID: fakeID(1), Name: "mesos-6f2a1c34-x", Image: "registry:5000/shop/order:1.2", Labels: map[string]string{"team.name": "order", "other": "x"}, Env: []string{
		"MESOS_TASK_ID=order.6f2a", "MARATHON_APP_ID=/prod/order", "MARATHON_APP_VERSION=2026-11-20T10:00:00Z", "MARATHON_APP_LABEL_TIER=gold", "PASSWORD=secret",
	}}, true)
	d.write(fakeID(1), "stdout", "before the start")
	s.start()
	s.wait(1)
	d.write(fakeID(1), "stderr", "")
	d.write(fakeID(1), "stdout", "say \"hi\" \x1b[31m<上海>")
	s.wait(3)
	s.until("stream", d.streaming)
	d.add(fakeContainer{ID: fakeID(2), Name: "web", Image: "nginx"}, false)
	d.write(fakeID(2), "stdout", "second container")
	s.wait(4)
	d.drop() // events are lost; the list finds it
	d.add(fakeContainer{ID: fakeID(3), Name: "listed", Image: "nginx"}, true)
	d.write(fakeID(3), "stdout", "third container")
	s.wait(5)
	e := s.only("before the start")
	if e.Mesos["task_id"] != "order.6f2a" || e.Marathon["app_id"] != "/prod/order" || e.Marathon["version"] != "2026-11-20T10:00:00Z" || e.Service["name"] != "prod/order" || e.headers["app"] != "prod/order" ||
		e.Labels["tier"] != "gold" || e.Labels["dc"] != "dc1" || len(e.Labels) != 2 || e.Container.ID != fakeID(1) || e.Container.Labels["team_name"] != "order" || len(e.Container.Labels) != 1 {
		t.Errorf("tags of %+v", e)
	}
	if e := s.only("second container"); e.Service["name"] != "web" || e.headers["app"] != "web" || e.Stream != "stdout" {
		t.Errorf("tags of %+v", e)
	}
	s.want("before the start", "", "say \"hi\" \x1b[31m<上海>", "second container", "third container")
}

func TestContainerThatDiesBeforeInspectIsShippedWithItsID(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	d.blind = true
	s.start()
	s.until("stream", d.streaming)
	s.until("list", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.lists > 1 })
	const n = 10
	for i := range n {
		id := fakeID(100 + i)
		d.add(fakeContainer{ID: id, Name: "short", Image: "busybox"}, true)
		s.until("open file", func() bool { return s.counter("shipper_opened_files_total") == float64(i+1) })
		d.write(id, "stdout", fmt.Sprintf("short %d", i))
		d.remove(id, false)
	}
	s.wait(n)
	if e := s.only("short 7"); e.Container.ID != fakeID(107) || e.Container.Name != "" {
		t.Errorf("%+v", e)
	}
	s.until("end of all sources", func() bool { return s.counter("shipper_sources") == 0 && s.counter("shipper_open_files") == 0 })
}

// Their logs are open before they are removed; the daemon is too slow to say what they
// were, so that is known from dockerd's files beside the log, or from events.
func TestManyShortContainersAreShippedWithTheirTagsThoughInspectIsSlow(t *testing.T) {
	f := func(name string, files bool) {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			d := s.docker()
			s.cfg.Shipper.Docker.ListInterval = config.Duration(time.Minute) // events, but for the lists at start
			d.files, d.slow = files, 200*time.Millisecond
			s.start()
			s.until("stream", d.streaming)
			s.until("list", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.lists > 1 })
			const n = 200
			add := func(i int, labels map[string]string) {
				c := fakeContainer{ID: fakeID(100 + i), Name: fmt.Sprintf("short-%d", i), Image: "busybox:1", Labels: labels, Env: []string{"MESOS_TASK_ID=task"}}
				d.add(c, false)
				d.write(c.ID, "stdout", fmt.Sprintf("line of %d", i))
			}
			for i := range n {
				add(i, nil)
			}
			add(n, map[string]string{"co.elastic.logs/enabled": "false"})
			s.until("open files", func() bool {
				return s.counter("shipper_opened_files_total")+s.counter("shipper_containers_skipped_total") > n
			})
			for i := range n + 1 {
				d.remove(fakeID(100+i), false)
			}
			s.wait(n)
			for i := range n {
				e := s.only(fmt.Sprintf("line of %d", i))
				if e.Container.Name != fmt.Sprintf("short-%d", i) || e.Service["name"] != e.Container.Name || files && e.Mesos["task_id"] != "task" {
					t.Fatalf("tags of %+v", e)
				}
			}
			s.until("end of all sources", func() bool { return s.counter("shipper_sources") == 0 && s.counter("shipper_open_files") == 0 })
			s.settle()
			if n := s.counter("shipper_missed_containers_total"); n != 0 || len(s.order) != 200 {
				t.Errorf("%v missed, %d records", n, len(s.order))
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.most > 4 {
				t.Errorf("%d containers were inspected at once", d.most)
			}
		})
	}
	f("dockerd's files", true)
	f("events", false)
}

func TestShortLivedContainersAreShippedOrCounted(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	s.start()
	s.until("stream", d.streaming)
	const n = 20
	for i := range n {
		id := fakeID(100 + i)
		d.add(fakeContainer{ID: id, Name: "short", Image: "busybox"}, false)
		d.write(id, "stdout", fmt.Sprintf("short %d", i))
		time.Sleep(time.Duration(i) * time.Millisecond)
		d.remove(id, false)
	}
	s.until("account of every container", func() bool {
		return float64(len(s.events))+s.counter("shipper_missed_containers_total") >= n
	})
	s.settle()
	if got, missed := len(s.events), s.counter("shipper_missed_containers_total"); float64(got)+missed != n {
		t.Errorf("%d shipped and %v missed of %d", got, missed, n)
	}
	s.until("end of all sources", func() bool { return s.counter("shipper_sources") == 0 && s.counter("shipper_open_files") == 0 })
}

func TestContainersThatOptOutAreCounted(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	s.cfg.Shipper.Docker.ExcludeNames = []string{"k8s_*"}
	for i, c := range []fakeContainer{
		{Name: "a", Labels: map[string]string{"co.elastic.logs/enabled": "false"}},
		{Name: "b", Env: []string{"LOGSPOUT=ignore"}},
		{Name: "k8s_pause"},
		{Name: "j", Driver: "journald"},
		{Name: "ok"},
	} {
		c.ID = fakeID(i + 1)
		d.add(c, true)
		d.write(c.ID, "stdout", c.Name)
	}
	s.start()
	s.wait(1)
	s.settle()
	s.want("ok")
	if n := s.counter("shipper_containers_skipped_total"); n != 4 {
		t.Errorf("%v skipped, want 4", n)
	}
}

func TestDockerAwayIsToldAndFilesAreStillFollowed(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	d.add(fakeContainer{ID: fakeID(1), Name: "web", Image: "nginx"}, true)
	d.write(fakeID(1), "stdout", "one")
	s.start()
	s.wait(1)
	s.positionsDone()
	d.close()
	s.until("log of the error", func() bool { return s.logged("docker does not answer") })
	d.write(fakeID(1), "stdout", "two")
	s.wait(2)
	s.stop()
	d.write(fakeID(1), "stdout", "three")
	s.start() // still away: what was known of the container is enough
	d.write(fakeID(1), "stdout", "four")
	s.wait(4)
	if e := s.only("four"); e.Service["name"] != "web" {
		t.Errorf("tags of %+v", e)
	}
	d.listen()
	s.until("log of the recovery", func() bool { return s.logged("docker answers") })
	d.write(fakeID(1), "stdout", "five")
	s.wait(5)
	s.settle()
	if len(s.order) != 5 {
		t.Errorf("%d records, want 5", len(s.order))
	}
}

func TestOneBrokenContainerHoldsUpNoOtherAndIsToldOnce(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	s.cfg.Shipper.Docker.ListInterval = config.Duration(20 * time.Millisecond)
	bad, good := fakeID(1), fakeID(2)
	d.broken = bad
	d.add(fakeContainer{ID: bad, Name: "bad"}, true)
	d.add(fakeContainer{ID: good, Name: "good"}, true)
	d.write(bad, "stdout", "of the broken one")
	d.write(good, "stdout", "of the other")
	s.start()
	s.wait(1)
	s.until("tries", func() bool { return s.counter("shipper_docker_errors_total") > 5 })
	for what, want := range map[string]int{"cannot be inspected": 1, "does not answer": 0, "docker answers": 1} {
		if n := strings.Count(s.log.String(), what); n != want {
			t.Errorf("%q told %d times, want %d", what, n, want)
		}
	}
	d.mu.Lock()
	d.broken = ""
	d.mu.Unlock()
	s.wait(2)
	s.until("the end of it", func() bool { return s.logged("can be inspected again") })
}

// Docker tells of a container in events, in lists and when it is asked, and what comes
// last may be what an event says, long after the container was removed.
func TestLogsAreOpenedAlsoIfTheirDirectoryCameLate(t *testing.T) {
	s := newSite(t)
	d := s.docker()
	d.blind = true
	if err := os.Remove(filepath.Join(d.root, "containers")); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.until("a warning", func() bool { return s.logged("not opened before Docker reports") })
	for i := range 3 {
		d.add(fakeContainer{ID: fakeID(i), Name: "short"}, true)
		d.write(fakeID(i), "stdout", "line")
	}
	s.until("open files", func() bool { return s.counter("shipper_opened_files_total") == 3 })
	for i := range 3 {
		d.remove(fakeID(i), false)
	}
	s.wait(3)
}
