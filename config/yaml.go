package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// root is the one document of the newest file; nil if it is empty.
func (s *source) root(data []byte) (ast.Node, error) {
	if len(data) > maxFile {
		return nil, s.syntax(nil, fmt.Sprintf("larger than %s: this is no configuration", Bytes(maxFile)))
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // a byte order mark
	tokens := joinColons(lexer.Tokenize(string(data)))
	if tk := tooDeep(tokens); tk != nil {
		return nil, s.syntax(tk, fmt.Sprintf("more than %d sections and lists within each other", maxDepth))
	}
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

// tooDeep is the first token that is nested deeper than the parser, which is recursive,
// should be asked to go; nil if none is.
func tooDeep(tokens token.Tokens) *token.Token {
	var blocks []int // columns at which the blocks around a line begin
	flow, marks, line := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position == nil {
			continue
		}
		switch tk.Type {
		case token.CommentType:
			continue
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			marks++
		}
		if tk.Position.Line != line {
			line, marks = tk.Position.Line, 0
			for len(blocks) > 0 && blocks[len(blocks)-1] >= tk.Position.Column {
				blocks = blocks[:len(blocks)-1]
			}
			if flow <= 0 {
				blocks = append(blocks, tk.Position.Column)
			}
		}
		if flow > maxDepth || len(blocks) > maxDepth || flow <= 0 && marks > 2*maxDepth {
			return tk
		}
	}
	return nil
}

// joinColons mends {brokers: [kafka1:9092]}: the lexer takes each colon inside { } for
// one after a key (goccy/go-yaml issue 832), but it is part of a plain text unless a
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

// adjacent reports whether b starts in the column after a.
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
	p, newest := start(tk), len(s.files)-1
	return &Error{File: s.files[newest], Line: p.line, Column: p.column, Msg: msg, order: newest}
}

// start is where a token is; the first column of the file if that is not known.
func start(tk *token.Token) position {
	if tk == nil || tk.Position == nil {
		return position{line: 1, column: 1}
	}
	return position{line: max(tk.Position.Line, 1), column: max(tk.Position.Column, 1)}
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
