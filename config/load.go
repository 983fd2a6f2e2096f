package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Load reads a file over the defaults, and the files it includes, and judges the whole
// by the rules for the roles given, or for those it has a section for. The error joins
// everything that is wrong, each an *Error, in the order of the files. What only the
// other roles need may be missing on this host: unset variables and files of secrets in
// their sections and clusters. The facts of a host are left to LoadHere.
func Load(path string, roles ...string) (*Config, error) {
	return read(path, roles, false)
}

// LoadHere is Load for a role that is to run on this host: certificates, data_dir and
// what else the role finds here are judged as well. A role starts with it, and
// `sluice check --role` reports what it returns, so that both say the same.
func LoadHere(path, role string) (*Config, error) {
	return read(path, []string{role}, true)
}

func read(path string, roles []string, here bool) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, &Error{Msg: "read the configuration: " + err.Error()}
	}
	return parseAs(path, data, lookupEnv, roles, here)
}

// Parse is Load for a text; name is that of its file in errors, and the files that it
// includes are looked for beside that one.
func Parse(name string, data []byte, roles ...string) (*Config, error) {
	return parse(name, data, lookupEnv, roles)
}

func parse(name string, data []byte, env func(string) (string, bool), roles []string) (*Config, error) {
	return parseAs(name, data, env, roles, false)
}

func parseAs(name string, data []byte, env func(string) (string, bool), roles []string, here bool) (*Config, error) {
	c := Default()
	c.Host, _ = expand(c.Host, env)
	c.file = newSource()
	d := &decoder{source: c.file, env: env}
	if err := d.file(c, name, data); err != nil {
		return nil, err
	}
	d.include(c)
	if len(roles) == 0 {
		roles = c.Roles()
	}
	if d.cut { // what is missing may be there
		return nil, all(d.errs)
	}
	errs := slices.DeleteFunc(d.errs, func(e *Error) bool { return e.here && !c.used(e.Key, roles) })
	errs = append(errs, c.validate(roles, here)...)
	if len(errs) > 0 {
		return nil, all(errs)
	}
	return c, nil
}

// position is where a value or key starts, line and column from 1, in which of the files.
type position struct{ line, column, file int }

// source remembers where the keys of a configuration are.
type source struct {
	files   []string            // names, in the order of reading
	at      map[string]position // of values, by key path; if several files have the section, in the first
	written map[string]string   // texts of a file that had variables replaced
	wrong   map[string]bool     // key paths that have an error, so that validation does not add another
}

func newSource() *source {
	return &source{at: map[string]position{}, written: map[string]string{}, wrong: map[string]bool{}}
}

// decoder puts documents into a Config and goes on after errors.
type decoder struct {
	*source
	env  func(string) (string, bool)
	errs []*Error
	cut  bool // something was left out because of its depth or size

	// Of the file that is being read:
	now     map[string]position // as at
	bases   map[string]int      // of lists: how many entries are those of earlier files
	anchors map[string]ast.Node
	depth   int  // of sections and lists around the value
	aliases int  // around the value
	made    int  // values that aliases have made
	deep    bool // it was too deep somewhere
}

// file decodes one file over what earlier ones have set. An error is one of syntax.
func (d *decoder) file(c *Config, name string, data []byte) error {
	d.files = append(d.files, name)
	d.now, d.bases, d.anchors, d.made = map[string]position{}, map[string]int{}, map[string]ast.Node{}, 0
	d.deep = false
	root, err := d.root(data)
	if err != nil {
		return err
	}
	d.value(root, reflect.ValueOf(c).Elem(), "")
	for path, at := range d.now {
		if _, ok := d.at[path]; !ok {
			d.at[path] = at
		}
	}
	return nil
}

// earlier is where an earlier file has set a value.
func (d *decoder) earlier(path string) (position, bool) {
	at, ok := d.at[path]
	return at, ok
}

// begin is where a node of this file starts.
func (d *decoder) begin(n ast.Node) position {
	at := begin(n)
	at.file = len(d.files) - 1
	return at
}

// where names a position for a message about another one.
func (s *source) where(at position) string {
	return fmt.Sprintf("%s:%d:%d", s.files[at.file], at.line, at.column)
}

// What aliases and nesting may make of a file.
const (
	maxDepth = 64      // sections and lists within each other
	maxMade  = 100_000 // values that aliases add to those of the file
)

func (d *decoder) fail(at position, path, format string, args ...any) *Error {
	e := &Error{File: d.files[at.file], Line: at.line, Column: at.column, Key: path, Msg: fmt.Sprintf(format, args...), order: at.file}
	d.errs = append(d.errs, e)
	d.wrong[path] = true
	return e
}

// value decodes a node into v, whose default stays where the file says nothing.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	if n == nil {
		return
	}
	at := d.begin(n)
	if !d.bounded(at, path) {
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	switch n := n.(type) {
	case *ast.AnchorNode:
		d.value(n.Value, v, path)
		d.anchors[n.Name.GetToken().Value] = n.Value
		return
	case *ast.AliasNode:
		target, ok := d.anchors[n.Value.GetToken().Value]
		if !ok {
			d.fail(at, path, "no anchor &%s above", n.Value.GetToken().Value)
			return
		}
		d.aliases++
		d.value(target, v, path)
		d.aliases--
		return
	case *ast.TagNode:
		d.fail(at, path, "YAML tags such as %s are not supported; quote a value to make it a string", n.Start.Value)
		return
	}
	section := v.Kind() == reflect.Struct || v.Kind() == reflect.Map || v.Kind() == reflect.Slice
	pairs, isMap := mapping(n)
	list, isList := n.(*ast.SequenceNode)
	if first, ok := d.earlier(path); ok && !section {
		d.fail(at, path, "is already set in %s", d.where(first))
		return
	}
	d.now[path] = at
	switch {
	case n.Type() == ast.NullType && section: // a section whose keys are all commented out
	case v.Kind() == reflect.Struct && isMap:
		d.section(pairs, v, path)
	case v.Kind() == reflect.Map && isMap:
		d.entries(pairs, v, path)
	case v.Kind() == reflect.Slice && isList:
		d.list(list.Values, v, path)
	case v.Type() == reflect.TypeFor[Texts]() && !isMap:
		d.list([]ast.Node{n}, v, path)
	case section || isMap || isList:
		d.fail(at, path, "expected %s, got %s", expected(v.Kind()), got(n))
	default:
		d.scalar(n, v, path)
	}
}

// section decodes keys into a struct. Keys of << come first, so that those written
// out win wherever they stand.
func (d *decoder) section(pairs []*ast.MappingValueNode, v reflect.Value, path string) {
	d.merges(pairs, v, path)
	known := keys(v.Type())
	var all []string
	for _, k := range known {
		all = append(all, k.name)
	}
	seen := map[string]position{}
	for _, p := range pairs {
		name, ok := d.keyName(p, path, seen)
		if !ok {
			continue
		}
		if path == "" && strings.HasPrefix(name, "x-") { // room for anchors
			d.remember(p.Value, 0)
			continue
		}
		if i := slices.Index(all, name); i >= 0 {
			d.value(p.Value, v.Field(known[i].index), join(path, name))
			continue
		}
		hint := "known here are " + strings.Join(all, ", ")
		if near := closest(name, all); near != "" {
			hint = "did you mean " + near + "?"
			d.wrong[join(path, near)] = true
		}
		d.fail(d.begin(p.Key), join(path, name), "unknown key; %s", hint)
	}
}

func (d *decoder) merges(pairs []*ast.MappingValueNode, v reflect.Value, path string) {
	for _, p := range pairs {
		if p.Key.IsMergeKey() {
			d.merge(p.Value, v, path)
		}
	}
}

// merge decodes what << names, a mapping or a list of them of which the first wins.
func (d *decoder) merge(n ast.Node, v reflect.Value, path string) {
	if list, ok := n.(*ast.SequenceNode); ok {
		for _, n := range slices.Backward(list.Values) {
			if _, nested := n.(*ast.SequenceNode); nested {
				d.fail(d.begin(n), path, "<< expected a section, got a list")
				continue
			}
			d.merge(n, v, path)
		}
		return
	}
	before, ok := d.now[path]
	d.value(n, v, path)
	if ok {
		d.now[path] = before
	}
}

// entries decodes the named entries of a map.
func (d *decoder) entries(pairs []*ast.MappingValueNode, v reflect.Value, path string) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.merges(pairs, v, path)
	seen := map[string]position{}
	for _, p := range pairs {
		name, ok := d.keyName(p, path, seen)
		if !ok {
			continue
		}
		e := entry(v.Type().Elem())
		if _, ok := d.earlier(join(path, name)); ok {
			e.Set(v.MapIndex(reflect.ValueOf(name)))
		}
		d.value(p.Value, e, join(path, name))
		v.SetMapIndex(reflect.ValueOf(name), e)
	}
}

// keyName is the key of a pair, if it is one that may stand here.
func (d *decoder) keyName(p *ast.MappingValueNode, path string, seen map[string]position) (string, bool) {
	at := d.begin(p.Key)
	if p.Key.IsMergeKey() {
		return "", false
	}
	name, ok := text(p.Key)
	if !ok {
		d.fail(at, path, "expected a name as key, got %s", got(p.Key))
		return "", false
	}
	if first, dup := seen[name]; dup {
		d.fail(at, join(path, name), "key is already in line %d", first.line)
		return "", false
	}
	seen[name] = at
	return name, true
}

// list replaces the default list, or adds to that of earlier files.
func (d *decoder) list(items []ast.Node, v reflect.Value, path string) {
	base, known := d.bases[path]
	if _, ok := d.earlier(path); ok && !known {
		base = v.Len()
	}
	d.bases[path] = base
	out := reflect.MakeSlice(v.Type(), 0, base+len(items))
	out = reflect.AppendSlice(out, v.Slice(0, base))
	for i, item := range items {
		e := entry(v.Type().Elem())
		if item.Type() == ast.NullType {
			d.fail(d.begin(item), entryPath(path, base+i), "entry has no value")
		} else {
			d.value(item, e, entryPath(path, base+i))
		}
		out = reflect.Append(out, e)
	}
	v.Set(out)
}

// bounded reports whether one more value is within bounds; the first that is not is an
// error, and nothing below it is decoded.
func (d *decoder) bounded(at position, path string) bool {
	if d.aliases > 0 {
		d.made++
	}
	switch {
	case d.aliases > 0 && d.made > maxMade+1: // reported
		return false
	case d.aliases > 0 && d.made > maxMade:
		d.cut = true
		d.fail(at, path, "the aliases of this file make more than %d values; name what they repeat once", maxMade)
		return false
	case d.depth >= maxDepth && d.deep:
		return false
	case d.depth >= maxDepth:
		d.deep, d.cut = true, true
		d.fail(at, path, "more than %d sections and lists within each other, counting those that aliases make", maxDepth)
		return false
	}
	return true
}

// remember keeps the anchors of a value that is not decoded itself.
func (d *decoder) remember(n ast.Node, depth int) {
	if n == nil || depth > maxDepth {
		return
	}
	if a, ok := n.(*ast.AnchorNode); ok {
		d.remember(a.Value, depth+1)
		d.anchors[a.Name.GetToken().Value] = a.Value
	}
	if list, ok := n.(*ast.SequenceNode); ok {
		for _, item := range list.Values {
			d.remember(item, depth+1)
		}
	}
	pairs, _ := mapping(n)
	for _, p := range pairs {
		d.remember(p.Value, depth+1)
	}
}

// scalar decodes a text as written, after replacing variables in it.
func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	at := d.begin(n)
	written, ok := text(n)
	if !ok || n.Type() == ast.NullType {
		d.fail(at, path, `has no value; leave the key out for the default, or write ""`)
		return
	}
	value, err := expand(written, d.env)
	if err != nil {
		d.fail(at, path, "%v", err).here = errors.As(err, new(unset))
		return
	}
	if value != written {
		d.written[path] = written
	}
	if v.Type() == reflect.TypeFor[Secret]() {
		if value, err = secret(value); err != nil {
			d.fail(at, path, "%v", err).here = true
			return
		}
	}
	if err := set(v, value); err != nil {
		d.fail(at, path, "%v, got %s", err, quote(written)) // not value: it may be a secret in the wrong place
	}
}

// quote shortens what goes into a message, and masks the password of an address.
func quote(s string) string {
	s = maskUser(s)
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "..."
	}
	return fmt.Sprintf("%q", s)
}
