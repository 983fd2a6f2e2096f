package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// shaped are the folders whose types are held to the bounds, with all below them.
var shaped = []string{"shipper"}

// pairs are the types that may know each other: records of which neither works by itself.
var pairs = map[string]bool{
	"shipper/tail.file -> shipper/tail.origin -> shipper/tail.file": true, // a file and the log that it is of
}

// Bounds of a type, what it embeds counted.
const (
	mostFields  = 20
	mostMethods = 30
)

// shape is a struct of the product as it is written.
type shape struct {
	name    string // folder.Type
	fields  int
	methods int
	embeds  []string // by name
	points  []string // types that its fields hold, through pointers, slices, maps and channels
}

// shapes reads the structs below a folder.
func shapes(t *testing.T, root string) map[string]*shape {
	t.Helper()
	out, methods := map[string]*shape{}, map[string]int{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		others := map[string]string{} // folder by the name of its package here
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if to, ok := strings.CutPrefix(p, module+"/"); ok {
				short := to[strings.LastIndexByte(to, '/')+1:]
				if i.Name != nil {
					short = i.Name.Name
				}
				others[short] = to
			}
		}
		// named lists our types in an expression: the bare one alone, or all that it holds.
		named := func(e ast.Expr) (out []string) {
			ast.Inspect(e, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncType, *ast.InterfaceType, *ast.StructType:
					return false // a function that may be called is no part
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && others[x.Name] != "" {
						out = append(out, others[x.Name]+"."+n.Sel.Name)
					}
					return false
				case *ast.Ident:
					out = append(out, dir+"."+n.Name)
				}
				return true
			})
			return out
		}
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv != nil {
					for _, n := range named(decl.Recv.List[0].Type)[:1] {
						methods[n]++
					}
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					typ, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					st, ok := typ.Type.(*ast.StructType)
					if !ok {
						continue
					}
					s := &shape{name: dir + "." + typ.Name.Name}
					for _, field := range st.Fields.List {
						s.fields += max(1, len(field.Names))
						s.points = append(s.points, named(field.Type)...)
						if len(field.Names) == 0 {
							s.embeds = append(s.embeds, named(field.Type)...)
						}
					}
					out[s.name] = s
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range out {
		s.methods = methods[name]
	}
	return out
}

// whole counts a type with what it embeds.
func whole(all map[string]*shape, name string) (fields, methods int) {
	s := all[name]
	if s == nil {
		return 0, 0 // of another's package
	}
	fields, methods = s.fields, s.methods
	for _, e := range s.embeds {
		f, m := whole(all, e)
		fields, methods = fields+f, methods+m
	}
	return fields, methods
}

// loops lists the types that hold each other, by way of how many types ever.
func loops(all map[string]*shape) (out []string) {
	for _, from := range slices.Sorted(maps.Keys(all)) {
		var path []string
		seen := map[string]bool{}
		var visit func(at string) bool
		visit = func(at string) bool {
			path = append(path, at)
			for _, to := range all[at].points {
				if to == from && at != from {
					return true
				}
				if to > from && all[to] != nil && !seen[to] { // each loop is found at its first name
					if seen[to] = true; visit(to) {
						return true
					}
				}
			}
			path = path[:len(path)-1]
			return false
		}
		if visit(from) {
			out = append(out, strings.Join(append(path, from), " -> "))
		}
	}
	return out
}

// A type stays small enough to be held in the head, and no part points back to its owner.
func TestShapes(t *testing.T) {
	for _, room := range shaped {
		all := shapes(t, room)
		if len(all) == 0 {
			t.Errorf("%s has no types", room)
		}
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if fields, methods := whole(all, name); fields > mostFields || methods > mostMethods {
				t.Errorf("%s has %d fields and %d methods, embedded ones counted; at most %d and %d", name, fields, methods, mostFields, mostMethods)
			}
		}
		for _, loop := range loops(all) {
			if !pairs[loop] {
				t.Errorf("a part points back to its owner: %s", loop)
			}
		}
	}
}

// What is counted is what the bounds are about.
func TestShapesAreCounted(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("package p\n\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a.go", "type owner struct {\n\tbase\n\ta, b int\n\tparts map[string][]*part\n}\nfunc (o *owner) run() {}\n")
	write("b.go", "type base struct{ x, y int }\nfunc (base) f() {}\nfunc (base) g() {}\ntype part struct{ next *part; done func(*owner) }\n")
	all := shapes(t, dir)
	if fields, methods := whole(all, filepath.ToSlash(dir)+".owner"); fields != 6 || methods != 3 {
		t.Errorf("%d fields and %d methods, want 6 and 3", fields, methods)
	}
	if got := loops(all); len(got) > 0 {
		t.Errorf("loops %q in what has none", got)
	}
	write("c.go", "type middle struct{ o *owner }\n")
	write("b.go", "type base struct{ x, y int }\ntype part struct{ m middle }\n")
	if got := loops(shapes(t, dir)); len(got) != 1 || strings.Count(got[0], " -> ") != 3 {
		t.Errorf("loops %q, want owner, part, middle", got)
	}
}
