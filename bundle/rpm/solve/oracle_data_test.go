package solve_test

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
)

// realRepo is a repository of real metadata, below bundle/rpm/testdata.
type realRepo struct {
	name     string
	id       string // "" means name
	priority int
}

// realData is real repositories that were read, for any number of worlds.
type realData map[string]*realMetadata

type realMetadata struct {
	dir   string
	repo  *rpm.Repo
	files map[string][]int // all paths of the file lists: the packages, by their place in repo
}

// read reads a repository below bundle/rpm/testdata.
func (d realData) read(tb testing.TB, name string) *realMetadata {
	tb.Helper()
	dir, err := filepath.Abs(filepath.Join("../testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	m := &realMetadata{dir: dir, files: map[string][]int{}}
	if m.repo, err = rpm.LoadRepo(context.Background(), rpm.RepoOptions{ID: name}, opener(dir)); err != nil {
		tb.Fatal(err)
	}
	byChecksum := map[string]int{}
	for i, p := range m.repo.Packages {
		byChecksum[p.Checksum.Hex] = i
	}
	current := -1
	eachLine(tb, filepath.Join(dir, "repodata/*-filelists.xml.gz"), func(line string) {
		if _, after, found := strings.Cut(line, `pkgid="`); found {
			current = byChecksum[after[:64]]
		}
		path := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "<file>"), "</file>")
		if strings.HasPrefix(path, "/") {
			m.files[path] = append(m.files[path], current)
		}
	})
	d[name] = m
	return m
}

// world makes a world of real repositories.
func (d realData) world(tb testing.TB, installed []*rpm.Package, exclude []string, repos ...realRepo) *world {
	tb.Helper()
	w := &world{dir: tb.TempDir(), files: map[string][]*rpm.Package{}, scenario: &scenario{Installed: installed, Exclude: exclude}}
	used := map[string]bool{}
	for _, r := range repos {
		m := d[r.name]
		if m == nil || used[r.name] { // packages of two repositories are two
			m = d.read(tb, r.name)
		}
		used[r.name] = true
		id := cmp.Or(r.id, r.name)
		linkRepo(tb, m.dir, filepath.Join(w.dir, id))
		w.repos = append(w.repos, &rpm.Repo{ID: id, Priority: cmp.Or(r.priority, rpm.DefaultPriority), Packages: m.repo.Packages})
		w.scenario.Repos = append(w.scenario.Repos, scenarioRepo{ID: id, Priority: cmp.Or(r.priority, rpm.DefaultPriority)})
		w.addFiles(m)
	}
	if err := w.open(); err != nil {
		tb.Fatal(err)
	}
	return w
}

// addFiles completes the last repository: its packages with the files that something requires, whatever metadata lists them.
func (w *world) addFiles(m *realMetadata) {
	last := &w.scenario.Repos[len(w.scenario.Repos)-1]
	for _, p := range m.repo.Packages {
		q := *p
		q.Files = slices.Clone(p.Files)
		last.Packages = append(last.Packages, &q)
	}
	for _, p := range slices.Concat(w.scenario.Installed, m.repo.Packages) {
		for _, kind := range depKinds(p) {
			for _, d := range *kind.list {
				if !strings.HasPrefix(d.Name, "/") {
					continue
				}
				for _, i := range m.files[d.Name] {
					if q := last.Packages[i]; !slices.Contains(w.files[d.Name], m.repo.Packages[i]) {
						w.files[d.Name] = append(w.files[d.Name], m.repo.Packages[i])
						if !slices.Contains(q.Files, d.Name) {
							q.Files = append(q.Files, d.Name)
						}
					}
				}
			}
		}
	}
}

// linkRepo makes a repository of the primary and filelists of another: dnf wants every file that repomd.xml names.
func linkRepo(tb testing.TB, from, to string) {
	tb.Helper()
	repomd, err := os.ReadFile(filepath.Join(from, "repodata/repomd.xml"))
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(to, "repodata"), 0o755); err != nil {
		tb.Fatal(err)
	}
	text := regexp.MustCompile(`(?s)<data type="(.*?)">.*?</data>`).ReplaceAllStringFunc(string(repomd), func(s string) string {
		for _, kind := range []string{"primary", "filelists"} {
			if !strings.HasPrefix(s, `<data type="`+kind+`"`) {
				continue
			}
			href := regexp.MustCompile(`href="(.*?)"`).FindStringSubmatch(s)[1]
			if err := os.Symlink(filepath.Join(from, href), filepath.Join(to, href)); err != nil {
				tb.Fatal(err)
			}
			return s
		}
		return ""
	})
	if err := os.WriteFile(filepath.Join(to, "repodata/repomd.xml"), []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func eachLine(tb testing.TB, glob string, f func(string)) {
	tb.Helper()
	names, err := filepath.Glob(glob)
	if err != nil || len(names) != 1 {
		tb.Fatalf("got %q, %v, want one file", names, err)
	}
	file, err := os.Open(names[0])
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(zip)
	for lines.Scan() {
		f(lines.Text())
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
}
