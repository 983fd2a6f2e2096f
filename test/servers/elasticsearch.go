//go:build linux

package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ElasticsearchOptions say how a node differs from the usual one.
type ElasticsearchOptions struct {
	Settings []string // lines for elasticsearch.yml, none of ours again
	Heap     string   // for -Xms and -Xmx; "" is 1g
	Brief    bool     // it lives for minutes and is not measured: see jvm
}

// ElasticsearchNode is a running Elasticsearch 8.18 core: no x-pack, so no ILM, data streams, security and "GET /".
type ElasticsearchNode struct {
	*Process
	URL string // http://127.0.0.1:port
}

// StartElasticsearch starts a cluster of one node with its files in dir.
func StartElasticsearch(ctx context.Context, dir string, o ElasticsearchOptions) (*ElasticsearchNode, error) {
	if err := Install(ctx, NameElasticsearch); err != nil {
		return nil, err
	}
	home, err := home(NameElasticsearch)
	if err != nil {
		return nil, err
	}
	ports, err := FreePorts(2)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "elasticsearch.yml"), []byte(elasticsearchYAML(dir, ports[0], ports[1], o)), 0o644); err != nil {
		return nil, err
	}
	heap := orDefault(o.Heap, "1g")
	e := &ElasticsearchNode{URL: "http://" + local(ports[0])}
	e.Process = &Process{
		Name: "elasticsearch",
		Log:  filepath.Join(dir, "elasticsearch.log"),
		argv: slices.Concat([]string{"java", "-Xms" + heap, "-Xmx" + heap, "-Djava.io.tmpdir=" + filepath.Join(dir, "tmp")}, jvm(o.Brief),
			[]string{"-cp", filepath.Join(home, "lib") + "/*:" + filepath.Join(home, "classes"), "Launcher", home, dir}),
		ready: e.health,
	}
	if err := e.start(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// elasticsearchYAML turns the disk watermarks off: on a large shared disk that is 85 % full new shards would stay
// unassigned, and every write would answer 503 after a minute.
func elasticsearchYAML(dir string, httpPort, transportPort int, o ElasticsearchOptions) string {
	lines := []string{
		"cluster.name: sluice-test",
		"node.name: node-1",
		"discovery.type: single-node",
		"cluster.routing.allocation.disk.threshold_enabled: false",
		"network.host: 127.0.0.1",
		fmt.Sprintf("http.port: %d", httpPort),
		fmt.Sprintf("transport.port: %d", transportPort),
		fmt.Sprintf("path.data: %q", filepath.Join(dir, "data")),
		fmt.Sprintf("path.logs: %q", filepath.Join(dir, "logs")),
	}
	return strings.Join(append(lines, o.Settings...), "\n") + "\n"
}

// health wants the node to have joined its own cluster and all shards to be there.
func (e *ElasticsearchNode) health(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+"/_cluster/health", nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var health struct {
		Status       string
		Initializing int `json:"initializing_shards"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		return fmt.Errorf("read cluster health: %w", err)
	}
	if resp.StatusCode != http.StatusOK || health.Status == "red" || health.Initializing > 0 {
		return fmt.Errorf("cluster health: %s, %d shards initializing (HTTP %d)", health.Status, health.Initializing, resp.StatusCode)
	}
	return nil
}
