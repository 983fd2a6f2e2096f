// Package fakes has what stands in for a server or comes between it and its client: a Docker
// daemon, an Elasticsearch that stores nothing, a front that spoils answers, a bad network.
package fakes

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Daemon answers what a log shipper asks a Docker daemon: which containers there are,
// what is known of one, and events. Thousands of containers a minute cost it nothing,
// which a real dockerd does not offer. A nil Daemon may be given containers.
// Containers may start and end from any goroutine; Close, Pause and Resume are for one.
type Daemon struct {
	Socket, Root string

	http *http.Server  // of the time since StartDaemon or Resume
	done chan struct{} // closed when it has ended

	mu         sync.Mutex
	containers map[string]Container
	listeners  map[chan ContainerEvent]struct{}
}

// Container is a container of a Daemon.
type Container struct {
	ID, Name, LogPath string
	Number            int // gives it a Mesos task and a Marathon app of its own
	Started           time.Time
	Ended             bool
}

// ContainerEvent is one of those that a daemon reports at /events.
type ContainerEvent struct {
	Status   string `json:"status"`
	ID       string `json:"id"`
	From     string `json:"from"`
	Type     string `json:"Type"`
	Action   string `json:"Action"`
	Actor    actor  `json:"Actor"`
	Scope    string `json:"scope"`
	Time     int64  `json:"time"`
	TimeNano int64  `json:"timeNano"`
}

type actor struct {
	ID         string
	Attributes map[string]string
}

// StartDaemon listens on a unix socket, whose path must have 107 bytes at most.
// Root is where it says that its containers/ are; like the real one it makes that folder.
func StartDaemon(socket, root string) (*Daemon, error) {
	if err := os.MkdirAll(filepath.Join(root, "containers"), 0o755); err != nil {
		return nil, fmt.Errorf("start as a Docker daemon: %w", err)
	}
	d := &Daemon{Socket: socket, Root: root, containers: map[string]Container{}, listeners: map[chan ContainerEvent]struct{}{}}
	return d, d.listen()
}

func (d *Daemon) listen() error {
	os.Remove(d.Socket)
	l, err := net.Listen("unix", d.Socket)
	if err != nil {
		return fmt.Errorf("listen as a Docker daemon: %w", err)
	}
	server, done := &http.Server{Handler: http.HandlerFunc(d.serve)}, make(chan struct{})
	d.http, d.done = server, done
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	return nil
}

// Close ends all connections.
func (d *Daemon) Close() error {
	err := d.http.Close()
	<-d.done
	return err
}

// Pause is as if the daemon was stopped: nobody answers, while containers go on.
func (d *Daemon) Pause() error { return d.Close() }

// Resume is as if it was started again.
func (d *Daemon) Resume() error { return d.listen() }

// Start is as if a container was created and started.
func (d *Daemon) Start(c Container) {
	if d == nil {
		return
	}
	c.Started = time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.containers[c.ID] = c
	d.tell(c, "create")
	d.tell(c, "start")
}

// End is as if a container ended, and was removed if wanted.
func (d *Daemon) End(id string, remove bool) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.containers[id]
	if !ok {
		return
	}
	c.Ended = true
	d.containers[id] = c
	d.tell(c, "die")
	if remove {
		delete(d.containers, id)
		d.tell(c, "destroy")
	}
}

// tell is called with the lock held. A listener that is late by 4,096 events misses
// some, as with a real daemon.
func (d *Daemon) tell(c Container, action string) {
	now := time.Now()
	e := ContainerEvent{
		Status: action, ID: c.ID, From: "registry/app:1", Type: "container", Action: action, Scope: "local", Time: now.Unix(), TimeNano: now.UnixNano(),
		Actor: actor{c.ID, map[string]string{"name": c.Name, "image": "registry/app:1"}},
	}
	for ch := range d.listeners {
		select {
		case ch <- e:
		default:
		}
	}
}

func (d *Daemon) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if v, rest, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/"); ok && strings.HasPrefix(v, "v1.") {
		path = "/" + rest
	}
	id, inspect := strings.CutSuffix(strings.TrimPrefix(path, "/containers/"), "/json")
	w.Header().Set("Api-Version", "1.41")
	switch {
	case path == "/_ping":
		fmt.Fprint(w, "OK")
	case path == "/version":
		answer(w, http.StatusOK, map[string]string{"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"})
	case path == "/info":
		answer(w, http.StatusOK, map[string]any{"ID": "loadtest", "LoggingDriver": "json-file", "DockerRootDir": d.Root, "ServerVersion": "20.10.24"})
	case path == "/events":
		d.events(w, r)
	case path == "/containers/json":
		answer(w, http.StatusOK, d.list(r.URL.Query().Get("all") != ""))
	case inspect:
		d.mu.Lock()
		c, ok := d.containers[id]
		d.mu.Unlock()
		if !ok {
			answer(w, http.StatusNotFound, map[string]string{"message": "No such container: " + id})
			return
		}
		answer(w, http.StatusOK, c.inspect())
	default:
		answer(w, http.StatusNotFound, map[string]string{"message": "page not found"})
	}
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

func (d *Daemon) events(w http.ResponseWriter, r *http.Request) {
	ch := make(chan ContainerEvent, 4096)
	d.mu.Lock()
	d.listeners[ch] = struct{}{}
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.listeners, ch)
		d.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	flush.Flush()
	enc := json.NewEncoder(w)
	for {
		select {
		case e := <-ch:
			if enc.Encode(e) != nil || len(ch) == 0 && flush.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

func (d *Daemon) list(all bool) []map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []map[string]any{}
	for _, c := range d.containers {
		if !c.Ended || all {
			out = append(out, map[string]any{
				"Id": c.ID, "Names": []string{"/" + c.Name}, "Image": "registry/app:1", "ImageID": "sha256:0", "Command": "run",
				"Created": c.Started.Unix(), "State": c.state(), "Status": c.state(), "Labels": c.labels(),
			})
		}
	}
	return out
}

func (c Container) state() string {
	if c.Ended {
		return "exited"
	}
	return "running"
}

func (c Container) labels() map[string]string { return map[string]string{"team": "order"} }

func (c Container) inspect() map[string]any {
	return map[string]any{
		"Id": c.ID, "Name": "/" + c.Name, "Created": c.Started.UTC().Format(time.RFC3339Nano), "Image": "sha256:0", "LogPath": c.LogPath, "Driver": "overlay2",
		"State": map[string]any{"Status": c.state(), "Running": !c.Ended, "StartedAt": c.Started.UTC().Format(time.RFC3339Nano)},
		"Config": map[string]any{
			"Image": "registry/app:1", "Hostname": c.ID[:12], "Labels": c.labels(), "Tty": false,
			"Env": []string{
				fmt.Sprintf("MESOS_TASK_ID=prod_app-%d.%s", c.Number, c.ID[:8]),
				fmt.Sprintf("MARATHON_APP_ID=/prod/app-%d", c.Number), "MARATHON_APP_VERSION=2026-11-20T10:00:00.000Z", "PATH=/bin",
			},
		},
		"HostConfig": map[string]any{"LogConfig": map[string]any{"Type": "json-file", "Config": map[string]string{}}},
	}
}
