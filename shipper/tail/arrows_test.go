package tail

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// order is the files of this package, read downwards: a function calls what is in its own
// file or in one below it.
var order = []string{
	"tail", "status", "wake", "poll", "news", "depart", "look", "work", "read", "truncate", "blank", "feed", "spool", "discover", "open",
	"copy", "stem", "same", "rest", "save", "queue", "watch", "closer", "writers", "leftovers", "several", "metrics", "file", "room",
}

func TestArrowsBetweenFilesRunDown(t *testing.T) {
	files, uses := arrows(t, ".")
	for _, f := range files {
		if !slices.Contains(order, f) {
			t.Errorf("%s.go is not in the order of files", f)
		}
	}
	up := 0
	for _, u := range uses {
		if slices.Index(order, u.from) > slices.Index(order, u.to) {
			up++
			t.Errorf("%s.go calls %s, which is above it in %s.go", u.from, u.what, u.to)
		}
	}
	t.Logf("%d arrows between %d files, %d of them up", len(uses), len(files), up)
}

func TestTypesStaySmall(t *testing.T) {
	const mostFields, mostMethods = 20, 30
	pkg, _, _ := check(t, ".")
	for _, name := range pkg.Scope().Names() {
		n, ok := pkg.Scope().Lookup(name).Type().(*types.Named)
		if !ok || pkg.Scope().Lookup(name).Parent() != pkg.Scope() {
			continue
		}
		s, ok := n.Underlying().(*types.Struct)
		if !ok {
			continue
		}
		fields, methods := fieldsOf(s), types.NewMethodSet(types.NewPointer(n)).Len()
		if fields > mostFields || methods > mostMethods {
			t.Errorf("%s has %d fields and %d methods, at most are %d and %d", name, fields, methods, mostFields, mostMethods)
		}
		if fields > 12 || methods > 12 {
			t.Logf("%s: %d fields, %d methods", name, fields, methods)
		}
	}
}

// fieldsOf counts fields, those of embedded types as well.
func fieldsOf(s *types.Struct) (n int) {
	for f := range s.Fields() {
		typ := f.Type()
		if p, ok := typ.(*types.Pointer); ok {
			typ = p.Elem()
		}
		if e, ok := typ.Underlying().(*types.Struct); ok && f.Embedded() {
			n += fieldsOf(e)
		} else {
			n++
		}
	}
	return n
}

// use is a function of one file that is called, or handed on, in another.
type use struct{ from, to, what string }

// arrows are the uses of functions and methods between the files of a package, each once
// for a pair of files and a function.
func arrows(t *testing.T, dir string) (files []string, uses []use) {
	t.Helper()
	pkg, info, fset := check(t, dir)
	file := func(at token.Pos) string { return strings.TrimSuffix(filepath.Base(fset.Position(at).Filename), ".go") }
	seen := map[use]bool{}
	for id, o := range info.Uses {
		f, ok := o.(*types.Func)
		if !ok || f.Pkg() != pkg {
			continue
		}
		u := use{file(id.Pos()), file(f.Pos()), f.Name()}
		if u.from != u.to && !seen[u] {
			seen[u] = true
			uses = append(uses, u)
		}
	}
	for id := range info.Defs {
		if f := file(id.Pos()); !slices.Contains(files, f) {
			files = append(files, f)
		}
	}
	return files, uses
}

// check reads a package without what it imports: its own functions are known all the
// same.
func check(t *testing.T, dir string) (*types.Package, *types.Info, *token.FileSet) {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: empty{}, Error: func(error) {}}
	pkg, _ := conf.Check("p", fset, files, info)
	return pkg, info, fset
}

// empty imports packages without anything in them.
type empty struct{}

func (empty) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, path[strings.LastIndexByte(path, '/')+1:])
	p.MarkComplete()
	return p, nil
}

var _ types.Importer = empty{}
