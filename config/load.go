package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const maxFile = 4 << 20 // a larger file is no configuration

// Load reads a file over the defaults and validates it for the roles given, or for
// those it has a section for. The error joins everything that is wrong, each an
// *Error, in the order of the file. What only the other roles need may be missing on
// this host: unset variables and files of secrets in their sections and clusters.
func Load(path string, roles ...string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &Error{Msg: "read the configuration: " + err.Error()}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, &Error{Msg: "read the configuration: " + err.Error()}
	}
	return Parse(path, data, roles...)
}

// Parse is Load for a text; name stands for it in errors.
func Parse(name string, data []byte, roles ...string) (*Config, error) {
	return parse(name, data, lookupEnv, roles)
}

func parse(name string, data []byte, env func(string) (string, bool), roles []string) (*Config, error) {
	c := Default()
	c.Host, _ = expand(c.Host, env)
	c.file = &source{name: name, at: map[string]position{}, written: map[string]string{}, wrong: map[string]bool{}}
	root, err := c.file.root(data)
	if err != nil {
		return nil, err
	}
	d := &decoder{source: c.file, env: env, anchors: map[string]ast.Node{}}
	d.value(root, reflect.ValueOf(c).Elem(), "")
	if len(roles) == 0 {
		roles = c.Roles()
	}
	errs := slices.DeleteFunc(d.errs, func(e *Error) bool { return e.here && !c.used(e.Key, roles) })
	if errs = append(errs, c.validate(roles)...); len(errs) > 0 {
		return nil, all(errs)
	}
	return c, nil
}

// position is where a value or key starts, both from 1.
type position struct{ line, column int }

// source remembers where the keys of a file stand.
type source struct {
	name    string
	at      map[string]position // of values, by key path
	written map[string]string   // texts of the file that had variables replaced
	wrong   map[string]bool     // key paths that have an error, so that validation does not add another
}

// root is the one document of a file; nil if it is empty.
func (s *source) root(data []byte) (ast.Node, error) {
	if len(data) > maxFile {
		return nil, &Error{File: s.name, Line: 1, Column: 1, Msg: fmt.Sprintf("larger than %s: this is no configuration", Bytes(maxFile))}
	}
	tokens := joinColons(lexer.Tokenize(string(data)))
	if tk := second(tokens); tk != nil {
		return nil, s.syntax(tk, "a configuration is one YAML document without directives")
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if !errors.As(err, &at) {
			return nil, s.syntax(nil, err.Error())
		}
		msg := at.GetMessage()
		if tk := at.GetToken(); tk != nil && tk.Position != nil && strings.Contains(lineOf(data, tk.Position.Line), "${") {
			msg += ` (inside { } and [ ] a variable has to be quoted: "${VAR}")`
		}
		return nil, s.syntax(at.GetToken(), msg)
	}
	if len(f.Docs) == 0 {
		return nil, nil
	}
	return f.Docs[0].Body, nil
}

// second is the token that starts a second document or a directive, nil if none does.
func second(tokens token.Tokens) *token.Token {
	begun, ended := false, false
	for _, tk := range tokens {
		switch {
		case tk.Type == token.CommentType:
		case tk.Type == token.DirectiveType, ended, begun && tk.Type == token.DocumentHeaderType:
			return tk
		case tk.Type == token.DocumentEndType:
			ended = true
		default:
			begun = true
		}
	}
	return nil
}

// joinColons mends {brokers: [kafka1:9092]}: the lexer takes each colon inside { } for
// one behind a key (goccy/go-yaml issue 832), but it is part of a plain text unless a
// space follows.
func joinColons(tokens token.Tokens) token.Tokens {
	var out token.Tokens
	for i := 0; i < len(tokens); i++ {
		tk := tokens[i]
		if n := len(out); n > 0 && i+1 < len(tokens) && tk.Type == token.MappingValueType {
			before, after := out[n-1], tokens[i+1]
			if plainText(before) && plainText(after) && adjacent(before, tk) && adjacent(tk, after) {
				whole := token.New(before.Value+":"+after.Value, before.Origin+":"+after.Origin, before.Position)
				whole.Prev, whole.Next = before.Prev, after.Next
				if whole.Prev != nil {
					whole.Prev.Next = whole
				}
				if whole.Next != nil {
					whole.Next.Prev = whole
				}
				out[n-1] = whole
				i++
				continue
			}
		}
		out = append(out, tk)
	}
	return out
}

func plainText(tk *token.Token) bool {
	switch tk.Type {
	case token.StringType, token.IntegerType, token.FloatType, token.BoolType, token.NullType,
		token.HexIntegerType, token.OctetIntegerType, token.BinaryIntegerType, token.InfinityType, token.NanType:
		return true
	}
	return false
}

// adjacent tells whether b starts in the column behind a.
func adjacent(a, b *token.Token) bool {
	return a.Position.Line == b.Position.Line && a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}

func lineOf(data []byte, n int) string {
	for line := range strings.Lines(string(data)) {
		if n--; n == 0 {
			return line
		}
	}
	return ""
}

func (s *source) syntax(tk *token.Token, msg string) *Error {
	p := start(tk)
	return &Error{File: s.name, Line: p.line, Column: p.column, Msg: msg}
}

// start is where a token stands; the first column of the file if that is not known.
func start(tk *token.Token) position {
	if tk == nil || tk.Position == nil {
		return position{1, 1}
	}
	return position{max(tk.Position.Line, 1), max(tk.Position.Column, 1)}
}

// decoder puts a document into a Config and goes on after errors.
type decoder struct {
	*source
	env     func(string) (string, bool)
	anchors map[string]ast.Node // complete ones, so none holds itself
	errs    []*Error
}

func (d *decoder) fail(at position, path, format string, args ...any) *Error {
	e := &Error{File: d.name, Line: at.line, Column: at.column, Key: path, Msg: fmt.Sprintf(format, args...)}
	d.errs = append(d.errs, e)
	d.wrong[path] = true
	return e
}

// value decodes a node into v, whose default stays where the file says nothing.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	if n == nil {
		return
	}
	at := begin(n)
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
		d.value(target, v, path)
		return
	case *ast.TagNode:
		d.fail(at, path, "YAML tags such as %s are not supported; quote a value to make it a string", n.Start.Value)
		return
	}
	d.at[path] = at
	section := v.Kind() == reflect.Struct || v.Kind() == reflect.Map || v.Kind() == reflect.Slice
	pairs, isMap := mapping(n)
	list, isList := n.(*ast.SequenceNode)
	switch {
	case n.Type() == ast.NullType && section: // a section whose keys are all commented out
	case v.Kind() == reflect.Struct && isMap:
		d.section(pairs, v, path)
	case v.Kind() == reflect.Map && isMap:
		d.entries(pairs, v, path)
	case v.Kind() == reflect.Slice && isList:
		d.list(list, v, path)
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
		if i := slices.Index(all, name); i >= 0 {
			d.value(p.Value, v.Field(known[i].index), join(path, name))
			continue
		}
		hint := "known here are " + strings.Join(all, ", ")
		if near := closest(name, all); near != "" {
			hint = "did you mean " + near + "?"
			d.wrong[join(path, near)] = true
		}
		d.fail(begin(p.Key), join(path, name), "unknown key; %s", hint)
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
				d.fail(begin(n), path, "<< expected a section, got a list")
				continue
			}
			d.merge(n, v, path)
		}
		return
	}
	before := d.at[path]
	d.value(n, v, path)
	d.at[path] = before
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
		d.value(p.Value, e, join(path, name))
		v.SetMapIndex(reflect.ValueOf(name), e)
	}
}

// keyName is the key of a pair, if it is one that may stand here.
func (d *decoder) keyName(p *ast.MappingValueNode, path string, seen map[string]position) (string, bool) {
	at := begin(p.Key)
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

// list replaces the default list.
func (d *decoder) list(n *ast.SequenceNode, v reflect.Value, path string) {
	out := reflect.MakeSlice(v.Type(), 0, len(n.Values))
	for i, item := range n.Values {
		e := entry(v.Type().Elem())
		if item.Type() == ast.NullType {
			d.fail(begin(item), entryPath(path, i), "entry has no value")
		} else {
			d.value(item, e, entryPath(path, i))
		}
		out = reflect.Append(out, e)
	}
	v.Set(out)
}

// scalar decodes a text as written, after replacing variables in it.
func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	at := begin(n)
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

// quote shortens what goes into a message.
func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "..."
	}
	return fmt.Sprintf("%q", s)
}

// text is what a scalar node says, as written but for quotes and escapes.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// mapping is the pairs of a node that is a section or map.
func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// begin is where a node starts: for a mapping in block style its first key.
func begin(n ast.Node) position {
	if pairs, ok := mapping(n); ok && len(pairs) > 0 && n.GetToken().Type != token.MappingStartType {
		return begin(pairs[0].Key)
	}
	return start(n.GetToken())
}

func expected(k reflect.Kind) string {
	switch k {
	case reflect.Struct:
		return "a section of keys"
	case reflect.Map:
		return "a section of names and values"
	case reflect.Slice:
		return "a list such as [a, b]"
	}
	return "a single value"
}

func got(n ast.Node) string {
	switch n.(type) {
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	}
	if t, ok := text(n); ok && n.Type() != ast.NullType {
		return quote(t)
	}
	return "nothing"
}
