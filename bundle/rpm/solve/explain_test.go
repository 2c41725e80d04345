package solve_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
)

var update = flag.Bool("update", false, "rewrite goldens")

// handmade is a small world: a package a line, "host" or the id of its repository, its NEVRA, and its dependencies; then
// what is asked for. Package names have no digits after a hyphen.
type handmade struct {
	options solve.PoolOptions
	job     solve.Job
}

func parseHandmade(t *testing.T, text string) handmade {
	t.Helper()
	h := handmade{job: solve.Job{}}
	repos := map[string]*rpm.Repo{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "", "#":
		case "install":
			h.job.Install = append(h.job.Install, rest)
		case "upgrade":
			h.job.Upgrade = append(h.job.Upgrade, rest)
		case "exclude":
			h.options.Exclude = append(h.options.Exclude, rest)
		case "weak":
			h.job.Weak = true
		case "hide":
			h.options.Hidden = func(p *rpm.Package) bool { return p.Name == rest }
		case "host":
			h.options.Installed = append(h.options.Installed, parsePackage(t, rest))
		case "docker-el7":
			h.options.Repos = append(h.options.Repos, realRepository(t, word, strings.Fields(rest)))
		case "machine":
			h.options.Installed = append(h.options.Installed, realMachine(t, rest)...)
		default:
			if repos[word] == nil {
				repos[word] = &rpm.Repo{ID: word, Priority: rpm.DefaultPriority}
				h.options.Repos = append(h.options.Repos, repos[word])
			}
			repos[word].Packages = append(repos[word].Packages, parsePackage(t, rest))
		}
	}
	return h
}

// parsePackage reads "name-[epoch:]version-release.arch; requires x >= 1; file /path; …".
func parsePackage(t *testing.T, text string) *rpm.Package {
	t.Helper()
	parts := strings.Split(text, "; ")
	nevra := parts[0]
	dot := strings.LastIndexByte(nevra, '.')
	i := strings.LastIndexByte(nevra[:max(strings.LastIndexByte(nevra, '-'), 0)], '-')
	if i < 0 || dot < 0 {
		t.Fatalf("got package %q", text)
	}
	p := &rpm.Package{Name: nevra[:i], EVR: rpm.ParseEVR(nevra[i+1 : dot]), Arch: nevra[dot+1:]}
	p.Provides = []rpm.Dep{{Name: p.Name, EVR: &p.EVR, Flags: rpm.Equal}}
	lists := map[string]*[]rpm.Dep{"provides": &p.Provides, "requires": &p.Requires, "conflicts": &p.Conflicts,
		"obsoletes": &p.Obsoletes, "recommends": &p.Recommends, "supplements": &p.Supplements}
	for _, part := range parts[1:] {
		key, rest, _ := strings.Cut(part, " ")
		list := lists[key]
		switch {
		case key == "file":
			p.Files = append(p.Files, rest)
		case list == nil:
			t.Fatalf("got %q of package %q", part, nevra)
		default:
			*list = append(*list, handmadeDep(rest))
		}
	}
	return p
}

func handmadeDep(s string) rpm.Dep {
	flags := map[string]rpm.Flags{"=": rpm.Equal, "<": rpm.Less, ">": rpm.Greater, "<=": rpm.Less | rpm.Equal, ">=": rpm.Greater | rpm.Equal}
	fields := strings.Fields(s)
	if len(fields) != 3 || strings.HasPrefix(s, "(") || flags[fields[1]] == 0 {
		return rpm.Dep{Name: s}
	}
	evr := rpm.ParseEVR(fields[2])
	return rpm.Dep{Name: fields[0], EVR: &evr, Flags: flags[fields[1]]}
}

// realRepository reads real metadata, without some packages.
func realRepository(t *testing.T, name string, without []string) *rpm.Repo {
	t.Helper()
	open := func(_ context.Context, href string) (io.ReadCloser, error) {
		return os.Open(filepath.Join("../testdata", name, href))
	}
	repo, err := rpm.LoadRepo(context.Background(), rpm.RepoOptions{ID: name}, open)
	if err != nil {
		t.Fatal(err)
	}
	repo.Packages = slices.DeleteFunc(repo.Packages, func(p *rpm.Package) bool { return slices.Contains(without, p.Name) })
	return repo
}

func realMachine(t *testing.T, name string) []*rpm.Package {
	t.Helper()
	f, err := os.Open(filepath.Join("../testdata/check", name+".rpmqa.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	installed, err := rpm.ReadInstalled(f)
	if err != nil {
		t.Fatal(err)
	}
	return installed
}

// goldens calls f for each part of a golden file: a title, a world, and what is told of it.
func goldens(t *testing.T, path string, f func(title, world string) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	parts := strings.Split(string(data), "\n=== ")
	out.WriteString(parts[0])
	for _, part := range parts[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		world, want, _ := strings.Cut(rest, "---\n")
		want = strings.TrimRight(want, "\n")
		got := strings.TrimRight(f(title, world), "\n")
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
		fmt.Fprintf(&out, "\n=== %s\n%s---\n%s\n", title, world, got)
	}
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExplain holds what is told of requests that cannot be met to testdata/explain.txt.
func TestExplain(t *testing.T) {
	goldens(t, "testdata/explain.txt", func(title, world string) string {
		h := parseHandmade(t, world)
		tr, err := solve.NewPool(h.options).Solve(h.job)
		var e *solve.Error
		if !errors.As(err, &e) || tr != nil {
			t.Errorf("%s: got %v and error %v, want a *solve.Error", title, tr, err)
			return ""
		}
		var out strings.Builder
		for _, p := range e.Problems {
			fmt.Fprintf(&out, "[%s | %s | %v]\n%s\n", p.Package, p.Dep, p.Missing, p.Text)
		}
		again, err2 := solve.NewPool(h.options).Solve(h.job)
		if again != nil || err2 == nil || err2.Error() != err.Error() {
			t.Errorf("%s: told otherwise when asked again:\n%v\n%v", title, err, err2)
		}
		return out.String()
	})
}
