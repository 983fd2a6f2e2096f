package config

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // timezones, also where the system has none
	"unicode"
	"unicode/utf8"

	"github.com/sluicelog/sluice/internal/glob"
)

// Roles are the roles there are, in the order of a log line's way.
var Roles = []string{"shipper", "aggregator", "indexer"}

// Roles lists the roles that the file has a section for.
func (c *Config) Roles() []string {
	var out []string
	for _, role := range Roles {
		if c.file != nil && c.file.at[role] != (position{}) {
			out = append(out, role)
		}
	}
	return out
}

// Validate reports everything that keeps a role from working: an error that joins
// *Error values, or nil.
func (c *Config) Validate(role string) error {
	if !slices.Contains(Roles, role) {
		return fmt.Errorf("%q is no role; roles are %s", role, strings.Join(Roles, ", "))
	}
	return all(c.validate([]string{role}, false))
}

// checker collects what is wrong.
type checker struct {
	*Config
	errs   []*Error
	failed map[string]bool // keys that have an error
}

// validate is the one list of rules: of the values, of what is for every role, of each
// role, and, if asked, of what the roles find on this host.
func (c *Config) validate(roles []string, here bool) []*Error {
	k := &checker{Config: c, failed: map[string]bool{}}
	k.values(roles)
	k.common(roles)
	for _, role := range roles {
		switch role {
		case "shipper":
			k.shipper()
		case "aggregator":
			k.aggregator()
		case "indexer":
			k.indexer()
		}
	}
	if here {
		k.host(roles)
	}
	return k.errs
}

// fail adds an error at the key, or at the nearest section around it that the file has,
// unless the key has an error already.
func (k *checker) fail(key, format string, args ...any) {
	e := &Error{Key: key, Msg: fmt.Sprintf(format, args...)}
	if k.file != nil {
		e.File = k.file.files[0]
		near := key
		for ; near != ""; near = parent(near) {
			if k.file.wrong[near] {
				return
			}
			if at, ok := k.file.at[near]; ok && e.Line == 0 {
				e.File, e.Line, e.Column, e.order = k.file.files[at.file], at.line, at.column, at.file
			}
		}
	}
	if !k.failed[key] {
		k.failed[key] = true
		k.errs = append(k.errs, e)
	}
}

// show quotes a value for a message: with variables in it as it is written in the file,
// for what they hold may be a secret in the wrong place.
func (k *checker) show(key, value string) string {
	if k.file != nil && k.file.written[key] != "" {
		return quote(k.file.written[key])
	}
	return quote(value)
}

func parent(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }

// used reports whether the roles need the value at a key: one of a section of their own
// or of a cluster they name, or one that is for every role.
func (c *Config) used(key string, roles []string) bool {
	section, rest, _ := strings.Cut(key, ".")
	section, _, _ = strings.Cut(section, "[")
	if section == "kafka" && rest != "" {
		return slices.ContainsFunc(c.clusters(roles), func(name string) bool {
			return rest == name || strings.HasPrefix(rest, name+".")
		})
	}
	return !slices.Contains(Roles, section) || slices.Contains(roles, section)
}

// clusters are the Kafka clusters that the roles name.
func (c *Config) clusters(roles []string) []string {
	var out []string
	for _, role := range roles {
		switch role {
		case "shipper":
			out = append(out, c.Shipper.Kafka)
		case "aggregator":
			out = append(out, c.Aggregator.Target.Kafka)
			for _, s := range c.Aggregator.Sources {
				out = append(out, s.Kafka)
			}
		case "indexer":
			out = append(out, c.Indexer.Kafka)
		}
	}
	return out
}

// values checks each single value against the tags of its key.
func (k *checker) values(roles []string) {
	for _, l := range leaves(reflect.ValueOf(k.Config).Elem(), "", "") {
		if !k.used(l.path, roles) {
			continue
		}
		if enum := strings.Fields(l.tag.Get("enum")); len(enum) > 0 && !slices.Contains(enum, l.value.String()) {
			hint := ""
			if near := closest(l.value.String(), enum); near != "" {
				hint = "; did you mean " + near + "?"
			}
			k.fail(l.path, "expected one of %s, got %s%s", strings.Join(enum, ", "), k.show(l.path, l.value.String()), hint)
		}
		if low, ok := bound(l.value, l.tag, "min"); ok && below(l.value, low) {
			k.fail(l.path, "expected at least %v, got %v", low, l.value)
		}
		if high, ok := bound(l.value, l.tag, "max"); ok && below(high, l.value) {
			k.fail(l.path, "expected at most %v, got %v", high, l.value)
		}
	}
}

func (k *checker) common(roles []string) {
	k.word("host", k.Host)
	k.word("dc", k.DC)
	if _, alone := hostAlone(k.Admin.Listen); k.Admin.Listen != "" && !alone {
		k.address("admin.listen", k.Admin.Listen)
	}
	if k.Statsd.Address != "" {
		k.address("statsd.address", k.Statsd.Address)
	}
	if p := k.Statsd.Prefix; p != "" && !statsdName.MatchString(p) {
		k.fail("statsd.prefix", "expected letters, digits, _, - and . between them, got %s", k.show("statsd.prefix", p))
	}
	for _, name := range sortedKeys(k.Kafka) {
		if k.used("kafka."+name, roles) {
			k.cluster("kafka."+name, name, k.Kafka[name])
		}
	}
}

var (
	statsdName  = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	legalName   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)
	placeholder = regexp.MustCompile(`\{[^{}]*\}`)
	dateParts   = regexp.MustCompile(`^(yyyy|MM|dd|HH)([._-]?(yyyy|MM|dd|HH))*$`)
)

// word checks a name that goes into events and metrics.
func (k *checker) word(key, s string) {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		k.fail(key, "expected a name without spaces, got %s", k.show(key, s))
	}
}

// address checks host:port.
func (k *checker) address(key, s string) {
	_, port, err := net.SplitHostPort(s)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 && key != "admin.listen" {
		k.fail(key, "expected host:port, got %s", k.show(key, s))
	}
}

func (k *checker) cluster(key, name string, c Kafka) {
	if !legalName.MatchString(name) {
		k.fail(key, "expected a cluster name of letters, digits, ., _ and -")
	}
	if len(c.Brokers) == 0 {
		k.fail(key+".brokers", "missing: name at least one bootstrap server, such as [kafka1:9092]")
	}
	for i, b := range c.Brokers {
		k.address(entryPath(key+".brokers", i), b)
	}
	k.tls(key+".tls", c.TLS)
	s := c.SASL
	switch key += ".sasl"; s.Mechanism {
	case "none":
		if s != (SASL{Mechanism: "none"}) {
			k.fail(key+".mechanism", "is none, but other keys of sasl are set")
		}
	case "oauthbearer":
		if s.TokenFile == "" {
			k.fail(key+".token_file", "missing: mechanism oauthbearer needs it")
		}
	default:
		if s.Username == "" {
			k.fail(key+".username", "missing: mechanism %s needs it", s.Mechanism)
		}
		if s.Password == "" {
			k.fail(key+".password", "missing: mechanism %s needs it", s.Mechanism)
		}
	}
}

func (k *checker) tls(key string, t TLS) {
	if !t.Enabled && t != (TLS{}) {
		k.fail(key+".enabled", "is false, but other keys of tls are set")
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		k.fail(key+".cert_file", "cert_file and key_file go together")
	}
}

// known checks the name of a Kafka cluster.
func (k *checker) known(key, name string) {
	if _, ok := k.Kafka[name]; ok {
		return
	}
	known := "none is defined under kafka"
	if len(k.Kafka) > 0 {
		known = "clusters under kafka are " + strings.Join(sortedKeys(k.Kafka), ", ")
	}
	if name == "" {
		k.fail(key, "missing: name a Kafka cluster; %s", known)
		return
	}
	k.fail(key, "no Kafka cluster is named %s; %s", k.show(key, name), known)
}

func (k *checker) topic(key, name string) {
	if !legalName.MatchString(name) || name == "." || name == ".." {
		k.fail(key, "expected a topic name of letters, digits, ., _ and -, got %s", k.show(key, name))
	}
}

// topics checks names and regular expressions.
func (k *checker) topics(key string, list []string) {
	if len(list) == 0 {
		k.fail(key, "missing: name at least one topic, such as [logs]")
	}
	for i, t := range list {
		if !strings.HasPrefix(t, "^") {
			k.topic(entryPath(key, i), t)
		} else if _, err := regexp.Compile(t); err != nil {
			k.fail(entryPath(key, i), "%v", err)
		}
	}
}

func (k *checker) group(key, name string) {
	if !legalName.MatchString(name) {
		k.fail(key, "expected a consumer group name of letters, digits, ., _ and -, got %s", k.show(key, name))
	}
}

// instance checks a group.instance.id; Kafka allows in it what it allows in topic names.
func (k *checker) instance(key, id string) {
	if id != "" && (!legalName.MatchString(id) || id == "." || id == "..") {
		k.fail(key, "expected letters, digits, ., _ and -, got %s", k.show(key, id))
	}
}

func (k *checker) produce(key string, p Produce) {
	if p.Buffer < p.BatchBytes {
		k.fail(key+".buffer", "expected at least batch_bytes (%v), got %v", p.BatchBytes, p.Buffer)
	}
}

func (k *checker) shipper() {
	s := &k.Shipper
	if k.DataDir == "" {
		k.fail("data_dir", "missing: positions have to survive a restart")
	}
	k.known("shipper.kafka", s.Kafka)
	k.topic("shipper.topic", s.Topic)
	k.produce("shipper.produce", s.Produce)
	k.labels("shipper.labels", s.Labels)
	k.rules("shipper.rules", ShipperRules, s.Rules)
	for i, from := range s.AppFrom {
		if _, _, ok := CutAppFrom(from); !ok {
			at := entryPath("shipper.app_from", i)
			k.fail(at, "expected marathon, chronos, name, image, label:NAME or env:NAME, got %s", k.show(at, from))
		}
	}
	if s.MaxLine > s.Produce.Buffer {
		k.fail("shipper.max_line", "expected at most produce.buffer (%v), got %v", s.Produce.Buffer, s.MaxLine)
	}
	if !s.Docker.Enabled && len(s.Files) == 0 {
		k.fail("shipper.files", "nothing to read: set docker.enabled or name files")
	}
	k.multiline("shipper.multiline", s.Multiline)
	k.docker("shipper.docker", &s.Docker)
	for i, f := range s.Files {
		key := entryPath("shipper.files", i)
		if len(f.Paths) == 0 {
			k.fail(key+".paths", "missing: name at least one file or glob")
		}
		k.labels(key+".labels", f.Labels)
		k.multiline(key+".multiline", f.Multiline)
		k.patterns(key+".paths", f.Paths)
		k.patterns(key+".exclude", f.Exclude)
	}
	k.once(s.Files)
}

// patterns checks globs of files.
func (k *checker) patterns(key string, list []string) {
	for i, g := range list {
		at := entryPath(key, i)
		all, err := glob.Expand(g)
		if err != nil {
			k.fail(at, "expected a glob such as /var/log/*.{log,txt}, got %s: %v", k.show(at, g), err)
		}
		for _, p := range all {
			if strings.HasSuffix(key, ".paths") && !path.IsAbs(p) {
				k.fail(at, "expected an absolute path, got %s", k.show(at, g))
			}
		}
	}
}

// once reports paths that two entries of files read: which labels and which dataset
// their lines get would be chance.
func (k *checker) once(files []Files) {
	first := map[string]int{} // entry, by pattern
	type wide struct {
		entry   int
		pattern string
	}
	var globs []wide
	for i, f := range files {
		for _, p := range f.Paths {
			for _, p := range expanded(p) {
				if _, literal := glob.Literal(p); !literal {
					globs = append(globs, wide{i, p})
				}
			}
		}
	}
	for i, f := range files {
		for j, g := range f.Paths {
			at := entryPath(entryPath("shipper.files", i)+".paths", j)
			for _, p := range expanded(g) {
				name, literal := glob.Literal(p)
				if !literal {
					name = p
				}
				if other, ok := first[name]; !ok {
					first[name] = i
				} else if other != i {
					k.fail(at, "%s is in shipper.files[%d] too; a path belongs to one entry", k.show(at, name), other)
				}
				for _, w := range globs {
					if literal && w.entry != i && glob.Match(w.pattern, name) && !excluded(files[w.entry].Exclude, name) {
						k.fail(at, "%s of shipper.files[%d] matches %s too; exclude it there", quote(w.pattern), w.entry, k.show(at, name))
					}
				}
			}
		}
	}
}

func expanded(pattern string) []string {
	all, _ := glob.Expand(pattern) // what is wrong has been reported
	return all
}

func excluded(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return slices.ContainsFunc(expanded(p), func(p string) bool { return glob.Match(p, name) })
	})
}

func (k *checker) docker(key string, d *Docker) {
	if d.Enabled {
		k.endpoint(key+".endpoint", d.Endpoint)
	}
	if (d.RootFrom == "") != (d.RootTo == "") {
		k.fail(key+".root_from", "root_from and root_to go together")
	}
	k.globs(key+".fields_from_env", d.FieldsFromEnv)
	k.globs(key+".fields_from_labels", d.FieldsFromLabels)
	k.globs(key+".include_names", d.IncludeNames)
	k.globs(key+".exclude_names", d.ExcludeNames)
}

func (k *checker) endpoint(key, s string) {
	u, err := url.Parse(s)
	switch {
	case strings.Contains(s, "@"): // in whatever form
		k.fail(key, "Docker's API knows no user and password, and they would be read by everybody who may read this file")
	case err == nil && u.Scheme == "unix" && path.IsAbs(u.Path) && u.Host == "":
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "":
	case err == nil && u.Scheme == "tcp" && u.Hostname() != "" && u.Port() != "":
	default:
		k.fail(key, "expected unix:///path or tcp://host:port, got %s", k.show(key, s))
	}
}

func (k *checker) globs(key string, list []string) {
	for i, g := range list {
		if _, err := path.Match(g, ""); err != nil || g == "" {
			k.fail(entryPath(key, i), "expected a glob such as web-*, got %s", k.show(entryPath(key, i), g))
		}
	}
}

func (k *checker) labels(key string, labels map[string]string) {
	for _, name := range sortedKeys(labels) {
		if name == "" {
			k.fail(key, "a label has no name")
		}
	}
}

func (k *checker) aggregator() {
	a := &k.Aggregator
	k.known("aggregator.target.kafka", a.Target.Kafka)
	k.pattern("aggregator.target.topic", a.Target.Topic, "{topic}", "{dc}")
	if t := placeholder.ReplaceAllString(a.Target.Topic, "x"); !legalName.MatchString(t) {
		k.fail("aggregator.target.topic", "expected a topic name of letters, digits, ., _ and -, got %s", k.show("aggregator.target.topic", a.Target.Topic))
	}
	k.topic("aggregator.dead_letter_topic", a.DeadLetterTopic)
	k.instance("aggregator.consume.instance_id", a.Consume.InstanceID)
	k.produce("aggregator.produce", a.Produce)
	if len(a.Sources) == 0 {
		k.fail("aggregator.sources", "missing: name at least one cluster to read from")
	}
	seen := map[[2]string]bool{}
	for i, s := range a.Sources {
		key := entryPath("aggregator.sources", i)
		k.known(key+".kafka", s.Kafka)
		k.topics(key+".topics", s.Topics)
		k.group(key+".group", s.Group)
		if s.DC != "" {
			k.word(key+".dc", s.DC)
		}
		if s.Start != StartEarliest && s.Start != StartGroup && s.Since() <= 0 {
			k.fail(key+".start", "expected earliest, group or a time such as 24h, got %s", k.show(key+".start", s.Start))
		}
		if SameCluster(k.Kafka, s.Kafka, a.Target.Kafka) {
			k.circle(key+".topics", s)
		}
		if id := [2]string{s.Kafka, s.Group}; seen[id] {
			k.fail(key+".group", "another source reads %s with the same group; give both topics to one source", s.Kafka)
		} else {
			seen[id] = true
		}
	}
}

// pattern checks the placeholders of a name; dates may be among them if allowed names {yyyy.MM.dd}.
func (k *checker) pattern(key, s string, allowed ...string) {
	for _, p := range placeholder.FindAllString(s, -1) {
		date := slices.Contains(allowed, "{yyyy.MM.dd}") && dateParts.MatchString(p[1:len(p)-1])
		if !date && !slices.Contains(allowed, p) {
			k.fail(key, "%s is no placeholder; known here are %s", k.show(key, p), strings.Join(allowed, ", "))
		}
	}
	if strings.ContainsAny(placeholder.ReplaceAllString(s, ""), "{}") {
		k.fail(key, "{ and } do not match in %s", k.show(key, s))
	}
}

func (k *checker) indexer() {
	x := &k.Indexer
	k.known("indexer.kafka", x.Kafka)
	k.topics("indexer.topics", x.Topics)
	k.group("indexer.group", x.Group)
	k.produce("indexer.produce", x.Produce)
	k.topic("indexer.dead_letter_topic", x.DeadLetterTopic)
	k.instance("indexer.consume.instance_id", x.Consume.InstanceID)
	if Subscribed(x.Topics, x.DeadLetterTopic) {
		k.fail("indexer.dead_letter_topic", "is one of indexer.topics, so dead letters would be read again")
	}
	if x.HeldTopic != "" {
		k.topic("indexer.held_topic", x.HeldTopic)
		if Subscribed(x.Topics, x.HeldTopic) {
			k.fail("indexer.held_topic", "is one of indexer.topics, so held events would be read twice")
		}
		if x.HeldTopic == x.DeadLetterTopic {
			k.fail("indexer.held_topic", "is dead_letter_topic too, whose letters are not to be tried again")
		}
	}
	k.zone("indexer.timezone", x.Timezone)
	for i, z := range x.Timezones {
		key := entryPath("indexer.timezones", i)
		k.zone(key+".timezone", z.Timezone)
		if len(z.App)+len(z.Dataset)+len(z.Host) == 0 {
			k.fail(key, "fits every event: name app, dataset or host, or set indexer.timezone")
		}
	}
	for _, topic := range sortedKeys(x.Codecs) {
		if !Subscribed(x.Topics, topic) {
			k.fail(join("indexer.codecs", topic), "is none of indexer.topics")
		}
	}
	if len(x.Outputs) == 0 {
		k.fail("indexer.outputs", "missing: name at least one Elasticsearch cluster")
	}
	seen := map[string]bool{}
	for i := range x.Outputs {
		key, o := entryPath("indexer.outputs", i), &x.Outputs[i]
		k.output(key, o)
		if seen[o.Name] && o.Name != "" {
			k.fail(key+".name", "another output has the name %s too", k.show(key+".name", o.Name))
		}
		seen[o.Name] = true
	}
}

// zone checks the name of a time zone. Local would be another on each host.
func (k *checker) zone(key, name string) {
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		k.fail(key, "expected a name of the time zone database such as UTC or Europe/Berlin, got %s", k.show(key, name))
	}
}

func (k *checker) output(key string, o *Output) {
	if o.Name == "" {
		k.fail(key+".name", "missing: it is appended to the group name, such as online")
	} else {
		k.group(key+".name", o.Name)
	}
	k.elasticsearch(key+".elasticsearch", &o.Elasticsearch)
	k.index(key+".index", o.Index)
	k.zone(key+".index_timezone", o.IndexTimezone)
	if b := o.Bulk; b.MaxConcurrency < b.Concurrency {
		k.fail(key+".bulk.max_concurrency", "expected at least concurrency (%d), got %d", b.Concurrency, b.MaxConcurrency)
	}
	if b := o.Bulk; b.RetryMax < b.RetryInitial {
		k.fail(key+".bulk.retry_max", "expected at least retry_initial (%v), got %v", b.RetryInitial, b.RetryMax)
	}
}

func (k *checker) elasticsearch(key string, e *Elasticsearch) {
	if len(e.Hosts) == 0 {
		k.fail(key+".hosts", "missing: name at least one URL, such as [http://es1:9200]")
	}
	for i, h := range e.Hosts {
		u, err := url.Parse(h)
		switch at := entryPath(key+".hosts", i); {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			k.fail(at, "expected a URL such as http://es1:9200") // the text may hold a password
		case u.User != nil:
			k.fail(at, "a URL cannot hold user and password here; use username and password")
		case e.TLS.Enabled && u.Scheme != "https":
			k.fail(at, "expected https://, for tls.enabled is true")
		}
	}
	if e.APIKey != "" && e.Username != "" {
		k.fail(key+".api_key", "api_key and username exclude each other")
	}
	if (e.Username == "") != (e.Password == "") {
		k.fail(key+".username", "username and password go together")
	}
	for _, name := range sortedKeys(e.Headers) {
		switch at := join(key+".headers", name); {
		case !headerName.MatchString(name) || strings.ContainsAny(e.Headers[name], "\r\n\x00"):
			k.fail(at, "expected a name and value of an HTTP header")
		case slices.Contains([]string{"authorization", "content-type", "content-encoding", "content-length", "host"}, strings.ToLower(name)):
			k.fail(at, "is set by sluice; credentials belong in api_key, or username and password")
		}
	}
	for _, name := range sortedKeys(e.Parameters) {
		if name == "" || name == "filter_path" {
			k.fail(join(key+".parameters", name), "is set by sluice, which needs all of an answer that it reads")
		}
	}
	k.tls(key+".tls", e.TLS)
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// index checks the pattern of an index name by what Elasticsearch refuses.
func (k *checker) index(key, s string) {
	k.pattern(key, s, "{yyyy.MM.dd}", "{dc}", "{dataset}", "{app}")
	fixed := placeholder.ReplaceAllString(s, "")
	switch {
	case s == "":
		k.fail(key, "missing: name an index, such as sluice-{yyyy.MM.dd}")
	case s[0] == '{':
		k.fail(key, "expected a fixed text first, by which the index template finds its indices, got %s", k.show(key, s))
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }):
		k.fail(key, "an index name cannot hold control characters, got %s", k.show(key, s))
	case fixed != strings.Map(unicode.ToLower, fixed):
		k.fail(key, "expected lower case outside of { }, got %s", k.show(key, s))
	case strings.ContainsAny(fixed, "\\/*?\"<>| ,#:"):
		k.fail(key, `an index name cannot hold \ / * ? " < > | , # : or a space, got %s`, k.show(key, s))
	case strings.ContainsAny(s[:1], "-_+."):
		k.fail(key, "an index name cannot start with %c", s[0])
	case len(fixed) > 200:
		k.fail(key, "an index name has at most 255 bytes")
	}
}
