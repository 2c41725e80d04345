package modulemd_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/modulemd"
)

// testRepo is a repository as a test describes it.
type testRepo struct {
	id       string
	packages []testPackage
	modules  string // modules.yaml; "" for none
	hotfixes bool
}

// testPackage is a package of metadata: no such file exists.
type testPackage struct {
	nevra    string // name-epoch:version-release.arch
	provides []string
}

// parts are name, epoch, version, release and architecture.
func (p testPackage) parts() [5]string {
	rest, arch := p.nevra[:strings.LastIndexByte(p.nevra, '.')], p.nevra[strings.LastIndexByte(p.nevra, '.')+1:]
	i := strings.LastIndexByte(rest, '-')
	rest, release := rest[:i], rest[i+1:]
	i = strings.LastIndexByte(rest, '-')
	epoch, version, _ := strings.Cut(rest[i+1:], ":")
	return [5]string{rest[:i], epoch, version, release, arch}
}

// write puts the repository's metadata into dir.
func (r testRepo) write(tb testing.TB, dir string) {
	tb.Helper()
	primary := &strings.Builder{}
	fmt.Fprintf(primary, `<?xml version="1.0"?><metadata xmlns="http://linux.duke.edu/metadata/common" `+
		`xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">`, len(r.packages))
	for _, p := range r.packages {
		f := p.parts()
		fmt.Fprintf(primary, `<package type="rpm"><name>%s</name><arch>%s</arch><version epoch="%s" ver="%s" rel="%s"/>`+
			`<checksum type="sha256" pkgid="YES">%x</checksum><summary/><description/><packager/><url/><time file="1" build="1"/>`+
			`<size package="1" installed="1" archive="1"/><location href="%s.rpm"/><format><rpm:license/><rpm:provides>`,
			f[0], f[4], f[1], f[2], f[3], sha256.Sum256([]byte(r.id+p.nevra)), p.nevra)
		for _, name := range append([]string{f[0]}, p.provides...) {
			fmt.Fprintf(primary, `<rpm:entry name="%s"/>`, name)
		}
		primary.WriteString(`</rpm:provides></format></package>`)
	}
	primary.WriteString(`</metadata>`)
	repomd := `<?xml version="1.0"?><repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision>`
	for _, f := range []struct{ kind, name, text string }{
		{"primary", "primary.xml", primary.String()}, {"modules", "modules.yaml", r.modules},
	} {
		if f.text == "" {
			continue
		}
		writeFile(tb, filepath.Join(dir, "repodata", f.name), f.text)
		repomd += fmt.Sprintf(`<data type="%s"><checksum type="sha256">%x</checksum><location href="repodata/%s"/>`+
			`<timestamp>1</timestamp><size>%d</size></data>`, f.kind, sha256.Sum256([]byte(f.text)), f.name, len(f.text))
	}
	writeFile(tb, filepath.Join(dir, "repodata/repomd.xml"), repomd+`</repomd>`)
}

func writeFile(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// load reads the repository as our side does.
func (r testRepo) load(tb testing.TB, dir string) modulemd.RepoIndex {
	tb.Helper()
	repo, err := rpm.LoadRepo(context.Background(), rpm.RepoOptions{ID: r.id}, func(_ context.Context,
		href string) (io.ReadCloser, error) {
		return os.Open(filepath.Join(dir, href))
	})
	if err != nil {
		tb.Fatal(err)
	}
	idx := modulemd.RepoIndex{Repo: repo, Hotfixes: r.hotfixes}
	if r.modules != "" {
		if idx.Index, err = modulemd.Parse(strings.NewReader(r.modules)); err != nil {
			tb.Fatal(err)
		}
	}
	return idx
}

// question is what is asked of dnf and of us.
type question struct {
	repos    []testRepo
	enable   []string
	platform string // "" means el8
}

func (q question) platformOr8() string { return cmp.Or(q.platform, "platform:el8") }

// answer is what comes of a question. Errors are told apart no further than both sides can.
type answer struct {
	Refused   bool     // specs mean nothing, or streams do not fit together; then nothing else is set
	Modules   []string // all that could be read, as name:stream:version:context:arch
	Active    []string // of these
	Enabled   []string // name:stream
	Available []string // packages that are offered, with the repository
	Install   []string // packages of profiles
}

// dnf is a process that answers questions, one after another.
type dnf struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func startDnf(tb testing.TB) *dnf {
	tb.Helper()
	cmd := exec.Command("/usr/bin/python3", "testdata/oracle.py")
	errs := &bytes.Buffer{}
	cmd.Stderr = errs
	cmd.Env = append(os.Environ(), "HOME="+tb.TempDir(), "LC_ALL=C.UTF-8")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("dnf: %v: %s", err, errs)
		}
	})
	return &dnf{in, bufio.NewReaderSize(out, 1<<20)}
}

// ask answers a question about repositories that are in dirs.
func (d *dnf) ask(tb testing.TB, q question, dirs []string) answer {
	tb.Helper()
	type repo struct {
		ID       string `json:"id"`
		Path     string `json:"path"`
		Hotfixes bool   `json:"hotfixes"`
	}
	request := struct {
		Platform string   `json:"platform"`
		Repos    []repo   `json:"repos"`
		Enable   []string `json:"enable"`
	}{q.platformOr8(), nil, append([]string{}, q.enable...)}
	for i, r := range q.repos {
		request.Repos = append(request.Repos, repo{r.id, dirs[i], r.hotfixes})
	}
	line, err := json.Marshal(request)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		tb.Fatal(err)
	}
	line, err = d.out.ReadBytes('\n')
	if err != nil {
		tb.Fatalf("asking dnf of %v: %v", q.enable, err)
	}
	var a struct {
		answer
		Error string
	}
	if err := json.Unmarshal(line, &a); err != nil || a.Error != "" {
		tb.Fatalf("asking dnf of %v: %v %s", q.enable, err, a.Error)
	}
	return a.answer.normal()
}

func (a answer) normal() answer {
	if a.Refused {
		return answer{Refused: true}
	}
	for _, list := range []*[]string{&a.Modules, &a.Active, &a.Enabled, &a.Available, &a.Install} {
		slices.Sort(*list)
		*list = append([]string{}, slices.Compact(*list)...)
	}
	return a
}

// our answers a question with this package.
func our(tb testing.TB, q question, dirs []string) (answer, error) {
	tb.Helper()
	o := modulemd.Options{Enable: q.enable, Platform: q.platformOr8()}
	var a answer
	for i, r := range q.repos {
		idx := r.load(tb, dirs[i])
		o.Indexes = append(o.Indexes, idx)
		if idx.Index != nil {
			a.Modules = append(a.Modules, fullIDs(idx.Index.Streams)...)
		}
	}
	set, err := modulemd.Resolve(o)
	if err != nil {
		return answer{Refused: true}, err
	}
	for _, s := range set.Streams {
		a.Active = append(a.Active, fullIDs(s.Builds)...)
		if s.Enabled {
			a.Enabled = append(a.Enabled, s.ID())
		}
	}
	for _, idx := range o.Indexes {
		for _, p := range idx.Repo.Packages {
			if !set.Hidden(p) {
				e := p.EVR
				a.Available = append(a.Available, fmt.Sprintf("%s %s-%s:%s-%s.%s", idx.Repo.ID, p.Name, e.Epoch,
					e.Version, e.Release, p.Arch))
			}
		}
	}
	a.Install = set.Install
	return a.normal(), nil
}

func fullIDs(streams []*modulemd.Stream) []string {
	var ids []string
	for _, s := range streams {
		ids = append(ids, s.FullID())
	}
	return ids
}

// write puts the repositories of a question into directories.
func (q question) write(tb testing.TB) []string {
	tb.Helper()
	var dirs []string
	for _, r := range q.repos {
		dir := tb.TempDir()
		r.write(tb, dir)
		dirs = append(dirs, dir)
	}
	return dirs
}
