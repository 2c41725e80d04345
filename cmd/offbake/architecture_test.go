package main

import (
	"encoding/json"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/offbake/offbake/"

// rooms is the import table of docs/design.md: which of our packages a package may import. The small internal ones
// (transport where listed, progress, atomicfile) are open to all.
func rooms() map[string][]string {
	return map[string][]string{
		"manifest":            {},
		"bundle":              {"manifest", "bundle/sign"},
		"bundle/sign":         {},
		"bundle/assemble":     {"manifest", "bundle", "bundle/source", "bundle/fetch", "bundle/rpm", "bundle/rpm/solve", "bundle/sign"},
		"bundle/source":       {"manifest", "bundle/rpm", "bundle/rpm/solve", "bundle/rpm/modulemd", "bundle/rpm/rpmdb", "bundle/fetch", "internal/transport"},
		"bundle/rpm":          {},
		"bundle/rpm/solve":    {"bundle/rpm"},
		"bundle/rpm/modulemd": {"bundle/rpm"},
		"bundle/rpm/rpmdb":    {"bundle/rpm"},
		"bundle/fetch":        {"internal/transport"},
		"bundle/ufile":        {},
		"bundle/store":        {"bundle", "bundle/rpm", "bundle/ufile", "internal/transport"},
		"bundle/serve":        {"bundle", "bundle/ufile"},
		"provision":           {"manifest", "bundle", "bundle/rpm", "bundle/rpm/solve"},
		"provision/seal":      {},
		"provision/guest":     {"provision/seal"},
		"provision/imagetest": {},
		"provision/local":     {"manifest", "bundle", "provision", "provision/guest", "provision/seal"},
		"provision/remote":    {"provision", "provision/seal"},
		"provision/ucloud":    {"manifest", "provision", "provision/remote", "provision/seal", "internal/transport"},
		"provision/disk":      {"manifest", "provision", "provision/guest", "provision/local"},
		"provision/sandbox":   {"bundle/serve", "bundle/ufile", "provision/guest", "provision/seal"},
		"internal/transport":  {},
		"internal/progress":   {},
		"internal/atomicfile": {},
		"internal/faulttest":  {},
	}
}

// chosen maps each library that the user chose to the one package that may import it.
func chosen() map[string]string {
	return map[string]string{
		"github.com/spf13/cobra":              "cmd/offbake",
		"github.com/cavaliergopher/grab/v3":   "bundle/fetch",
		"github.com/mholt/archiver/v4":        "bundle/assemble",
		"github.com/ufilesdk-dev/ufile-gosdk": "bundle/store",
		"github.com/ucloud/ucloud-sdk-go":     "provision/ucloud",
		"github.com/vishvananda/netlink":      "provision/seal",
		"github.com/CycloneDX/cyclonedx-go":   "bundle/assemble",
		"github.com/goccy/go-yaml":            "manifest",
		"aead.dev/minisign":                   "bundle/sign",
		"github.com/vbauerster/mpb/v8":        "internal/progress",
	}
}

type goPackage struct {
	ImportPath  string
	Dir         string
	GoFiles     []string
	Imports     []string
	TestImports []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,TestImports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < len(rooms())/2 {
		t.Fatalf("go list found %d packages, want most of the %d rooms", len(all), len(rooms()))
	}
	return all
}

func TestImportsKeepToTheMap(t *testing.T) {
	open := []string{"internal/progress", "internal/atomicfile"}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "examples/") {
			continue
		}
		allowed, known := rooms()[name]
		if !known {
			t.Errorf("package %q is not in the map of docs/design.md", name)
			continue
		}
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module)
			if ok && !slices.Contains(allowed, ours) && !slices.Contains(open, ours) {
				t.Errorf("%s imports %s, which the map does not allow", name, ours)
			}
		}
	}
}

func TestChosenLibrariesLiveInOneRoom(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			for lib, home := range chosen() {
				if home != "" && (imp == lib || strings.HasPrefix(imp, lib+"/")) && name != home {
					t.Errorf("%s imports %s, which lives in %s", name, lib, home)
				}
			}
		}
	}
}

func TestNobodyShipsTheTestHelpers(t *testing.T) {
	for _, p := range listPackages(t) {
		if strings.Contains(p.ImportPath, "/examples/") {
			continue
		}
		if slices.Contains(p.Imports, module+"internal/faulttest") {
			t.Errorf("%s imports internal/faulttest outside its tests", p.ImportPath)
		}
	}
}

func TestTopLevelIsTheUsers(t *testing.T) {
	want := []string{"cmd", "bundle", "manifest", "provision", "go.mod", "go.sum", "manifest.yaml", "Makefile", "README.md",
		"docs", "examples", "internal", "LICENSE", "CONTRIBUTING.md"}
	out, err := exec.Command("git", "-C", "../..", "ls-tree", "--name-only", "HEAD").Output()
	if err != nil {
		t.Fatalf("listing the top level: %v", err)
	}
	for _, name := range strings.Fields(string(out)) {
		if !strings.HasPrefix(name, ".") && !slices.Contains(want, name) {
			t.Errorf("%q stands at the top level", name)
		}
	}
}

// TestSizes holds the limits of CONTRIBUTING.md: they keep every function on one screen and every file one noun.
func TestSizes(t *testing.T) {
	var lengths []int
	walkGo(t, func(path string, fset *token.FileSet, f *ast.File) {
		if n := fset.File(f.Pos()).LineCount(); n > 400 {
			t.Errorf("%s has %d lines, want at most 400", path, n)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
			lengths = append(lengths, n)
			if n > 80 {
				t.Errorf("%s: %s has %d lines, want at most 80", path, fn.Name.Name, n)
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s has an init function", path)
			}
		}
	})
	slices.Sort(lengths)
	if p95 := lengths[len(lengths)*95/100]; p95 > 50 {
		t.Errorf("the 95th percentile of function lengths is %d lines, want at most 50", p95)
	}
}

// TestNoMutableGlobals allows package variables for what Go cannot make constant (errors, patterns, embedded files), as
// long as nothing in the package assigns to them, to an element of theirs, or takes their address.
func TestNoMutableGlobals(t *testing.T) {
	fset, folders := token.NewFileSet(), map[string][]*ast.File{}
	walkGo(t, func(path string, _ *token.FileSet, _ *ast.File) {
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		folders[filepath.Dir(path)] = append(folders[filepath.Dir(path)], f)
	})
	for dir, files := range folders {
		// Imports are not followed: only the package's own names matter, and those resolve without.
		info := types.Info{Uses: map[*ast.Ident]types.Object{}}
		conf := types.Config{Error: func(error) {}, Importer: importer.ForCompiler(fset, "none", nil)}
		pkg, _ := conf.Check(dir, fset, files, &info)
		for _, f := range files {
			for _, e := range changed(f) {
				name := root(e)
				if name == nil {
					continue
				}
				if v, ok := info.Uses[name].(*types.Var); ok && v.Parent() == pkg.Scope() {
					t.Errorf("%s: package variable %s is changed", fset.Position(e.Pos()), name.Name)
				}
			}
		}
	}
}

// changed lists what a file assigns to, counts up or takes the address of.
func changed(f *ast.File) []ast.Expr {
	var all []ast.Expr
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			all = append(all, n.Lhs...)
		case *ast.IncDecStmt:
			all = append(all, n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				all = append(all, n.X)
			}
		}
		return true
	})
	return all
}

// root is the variable that an assignable expression begins with.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func walkGo(t *testing.T, visit func(path string, fset *token.FileSet, f *ast.File)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && d.Name() != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		seen++
		visit(path, fset, f)
		return nil
	})
	if err != nil || seen == 0 {
		t.Fatalf("reading the sources: %d files, %v", seen, err)
	}
}
