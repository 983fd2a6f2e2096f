package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write puts files below a new directory: name, text, name, text ...
func write(t *testing.T, files ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestIncludedFilesAddToTheTree(t *testing.T) {
	dir := write(t,
		"main.yaml", "include: [teams/*.yaml, more.yaml]\ndc: dc9\nshipper:\n  kafka: dc1\n  labels: {a: '1'}\n  files: [{paths: [/main]}]\nkafka: {dc1: {brokers: ['k:1'], client_id: c}}\n",
		"teams/b.yaml", "shipper:\n  files: [{paths: [/b]}]\n  labels: {b: '2'}\n",
		"teams/a.yaml", "x-anchor: &l {c: '3'}\nshipper:\n  files: [{paths: [/a1]}, {paths: [/a2], labels: *l}]\n  docker: {fields_from_env: [A]}\nkafka: {dc1: {rack: r}}\n",
		"teams/a.yml", "not: read\n",
		"more.yaml", "include: deeper/last.yaml\nkafka: {central: {brokers: ['c:1']}}\n",
		"deeper/last.yaml", "include: 'none*.yaml'\nindexer:\n  topics: [x]\nshipper: {files: [{paths: [/last]}], docker: {fields_from_env: [B]}}\n",
	)
	c, err := Load(filepath.Join(dir, "main.yaml"), "shipper")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range c.Shipper.Files {
		paths = append(paths, f.Paths...)
	}
	if want := []string{"/main", "/a1", "/a2", "/b", "/last"}; !reflect.DeepEqual(paths, want) {
		t.Errorf("files %q; want those of each file in its turn, %q", paths, want)
	}
	if want := map[string]string{"a": "1", "b": "2"}; !reflect.DeepEqual(c.Shipper.Labels, want) {
		t.Errorf("labels %v; want %v", c.Shipper.Labels, want)
	}
	if want := []string{"A", "B"}; !reflect.DeepEqual(c.Shipper.Docker.FieldsFromEnv, want) {
		t.Errorf("fields_from_env %q; want %q, the default replaced once", c.Shipper.Docker.FieldsFromEnv, want)
	}
	if k := c.Kafka["dc1"]; k.Rack != "r" || k.ClientID != "c" || len(k.Brokers) != 1 || len(c.Kafka) != 2 {
		t.Errorf("kafka %+v; want dc1 of two files and central", c.Kafka)
	}
	if c.Shipper.Files[2].Labels["c"] != "3" || c.DC != "dc9" || !reflect.DeepEqual(c.Indexer.Topics, []string{"x"}) {
		t.Errorf("got %+v", c)
	}
	if text := marshal(t, c); !strings.HasPrefix(text, "include: []\n") {
		t.Errorf("the configuration in effect includes files again:\n%s", text)
	}
}

// TestIncludeErrors: each names the file and the line that are to be changed.
func TestIncludeErrors(t *testing.T) {
	f := func(want []string, files ...string) {
		t.Helper()
		dir := write(t, files...)
		_, err := Load(filepath.Join(dir, files[0]), "shipper")
		if got := strings.Split(strings.ReplaceAll(fmt.Sprint(err), dir+"/", ""), "\n"); !reflect.DeepEqual(got, want) {
			t.Errorf("%q\ngot  %s\nwant %s", files, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
	const good = "include: '*/*.yaml'\nkafka: {a: {brokers: ['k:1']}}\nshipper: {kafka: a, topic: t, labels: {l: v}, files: [{paths: [/x]}]}\n"
	f([]string{"<nil>"}, "a.yaml", good)
	f([]string{
		"t/b.yaml:1:18: shipper.topic: is already set in a.yaml:3:28",
		"t/b.yaml:1:33: shipper.labels.l: is already set in a.yaml:3:43",
		"t/c.yaml:1:5: dc: is already set in t/b.yaml:2:5",
	}, "a.yaml", good, "t/b.yaml", "shipper: {topic: u, labels: {l: w}}\ndc: d\n", "t/c.yaml", "dc: d\n")
	f([]string{
		"a.yaml:2:28: shipper.topic: is already set in t/b.yaml:1:18",
	}, "t/b.yaml", "shipper: {topic: u}\ninclude: ../a.yaml\n", "a.yaml", good[20:])
	f([]string{"t/b.yaml:1:11: shipper.topc: unknown key; did you mean topic?"}, "a.yaml", good, "t/b.yaml", "shipper: {topc: u}\n")
	f([]string{
		`t/b.yaml:1:37: shipper.files[1].paths[0]: expected an absolute path, got "y"`,
		"t/b.yaml:1:50: shipper.files[2].codec: expected one of plain, docker, got \"z\"",
	}, "a.yaml", good, "t/b.yaml", "shipper: {files: [{paths:          [y]}, {codec: z, paths: [/z]}]}\n")
	f([]string{"t/b.yaml:1:4: sequence end token ']' not found"}, "a.yaml", good, "t/b.yaml", "a: [1,\n")
	f([]string{"t/b.yaml:1:10: include: a.yaml is the file that all begins with; a file is read once"},
		"a.yaml", good, "t/b.yaml", "include: ../a.yaml\n")
	f([]string{"t/c.yaml:1:10: include: t/b.yaml is included in a.yaml:1:10 already; a file is read once"},
		"a.yaml", good, "t/b.yaml", "", "t/c.yaml", "include: b.yaml\n")
	f([]string{"a.yaml:1:10: include: stat none.yaml: no such file or directory"},
		"a.yaml", strings.Replace(good, "*/*", "none", 1))
	f([]string{"a.yaml:1:10: include: [.yaml is no glob such as teams/*.yaml: syntax error in pattern"},
		"a.yaml", strings.Replace(good, "*/*", "[", 1))
	f([]string{"a.yaml:1:10: include: d.yaml is no regular file"},
		"a.yaml", strings.Replace(good, "*/*", "d", 1), "d.yaml/x", "")
	f([]string{`a.yaml:1:10: include: expected a list such as [a, b], got a section`},
		"a.yaml", strings.Replace(good, "'*/*.yaml'", "{a: b}", 1))
	f([]string{`a.yaml:1:10: include: expected the name of a file or a glob`},
		"a.yaml", strings.Replace(good, "*/*.yaml", "", 1))

	many := []string{"a.yaml", good}
	for i := range maxFiles {
		many = append(many, fmt.Sprintf("t/%d.yaml", i), "")
	}
	f([]string{"a.yaml:1:10: include: more than 256 files"}, many...)
	defer func(n int) { maxAll = n }(maxAll)
	maxAll = 200
	some := "# " + strings.Repeat("x", 97) + "\n"
	f([]string{"a.yaml:1:10: include: more than 200 in all files"}, "a.yaml", good, "t/1.yaml", some, "t/2.yaml", some, "t/3.yaml", some)
}

func TestByteOrderMarkIsSkipped(t *testing.T) {
	c, err := load("\xef\xbb\xbfdc: dc7\n")
	if err != nil || c.DC != "dc7" {
		t.Errorf("got %+v, %v", c, err)
	}
	_, err = load("\xef\xbb\xbfdcc: dc7\n")
	if want := "f.yaml:1:1: dcc: unknown key; did you mean dc?"; fmt.Sprint(err) != want {
		t.Errorf("got %v; want %s", err, want)
	}
}

func TestExtraKeysHoldAnchors(t *testing.T) {
	c, err := load("x-list:\n  - &p {linger: 3s}\n  - name: {deep: &l [a, b]}\nx-n: 1\nindexer: {produce: *p, topics: *l}\nx-late: &late d\ndc: *late\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Indexer.Produce.Linger.String() != "3s" || len(c.Indexer.Topics) != 2 || c.DC != "d" {
		t.Errorf("got %+v", c.Indexer)
	}
	if _, err := load("shipper: {x-a: 1}\n"); err == nil {
		t.Error("x-a passed below the top")
	}
}

// TestYAMLThatExpandsWithoutBound is refused, with an error for the first place.
func TestYAMLThatExpandsWithoutBound(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := load(text)
		if err == nil || !strings.Contains(strings.Split(err.Error(), "\n")[0], want) {
			t.Errorf("%.200q: %.500v; want an error with %s", text, err, want)
		}
	}
	laughs := "x-0: &a0 [l, l, l, l, l, l, l, l, l, l]\n"
	for i := 1; i < 10; i++ {
		a := fmt.Sprintf("*a%d, ", i-1)
		laughs += fmt.Sprintf("x-%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(a, 10), ", "))
	}
	f(laughs+"indexer: {topics: *a9}\n", "indexer.topics[0]: expected a single value, got a list")
	long := "x-f: &f {paths: [/a, /b, /c, /d, /e, /f, /g, /h]}\nshipper:\n  files:\n" + strings.Repeat("    - *f\n", 20_000)
	f(long, "the aliases of this file make more than 100000 values")
	f("kafka: {a: &a {<<: *a}, b: *a}\n", "no anchor &a above")
	f("x-a: &a {<<: *a}\nkafka: {b: *a}\n", "more than 64 sections and lists within each other, counting those that aliases make")
	f("x-a: &a {<<: [*a, *a, *a]}\nkafka: {b: *a}\n", "more than 64 sections and lists within each other, counting those that aliases make")
	const deep = "more than 64 sections and lists within each other"
	f(strings.Repeat("[", 1<<17), deep)
	f(strings.Repeat("{a: ", 1000), deep)
	f(strings.Repeat("- ", 10_000)+"a", deep)
	f(strings.Repeat("? ", 10_000)+"a", deep)
	f("a: "+strings.Repeat("&a ", 10_000)+"a", deep)
	f("a: "+strings.Repeat("!a ", 10_000)+"a", deep)
	block := ""
	for i := range 100 {
		block += strings.Repeat(" ", i) + "a:\n"
	}
	f(block, deep)
}
