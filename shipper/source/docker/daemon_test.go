package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/admin"
	"github.com/sluicelog/sluice/internal/metrics"
	"github.com/sluicelog/sluice/shipper/source"
)

// engine answers the API in memory, in the place of a client's connections.
type engine struct {
	mu         sync.Mutex
	away       bool
	lists      int
	containers map[string]string // inspect's answers, by id
	events     *io.PipeWriter    // nil: nobody listens
}

func (e *engine) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away {
		return nil, errors.New("connection refused")
	}
	answer := func(status int, body io.ReadCloser) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: body, Request: r}, nil
	}
	text := func(status int, s string) (*http.Response, error) {
		return answer(status, io.NopCloser(strings.NewReader(s)))
	}
	path := r.URL.Path
	switch id := strings.TrimSuffix(strings.TrimPrefix(path, "/containers/"), "/json"); {
	case strings.HasSuffix(path, "/events"):
		body, w := io.Pipe()
		e.events = w
		return answer(http.StatusOK, body)
	case strings.HasSuffix(path, "/containers/json"):
		e.lists++
		var all []map[string]string
		for id := range e.containers {
			all = append(all, map[string]string{"Id": id, "State": "running"})
		}
		b, err := json.Marshal(all)
		if err != nil {
			return nil, err
		}
		return text(http.StatusOK, string(b))
	case strings.HasSuffix(path, "/info"):
		return text(http.StatusOK, `{"DockerRootDir":"/none"}`)
	case e.containers[id] != "":
		return text(http.StatusOK, e.containers[id])
	}
	return text(http.StatusNotFound, `{"message":"No such container"}`)
}

func (e *engine) add(id, name string, env ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	vars, err := json.Marshal(env)
	if err != nil {
		panic(err)
	}
	e.containers[id] = fmt.Sprintf(`{"Id":%q,"Name":%q,"LogPath":%q,"Config":{"Image":"nginx:1","Env":%s},"HostConfig":{"LogConfig":{"Type":"json-file"}}}`, id, "/"+name, "/none/"+id, vars)
}

func (e *engine) remove(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.containers, id)
}

func (e *engine) set(away bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away = away
	if away && e.events != nil {
		_ = e.events.CloseWithError(errors.New("connection reset"))
		e.events = nil
	}
}

func (e *engine) event(t *testing.T, action, id string) {
	t.Helper()
	synctest.Wait()
	e.mu.Lock()
	w := e.events
	e.mu.Unlock()
	if _, err := fmt.Fprintf(w, `{"Type":"container","Action":%q,"Actor":{"ID":%q}}`+"\n", action, id); err != nil {
		t.Error(err)
	}
}

// follower runs a Daemon on an engine and looks at what it sends.
type follower struct {
	*engine
	t       *testing.T
	d       *Daemon
	state   *admin.State
	changes chan source.Change
}

// follow runs do in a bubble, beside a Daemon that was given what it had kept.
func follow(t *testing.T, kept map[string][]byte, do func(*follower)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &follower{engine: &engine{containers: map[string]string{}}, t: t, state: admin.NewState("shipper"), changes: make(chan source.Change, 100)}
		cfg := config.Default().Shipper.Docker
		cfg.Dataset = "docker"
		d, err := New(cfg, apps(t), slog.New(slog.DiscardHandler), metrics.New("shipper", "h"), f.state.Need("docker"), nil)
		if err != nil {
			t.Fatal(err)
		}
		f.d, d.api.client.HTTPClient.Transport = d, f.engine
		for _, c := range d.Recall(kept) {
			f.changes <- c
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { d.Run(ctx, f.changes) })
		do(f)
		f.set(true)
		cancel()
		running.Wait()
	})
}

// want checks what was sent since the last call, as "what name" of container i.
func (f *follower) want(want ...string) (last source.Change) {
	f.t.Helper()
	synctest.Wait()
	var got []string
	for len(f.changes) > 0 {
		last = <-f.changes
		what := []string{source.Came: "came", source.Changed: "changed", source.Gone: "gone", source.Missed: "missed", source.Dropped: "dropped"}[last.What]
		got = append(got, what+" "+strings.TrimLeft(last.Spec.Name, "0"))
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		f.t.Errorf("%q, want %q", got, want)
	}
	return last
}

func TestContainersComeByListsAndEvents(t *testing.T) {
	follow(t, nil, func(f *follower) {
		f.want()
		f.add(testID(1), "listed")
		time.Sleep(config.Default().Shipper.Docker.ListInterval.D())
		f.want("changed 1")
		f.add(testID(2), "web", "MARATHON_APP_ID=/flight/api")
		f.event(t, "start", testID(2))
		c := f.want("changed 2")
		s := c.Spec
		if s.Kind != source.KindDocker || s.Path != "/none/"+testID(2) || s.Decoder != source.JSONFile || s.Joiner != source.Pieces ||
			s.Tags.ServiceName != "flight/api" || s.Tags.ContainerID != testID(2) || s.Tags.Dataset != "docker" ||
			!s.Hints.Sealed || !s.Hints.EndReported || s.Hints.Ended || s.Hints.Pending {
			t.Errorf("%+v", s)
		}
		f.event(t, "die", testID(2))
		if c := f.want("changed 2"); !c.Spec.Hints.Ended {
			t.Errorf("%+v has not ended", c.Spec.Hints)
		}
		f.remove(testID(2))
		f.event(t, "destroy", testID(2))
		f.want("gone 2")
		f.remove(testID(1)) // without an event
		time.Sleep(config.Default().Shipper.Docker.ListInterval.D())
		f.want("gone 1")
		f.event(t, "start", testID(3)) // and is removed before it can be inspected
		f.want("missed 3")
	})
}

// What is stored of a container is read by the versions before and after this one.
func TestWhatIsKeptOfAContainerHasTheFormThatIsOnDisk(t *testing.T) {
	id := testID(1)
	const form = `{"id":"%s","path":"/none/%s","running":true,"info":`
	var kept []byte
	follow(t, nil, func(f *follower) {
		f.want() // so that the first lists are over
		f.add(id, "web", "MESOS_TASK_ID=order.1")
		f.event(t, "start", id)
		kept = f.want("changed 1").Keep
	})
	if want := fmt.Sprintf(form, id, id); !strings.HasPrefix(string(kept), want) || !strings.Contains(string(kept), `"TaskID":"order.1"`) || strings.Contains(string(kept), `"Dataset":"docker"`) {
		t.Fatalf("%s, want %s", kept, want)
	}
	before := fmt.Appendf(nil, `{"id":"%s","path":"/none/%s","running":true,"info":{"Path":"","ContainerName":"web","TaskID":"order.1","ServiceName":"web"}}`, id, id)
	follow(t, map[string][]byte{id: before, testID(2): []byte("broken"), testID(3): before}, func(f *follower) {
		c := <-f.changes // before the daemon has answered
		if c.What != source.Changed || c.Spec.Name != id || c.Spec.Tags.TaskID != "order.1" || c.Spec.Tags.ContainerID != id || c.Spec.Tags.Dataset != "docker" {
			t.Errorf("%+v", c)
		}
		f.want("gone 1") // the first list has it no more
	})
}

func TestADaemonThatIsAwayIsAskedAgainAndWhatItHasIsMended(t *testing.T) {
	follow(t, nil, func(f *follower) {
		f.want() // so that the first lists are over
		f.add(testID(1), "web")
		f.event(t, "start", testID(1))
		f.want("changed 1")
		f.set(true)
		time.Sleep(time.Minute)
		f.want()
		if why := f.state.NotReady(0); len(why) != 1 || !strings.Contains(why[0], "docker") {
			t.Errorf("not ready: %q", why)
		}
		f.remove(testID(1))
		f.add(testID(2), "new")
		f.mu.Lock()
		lists := f.lists
		f.mu.Unlock()
		f.set(false)
		time.Sleep(reconnectMax + time.Second)
		f.want("gone 1", "changed 2")
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.lists == lists || f.state.NotReady(0) != nil {
			t.Errorf("%d lists, not ready: %q", f.lists-lists, f.state.NotReady(0))
		}
	})
}
