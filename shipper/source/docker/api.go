package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	dockerapi "github.com/fsouza/go-dockerclient"

	"github.com/sluicelog/sluice/config"
	"github.com/sluicelog/sluice/internal/wake"
)

// api is what the daemon is asked for, through one client. Each request has a deadline.
// It may be used by several goroutines.
type api struct {
	endpoint string
	timeout  time.Duration
	client   *dockerapi.Client
}

func newAPI(cfg *config.Docker) (*api, error) {
	client, err := dockerapi.NewClient(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("docker endpoint %s: %w", cfg.Endpoint, err)
	}
	if t, ok := client.HTTPClient.Transport.(*http.Transport); ok { // which would dial for every request
		t.DisableKeepAlives, t.MaxIdleConnsPerHost = false, inspectors
	}
	return &api{endpoint: cfg.Endpoint, timeout: cfg.Timeout.D(), client: client}, nil
}

// list lists all containers.
func (a *api) list(ctx context.Context) ([]dockerapi.APIContainers, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return a.client.ListContainers(dockerapi.ListContainersOptions{All: true, Context: ctx})
}

// inspect asks what a container is.
func (a *api) inspect(ctx context.Context, id string) (*dockerapi.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return a.client.InspectContainerWithOptions(dockerapi.InspectContainerOptions{ID: id, Context: ctx})
}

// root is the directory of the daemon's data, for the daemon.
func (a *api) root(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout) // the client's own call has no deadline
	defer cancel()
	var info struct{ DockerRootDir string }
	res, err := a.get(ctx, "/info")
	if err == nil {
		err = errors.Join(json.NewDecoder(res.Body).Decode(&info), res.Body.Close())
	}
	return info.DockerRootDir, err
}

// events hands over events until ctx ends or the connection breaks; connected is
// raised once they begin.
func (a *api) events(ctx context.Context, events chan<- *dockerapi.APIEvents, connected wake.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	query := url.Values{"filters": {`{"type":["container"],"event":["start","restart","die","destroy","rename","update"]}`}}
	deadline := time.AfterFunc(a.timeout, cancel) // until the answer starts
	res, err := a.get(ctx, "/events?"+query.Encode())
	if !deadline.Stop() && err == nil {
		err = context.DeadlineExceeded
		_ = res.Body.Close()
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	connected.Raise()
	dec := json.NewDecoder(res.Body)
	for {
		e := &dockerapi.APIEvents{}
		if err := dec.Decode(e); err != nil {
			return err
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// get asks for a path of the API through the client's transport.
func (a *api) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url(path), nil)
	if err != nil {
		return nil, err
	}
	res, err := a.client.HTTPClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("status %s", res.Status), res.Body.Close())
	}
	return res, nil
}

// url is where the client's transport finds a path of the API.
func (a *api) url(path string) string {
	if host, ok := strings.CutPrefix(a.endpoint, "tcp://"); ok {
		return "http://" + host + path
	}
	if strings.HasPrefix(a.endpoint, "http") {
		return strings.TrimSuffix(a.endpoint, "/") + path
	}
	return "http://docker" + path // the transport dials the socket whatever the host
}

// close gives idle connections back.
func (a *api) close() { a.client.HTTPClient.CloseIdleConnections() }
