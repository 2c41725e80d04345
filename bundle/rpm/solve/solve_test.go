package solve_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
)

// options reads a scenario. Files outside of primary metadata are moved to where PoolOptions.Files finds them.
func options(tb testing.TB, text string) solve.PoolOptions {
	tb.Helper()
	s, err := parseScenario(strings.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	o := solve.PoolOptions{Installed: s.Installed, Exclude: s.Exclude}
	for _, r := range s.Repos {
		o.Repos = append(o.Repos, &rpm.Repo{ID: r.ID, Priority: r.Priority, Packages: r.Packages})
	}
	return o
}

// told tells what comes and what goes, or what is in the way.
func told(t *solve.Transaction, err error) string {
	if problems := (*solve.Error)(nil); errors.As(err, &problems) {
		for _, p := range problems.Problems {
			if !p.Missing {
				return "unsolvable"
			}
		}
		return "missing"
	}
	if err != nil {
		return "error: " + err.Error()
	}
	var parts []string
	for _, i := range t.Install {
		parts = append(parts, "+"+i.Package.NEVRA())
	}
	for _, c := range t.Upgrade {
		parts = append(parts, c.From.NEVRA()+">"+c.Package.NEVRA())
	}
	for _, p := range t.Remove {
		parts = append(parts, "-"+p.NEVRA())
	}
	return strings.Join(parts, " ")
}

func install(p *solve.Pool, specs ...string) string {
	return told(p.Solve(solve.Job{Install: specs, Downgrade: true}))
}

// TestSpecs asks for packages in all the ways that there are.
func TestSpecs(t *testing.T) {
	t.Parallel()
	pool := solve.NewPool(options(t, `
installed
pkg there 0 1 1 noarch
repo r 99
pkg a 0 1 1 x86_64
pkg a 3 2.0 1.el7 x86_64
  provides web = 2
  file /usr/bin/a
  file /opt/a
pkg a 0 1.0 2 i686
pkg a-b 0 1 1 noarch
  provides web = 3
pkg old-name 0 5 1 noarch
pkg new-name 0 1 1 noarch
  obsoletes old-name < 6
pkg lib+x 0 1 1 noarch
pkg src-only 0 1 1 src
pkg foreign 0 1 1 aarch64
`))
	for _, tt := range []struct{ spec, want string }{
		{"a", "+a-3:2.0-1.el7.x86_64"},
		{"a.x86_64", "+a-3:2.0-1.el7.x86_64"},
		{"a.i686", "+a-1.0-2.i686"},
		{"a-1", "+a-1-1.x86_64"}, // 1 and 1.0 are two versions, though
		{"a-2.0", "+a-3:2.0-1.el7.x86_64"},
		{"a-02.0", "+a-3:2.0-1.el7.x86_64"}, // by value, as rpm compares
		{"a-2.0-1.el7", "+a-3:2.0-1.el7.x86_64"},
		{"a-2.0-1.el7.x86_64", "+a-3:2.0-1.el7.x86_64"},
		{"a-3:2.0", "+a-3:2.0-1.el7.x86_64"},
		{"a-3:2.0-1.el7", "+a-3:2.0-1.el7.x86_64"},
		{"3:a-2.0-1.el7", "+a-3:2.0-1.el7.x86_64"},
		{"3:a-2.0-1.el7.x86_64", "+a-3:2.0-1.el7.x86_64"},
		{"2:a-2.0-1.el7", "missing"},
		{"a-4:2.0", "missing"},
		{"a-2.*", "+a-3:2.0-1.el7.x86_64"},
		{"a*", "+a-3:2.0-1.el7.x86_64 +a-b-1-1.noarch"},
		{"[ab]", "+a-3:2.0-1.el7.x86_64"},
		{"[!b-z]", "+a-3:2.0-1.el7.x86_64"},
		{"a-?", "+a-b-1-1.noarch"},
		{"a-b", "+a-b-1-1.noarch"},
		{"web", "+a-b-1-1.noarch"}, // the newer of what both provide
		{"web = 3", "+a-b-1-1.noarch"},
		{"web > 3", "missing"},
		{"(web = 2 or web > 3)", "+a-3:2.0-1.el7.x86_64"},
		{"we*", "+a-3:2.0-1.el7.x86_64 +a-b-1-1.noarch"},
		{"/usr/bin/a", "+a-3:2.0-1.el7.x86_64"},
		{"/usr/bin/?", "+a-3:2.0-1.el7.x86_64"},
		{"/usr/bin/b", "missing"},
		{"lib+x", "+lib+x-1-1.noarch"},
		{"old-name", "+new-name-1-1.noarch"}, // whoever asks for the old name gets the new one
		{"old-name-5", "+old-name-5-1.noarch"},
		{"there", ""},
		{"there*", "missing"}, // dnf looks for patterns among what is offered
		{"none", "missing"},
		{"src-only", "missing"},
		{"src-only.src", "missing"},
		{"foreign", "missing"},
		{"", "missing"},
		{"a = ", "missing"},
		{"(a", "missing"},
		{"a[", "missing"},
	} {
		if got := install(pool, tt.spec); got != tt.want {
			t.Errorf("install %q: got %q, want %q", tt.spec, got, tt.want)
		}
	}
	if got, want := install(pool, "none", "a", "never"), "missing"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPoolServesManyJobs does the same jobs again and again in different order: what one leaves must not show in another.
func TestPoolServesManyJobs(t *testing.T) {
	t.Parallel()
	text := `
installed
pkg base 0 1 1 noarch
  requires lib = 1
pkg lib 0 1 1 x86_64
repo r 99
pkg a 0 1 1 noarch
  requires (b or c)
  recommends w
pkg b 0 1 1 noarch
  conflicts base
pkg c 0 1 1 noarch
  requires lib = 2
pkg lib 0 2 1 x86_64
pkg base 0 2 1 noarch
  requires lib = 2
pkg w 0 1 1 noarch
pkg x 0 1 1 noarch
  requires nothing
pkg y 0 1 1 noarch
  conflicts lib = 1
  conflicts lib = 2
`
	jobs := []solve.Job{{Install: []string{"a"}}, {Install: []string{"x"}}, {Install: []string{"a"}, Weak: true}, {Install: []string{"y"}},
		{Upgrade: []string{"lib"}}, {Install: []string{"lib"}}, {Install: []string{"b"}}, {Upgrade: []string{"nothing", "a"}}}
	want := []string{
		"+a-1-1.noarch +c-1-1.noarch base-1-1.noarch>base-2-1.noarch lib-1-1.x86_64>lib-2-1.x86_64",
		"unsolvable",
		"+a-1-1.noarch +c-1-1.noarch +w-1-1.noarch base-1-1.noarch>base-2-1.noarch lib-1-1.x86_64>lib-2-1.x86_64",
		"unsolvable",
		"base-1-1.noarch>base-2-1.noarch lib-1-1.x86_64>lib-2-1.x86_64",
		"", // it is there
		"unsolvable",
		"",
	}
	for i, j := range jobs {
		if got := told(solve.NewPool(options(t, text)).Solve(j)); got != want[i] {
			t.Errorf("%+v: got %q, want %q", j, got, want[i])
		}
	}
	pool := solve.NewPool(options(t, text))
	for round := range 3 * len(jobs) {
		i := round * 5 % len(jobs)
		if got := told(pool.Solve(jobs[i])); got != want[i] {
			t.Errorf("round %d, %+v: got %q, want %q", round, jobs[i], got, want[i])
		}
	}
}

// TestFilesAreAskedOnce counts the questions to PoolOptions.Files.
func TestFilesAreAskedOnce(t *testing.T) {
	t.Parallel()
	o := options(t, `
installed
pkg host 0 1 1 noarch
  file /usr/share/host
repo r 99
pkg a 0 1 1 noarch
  requires /usr/share/words
pkg b 0 1 1 noarch
  requires (/usr/share/more or /usr/bin/b)
pkg c 0 1 1 noarch
  requires /etc/c
  requires /usr/bin/c
pkg d 0 1 1 noarch
  requires /usr/share/host
pkg e 0 1 1 noarch
  requires /usr/share/nobody
pkg words 0 1 1 noarch
pkg tools 0 1 1 noarch
  file /etc/c
  file /usr/bin/c
  file /usr/bin/b
`)
	words := o.Repos[0].Packages[slices.IndexFunc(o.Repos[0].Packages, func(p *rpm.Package) bool { return p.Name == "words" })]
	var asked [][]string
	o.Files = func(paths []string) (map[*rpm.Package][]string, error) {
		asked = append(asked, paths)
		return map[*rpm.Package][]string{words: {"/usr/share/words", "/usr/share/more"}}, nil
	}
	pool := solve.NewPool(o)
	steps := []struct{ spec, want string }{
		{"c", "+c-1-1.noarch +tools-1-1.noarch"},
		{"a", "+a-1-1.noarch +words-1-1.noarch"},
		{"b", "+b-1-1.noarch +tools-1-1.noarch"},
		{"d", "+d-1-1.noarch"},
		{"e", "unsolvable"},
	}
	for i, s := range steps {
		if got := install(pool, s.spec); got != s.want {
			t.Errorf("%s: got %q, want %q", s.spec, got, s.want)
		}
		if i == 0 && len(asked) > 0 {
			t.Errorf("got %q asked for paths that primary metadata lists, want nothing", asked)
		}
	}
	want := [][]string{{"/usr/share/host", "/usr/share/more", "/usr/share/nobody", "/usr/share/words"}}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
	if got := install(pool, "/usr/share/words"); got != "+words-1-1.noarch" {
		t.Errorf("got %q, want the owner of a path that was asked for before", got)
	}
	if install(pool, "/usr/share/new"); len(asked) != 2 || !slices.Equal(asked[1], []string{"/usr/share/new"}) {
		t.Errorf("got %q, want one more question", asked)
	}
}

func TestFilesFail(t *testing.T) {
	t.Parallel()
	o := options(t, "repo r 99\npkg a 0 1 1 noarch\n requires /usr/share/words\npkg b 0 1 1 noarch\n")
	broken := errors.New("disk is gone")
	o.Files = func([]string) (map[*rpm.Package][]string, error) { return nil, broken }
	pool := solve.NewPool(o)
	if got := install(pool, "b"); got != "+b-1-1.noarch" {
		t.Errorf("got %q of a job that no path matters to", got)
	}
	if _, err := pool.Solve(solve.Job{Install: []string{"a"}}); !errors.Is(err, broken) {
		t.Errorf("got %v, want what Files met", err)
	}
	if _, err := pool.Solve(solve.Job{Install: []string{"/usr/share/x"}}); !errors.Is(err, broken) {
		t.Errorf("got %v of a spec, want what Files met", err)
	}
}

// TestHidden leaves packages out in the three ways that there are.
func TestHidden(t *testing.T) {
	t.Parallel()
	o := options(t, `
installed
pkg kept 0 1 1 noarch
repo r 99
pkg a 0 2 1 noarch
pkg a 0 1 1 noarch
pkg b 0 1 1 noarch
  requires a = 2
pkg kept 0 2 1 noarch
pkg mod 0 1 1 noarch
pkg c 0 1 1 noarch
  requires mod
exclude a-2
exclude kept
`)
	o.Hidden = func(p *rpm.Package) bool { return p.Name == "mod" }
	pool := solve.NewPool(o)
	for _, tt := range []struct{ spec, want string }{
		{"a", "+a-1-1.noarch"}, {"a-2", "missing"}, {"b", "unsolvable"}, {"c", "unsolvable"}, {"mod", "missing"}, {"kept", "missing"},
	} {
		if got := install(pool, tt.spec); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.spec, got, tt.want)
		}
	}
	if got := told(pool.Solve(solve.Job{Upgrade: []string{"kept"}})); got != "" {
		t.Errorf("got %q of an excluded package, want it to stay", got)
	}
}
