package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "rewrite schemas/config.schema.json")

const schemaFile = "../schemas/config.schema.json"

// TestSchema keeps schemas/config.schema.json what the structs and their comments say.
func TestSchema(t *testing.T) {
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is out of date; go test ./config -run TestSchema -update\n%s", schemaFile, diff(string(got), want.String()))
	}
}

// TestSchemaAgreesWithLoader: the schema and Load agree on the keys, types and bounds
// of a text.
func TestSchemaAgreesWithLoader(t *testing.T) {
	b, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	sch, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	f := func(text string, want bool) {
		t.Helper()
		j, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
		if err != nil {
			t.Fatal(err)
		}
		if err := sch.Validate(v); (err == nil) != want {
			t.Errorf("schema of %s: %v; want it to fit: %v", quote(text), err, want)
		}
		if _, err := load(text); (err == nil) != want {
			t.Errorf("load(%s): %v; want it to fit: %v", quote(text), err, want)
		}
	}
	f(string(Example), true)
	f("{}", true)
	f("shipper:\nkafka:\n", true)
	f("kafka: {a: {brokers: ['x:1']}}", true)
	f("dc: 1\nhost: '${HOSTNAME}'", true)
	f("shipper: {labels: {a: 1.5, b: true, c: x}}", true)
	f("shutdown_timeout: '${NONE:-5s}'", true)
	f("statsd: {mtu: '${NONE:-512}'}", true)
	f("admin: {pprof: '${YES}'}", true)
	f("statsd: {mtu: 8 KiB}", true)
	f("statsd: {mtu: 1000}", true)
	f("log: {level: '${NONE:-info}'}", true)
	f("shutdown_timeout: 1h30m5.5s", true)
	f("indexer: {outputs: [{template: {delete_after: 0}}]}", true)
	f("indexer: {outputs: [{template: {delete_after: 30d, replicas: '2'}}]}", true)

	f("include: none/*.yaml", true)
	f("include: [none/*.yaml, none/*.yml]", true)
	f("x-a: {any: [thing]}\nx-b: 1", true)

	f("include: {a: b}", false)
	f("shipper: {x-a: 1}", false)
	f("dcc: a", false)
	f("kafka: {a: {broker: [x]}}", false)
	f("indexer: {outputs: [{bulk: {byts: 1}}]}", false)
	f("kafka: [a]", false)
	f("dc: [a]", false)
	f("shipper: {files: {paths: [a]}}", false)
	f("shipper: {files: [null]}", false)
	f("indexer: {topics: logs}", false)
	f("indexer: {topics: [[a]]}", false)
	f("shutdown_timeout: 5", false)
	f("shutdown_timeout: 5 s", false)
	f("statsd: {mtu: 1.5}", false)
	f("statsd: {mtu: 64KB/s}", false)
	f("statsd: {mtu: 100}", false)
	f("statsd: {mtu: 70000}", false)
	f("admin: {pprof: yes}", false)
	f("admin: {pprof: 1}", false)
	f("log: {level: warning}", false)
	f("dc: null", false)
}

// member and object are a JSON object that keeps its order.
type member struct {
	name  string
	value any
}
type object []member

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, m := range o {
		b.WriteByte("{,"[min(i, 1)])
		if err := enc.Encode(m.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(m.value); err != nil {
			return nil, err
		}
	}
	if len(o) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// schema describes Config as a JSON schema.
func schema(t *testing.T) object {
	g := generator{t, comments(t)}
	root := g.section(reflect.ValueOf(Default()).Elem())
	return append(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "sluice configuration"},
		{"description", "One file for shipper, aggregator and indexer. Values may hold ${VAR}, ${VAR:-default} and ${VAR:?message}."},
	}, append(root, member{"patternProperties", object{{"^x-", object{{"description", "anything: room for anchors"}}}}})...)
}

type generator struct {
	t    *testing.T
	docs map[string]string // of Type and Type.Field
}

// section describes a struct whose values are the defaults.
func (g generator) section(v reflect.Value) object {
	props := object{}
	for _, k := range keys(v.Type()) {
		text := g.docs[v.Type().Name()+"."+k.field]
		if text == "" {
			text = g.docs[k.typ.Name()]
		}
		if text == "" {
			g.t.Errorf("%s.%s has no comment", v.Type().Name(), k.field)
		}
		props = append(props, member{k.name, append(object{{"description", text}}, g.value(v.Field(k.index), k.tag)...)})
	}
	return object{{"type", []string{"object", "null"}}, {"additionalProperties", false}, {"properties", props}}
}

// value describes what a key may hold; v is its default.
func (g generator) value(v reflect.Value, tag reflect.StructTag) object {
	const variable = `|\$\{`
	var out object
	one := func(o object) object { // a string, number or boolean of the kind of v
		for _, name := range []string{"minimum", "maximum"} {
			if limit, ok := bound(v, tag, name[:3]); ok && v.Type() != reflect.TypeFor[Duration]() {
				o = append(o, member{name, limit.Int()})
			}
		}
		return o
	}
	switch v.Interface().(type) {
	case Texts:
		return object{{"type", []string{"string", "array", "null"}}, {"items", object{{"type", "string"}}}}
	case Duration:
		out = object{{"type", []string{"string", "integer"}}, {"pattern", `^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$|^[0-9]+d$|^0$` + variable}}
		return append(out, member{"maximum", 0}, member{"minimum", 0}, member{"default", v.Interface().(Duration).String()})
	case Bytes:
		return append(one(object{{"type", []string{"string", "integer"}}, {"pattern", `^[0-9]+ *(B|KiB|MiB|GiB|KB|MB|GB)?$` + variable}}), member{"default", v.Interface().(Bytes).String()})
	}
	switch v.Kind() {
	case reflect.Struct:
		return g.section(v)
	case reflect.Map:
		e := g.value(entry(v.Type().Elem()), tag)
		return object{{"type", []string{"object", "null"}}, {"additionalProperties", e}}
	case reflect.Slice:
		out = object{{"type", []string{"array", "null"}}}
		e := g.value(entry(v.Type().Elem()), tag)
		if v.Type().Elem().Kind() == reflect.Struct {
			e[0].value = "object"
		} else if v.Len() > 0 {
			out = append(out, member{"default", v.Interface()})
		}
		return append(out, member{"items", e})
	case reflect.Bool:
		return object{{"type", []string{"boolean", "string"}}, {"pattern", `^(true|false)$` + variable}, {"default", v.Bool()}}
	case reflect.Int:
		return append(one(object{{"type", []string{"integer", "string"}}, {"pattern", `^[0-9]+$` + variable}}), member{"default", v.Int()})
	case reflect.String:
		if enum := strings.Fields(tag.Get("enum")); len(enum) > 0 {
			out = object{{"anyOf", []object{{{"enum", enum}}, {{"type", "string"}, {"pattern", variable[1:]}}}}}
		} else {
			out = object{{"type", []string{"string", "number", "boolean"}}}
		}
		if v.String() != "" {
			out = append(out, member{"default", v.String()})
		}
		return out
	}
	g.t.Fatalf("a key cannot be of type %s", v.Type())
	return nil
}

// comments are those of the types and fields of the configuration.
func comments(t *testing.T) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"config.go", "rule.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		addComments(f, out)
	}
	return out
}

func addComments(f *ast.File, out map[string]string) {
	ast.Inspect(f, func(n ast.Node) bool {
		decl, ok := n.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			return true
		}
		spec := decl.Specs[0].(*ast.TypeSpec)
		out[spec.Name.Name] = oneLine(decl.Doc)
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				for _, name := range field.Names {
					out[spec.Name.Name+"."+name.Name] = oneLine(field.Comment)
				}
			}
		}
		return true
	})
}

func oneLine(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
