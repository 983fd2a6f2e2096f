package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicelog/sluice/config"
)

// Check writes to out what of every output's cluster does not go with its configuration:
// more copies of a shard than data nodes, more shards than the cluster allows by the time
// that old indices are deleted, hosts that only master. What cannot be found out is said
// so. It changes nothing.
func Check(ctx context.Context, cfg *config.Config, out io.Writer) {
	for i := range cfg.Indexer.Outputs {
		o := &cfg.Indexer.Outputs[i]
		k := check{output: o, out: out}
		var err error
		if k.hosts, err = newHosts(&o.Elasticsearch, 1); err != nil {
			k.say("not checked: %v", err)
			continue
		}
		k.shards(ctx)
		k.masters(ctx)
		k.hosts.end()
	}
}

type check struct {
	output *config.Output
	out    io.Writer
	hosts  *hosts
}

func (k *check) say(format string, args ...any) {
	fmt.Fprintf(k.out, "%s: warning: %s\n", k.output.Name, fmt.Sprintf(format, args...))
}

// shards checks shards and copies against data nodes and the limit of shards.
func (k *check) shards(ctx context.Context) {
	var health struct {
		Nodes  int `json:"number_of_data_nodes"`
		Active int `json:"active_shards"`
	}
	var settings struct {
		Persistent, Transient, Defaults struct {
			Cluster struct {
				Max json.RawMessage `json:"max_shards_per_node"`
			} `json:"cluster"`
		}
	}
	if err := k.get(ctx, k.hosts, "/_cluster/health", &health); err != nil {
		k.say("shards are not checked against data nodes: %v", err)
		return
	}
	t := &k.output.Template
	if health.Nodes > 0 && t.Replicas >= health.Nodes {
		k.say("template.replicas is %d, which needs %d data nodes, and the cluster has %d: that many copies are never made, and its health stays yellow", t.Replicas, t.Replicas+1, health.Nodes)
	}
	if health.Nodes > 0 && t.Shards > health.Nodes*10 {
		k.say("template.shards is %d, for %d data nodes: an index in so many parts costs more than it gains", t.Shards, health.Nodes)
	}
	if err := k.get(ctx, k.hosts, "/_cluster/settings?include_defaults=true&filter_path=*.cluster.max_shards_per_node", &settings); err != nil {
		k.say("shards are not checked against the cluster's limit: %v", err)
		return
	}
	limit := 0
	for _, at := range []json.RawMessage{settings.Defaults.Cluster.Max, settings.Persistent.Cluster.Max, settings.Transient.Cluster.Max} { // the last one counts
		if n, err := strconv.Atoi(strings.Trim(string(at), `"`)); err == nil {
			limit = n
		}
	}
	if limit == 0 || health.Nodes == 0 {
		return
	}
	days := int(t.DeleteAfter.D() / (24 * time.Hour))
	each := t.Shards * (1 + t.Replicas)
	room := limit*health.Nodes - health.Active
	switch {
	case room < each:
		k.say("the cluster has %d of %d shards (cluster.max_shards_per_node %d, %d data nodes): there is no room for an index of %d", health.Active, limit*health.Nodes, limit, health.Nodes, each)
	case days > 0 && strings.Contains(k.output.Index, "dd") && days*each > limit*health.Nodes:
		k.say("an index a day of %d shards (template.shards x (1 + replicas)), kept for %d days (delete_after), makes %d for each name, and the cluster allows %d (cluster.max_shards_per_node %d, %d data nodes)",
			each, days, days*each, limit*health.Nodes, limit, health.Nodes)
	}
}

// masters checks that no host is a node that only masters.
func (k *check) masters(ctx context.Context) {
	for _, h := range k.hosts.all {
		var local struct {
			Nodes map[string]struct {
				Name  string   `json:"name"`
				Roles []string `json:"roles"`
			} `json:"nodes"`
		}
		if err := k.get(ctx, only(h), "/_nodes/_local?filter_path=nodes.*.name,nodes.*.roles", &local); err != nil {
			k.say("%s is not checked: %v", h.name, err)
			continue
		}
		for _, n := range local.Nodes {
			if slices.Contains(n.Roles, "master") && !slices.ContainsFunc(n.Roles, func(r string) bool { return strings.HasPrefix(r, "data") || r == "ingest" }) {
				k.say("%s is node %s, which only masters (roles %s): bulk requests would slow the whole cluster down; name data, ingest or coordinating nodes in hosts", h.name, n.Name, strings.Join(n.Roles, ", "))
			}
		}
	}
}

// only is one host alone.
func only(h *host) *hosts {
	return &hosts{all: []*host{h}, ended: true, changed: func(int) {}}
}

func (k *check) get(ctx context.Context, from *hosts, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, k.output.Elasticsearch.Timeout.D())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	res, err := from.Perform(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return readRefusal(res.StatusCode, res.Body)
	}
	return json.NewDecoder(io.LimitReader(res.Body, 16<<20)).Decode(v)
}
