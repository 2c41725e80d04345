package rpm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
)

// pkg makes a package from its NEVRA.
func pkg(nevra string, provides ...rpm.Dep) *rpm.Package {
	rest, arch := cutLast(nevra, ".")
	rest, release := cutLast(rest, "-")
	name, version := cutLast(rest, "-")
	evr := rpm.ParseEVR(version + "-" + release)
	self := rpm.Dep{Name: name, EVR: &evr, Flags: rpm.Equal}
	return &rpm.Package{Name: name, EVR: evr, Arch: arch, Provides: append(provides, self)}
}

func cutLast(s, sep string) (before, after string) {
	i := strings.LastIndex(s, sep)
	return s[:i], s[i+len(sep):]
}

func pickRepos() []*rpm.Repo {
	webserver := rpm.Dep{Name: "webserver", EVR: &rpm.EVR{Version: "2.4"}, Flags: rpm.Equal}
	vim := pkg("vim-enhanced-2:7.4-5.el7.x86_64", rpm.Dep{Name: "vim"})
	vim.Files = []string{"/usr/bin/vim"}
	return []*rpm.Repo{
		{ID: "base", Priority: 99, Packages: []*rpm.Package{
			pkg("docker-ce-3:18.09.9-3.el7.x86_64"),
			pkg("docker-ce-3:19.03.15-3.el7.x86_64"),
			pkg("docker-ce-3:20.10.12-3.el7.x86_64"),
			pkg("docker-ce-3:20.10.12-3.el7.aarch64"),
			pkg("docker-ce-cli-1:19.03.15-3.el7.x86_64"),
			pkg("glibc-2.17-1.i686"),
			pkg("libstdc++-4.8-1.x86_64"),
			pkg("wget-1.14-18.el7.x86_64"),
			pkg("wget-1.14-18.el7.noarch"),
			pkg("httpd-2.4.6-1.x86_64", webserver),
			pkg("nginx-1.20-1.x86_64", webserver),
			vim,
		}},
		{ID: "vendor", Priority: 1, Packages: []*rpm.Package{
			pkg("wget-1.13-1.noarch"),
			pkg("tool-1.0~rc1-1.noarch"),
			pkg("tool-1.0-1.noarch"),
		}},
	}
}

func TestPick(t *testing.T) {
	for _, tt := range []struct {
		spec string
		want []string // "repository NEVRA"
	}{
		{"docker-ce", []string{"base docker-ce-3:20.10.12-3.el7.x86_64"}},
		{"docker-ce.x86_64", []string{"base docker-ce-3:20.10.12-3.el7.x86_64"}},
		{"docker-ce-19.03.15", []string{"base docker-ce-3:19.03.15-3.el7.x86_64"}},
		{"docker-ce-19.03.15-3.el7", []string{"base docker-ce-3:19.03.15-3.el7.x86_64"}},
		{"docker-ce-19.03.15-3.el7.x86_64", []string{"base docker-ce-3:19.03.15-3.el7.x86_64"}},
		{"docker-ce-3:19.03.15", []string{"base docker-ce-3:19.03.15-3.el7.x86_64"}},
		{"docker-ce-3:19.03.15-3.el7.x86_64", []string{"base docker-ce-3:19.03.15-3.el7.x86_64"}},
		{"3:docker-ce-19.03.15-3.el7.x86_64", []string{"base docker-ce-3:19.03.15-3.el7.x86_64"}},
		{"docker-ce-19.03*", []string{"base docker-ce-3:19.03.15-3.el7.x86_64"}},
		{"docker-ce*", []string{"base docker-ce-3:20.10.12-3.el7.x86_64", "base docker-ce-cli-1:19.03.15-3.el7.x86_64"}},
		{"docker-ce-1[89]*", []string{"base docker-ce-3:19.03.15-3.el7.x86_64"}},
		{"libstdc++", []string{"base libstdc++-4.8-1.x86_64"}},
		{"wget", []string{"vendor wget-1.13-1.noarch"}}, // the repository counts before the version
		{"wget-1.14", []string{"base wget-1.14-18.el7.x86_64"}},
		{"tool", []string{"vendor tool-1.0-1.noarch"}},
		{"tool-0:1.0-1", []string{"vendor tool-1.0-1.noarch"}},
		{"vim", []string{"base vim-enhanced-2:7.4-5.el7.x86_64"}},
		{"/usr/bin/vim", []string{"base vim-enhanced-2:7.4-5.el7.x86_64"}},
		{"webserver", []string{"base httpd-2.4.6-1.x86_64"}},
		{"webserver >= 2.4", []string{"base httpd-2.4.6-1.x86_64"}},
	} {
		choices, err := rpm.Pick(pickRepos(), rpm.PickOptions{Specs: []string{tt.spec}})
		if err != nil {
			t.Errorf("%s: %v", tt.spec, err)
			continue
		}
		var got []string
		for _, c := range choices {
			if c.Spec != tt.spec {
				t.Errorf("got spec %q, want %q", c.Spec, tt.spec)
			}
			got = append(got, c.Repo.ID+" "+c.Package.NEVRA())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.spec, diff)
		}
	}
}

func TestPickListsAllThatIsUnmatched(t *testing.T) {
	_, err := rpm.Pick(pickRepos(), rpm.PickOptions{
		Specs:   []string{"docker-ce-17.03.0", "wget", "nonesuch", "glibc", "webserver > 2.4", "docker-ce-cli"},
		Exclude: []string{"docker-ce-3:20*", "docker-ce-cli"},
	})
	var unmatched *rpm.UnmatchedError
	if !errors.As(err, &unmatched) {
		t.Fatalf("got %v, want an UnmatchedError", err)
	}
	want := []rpm.Unmatched{
		{Spec: "docker-ce-17.03.0", Exist: []string{"docker-ce-3:19.03.15-3.el7.x86_64", "docker-ce-3:18.09.9-3.el7.x86_64"}},
		{Spec: "nonesuch"},
		{Spec: "glibc"}, // of another architecture only
		{Spec: "webserver > 2.4"},
		{Spec: "docker-ce-cli"}, // excluded
	}
	if diff := cmp.Diff(want, unmatched.Specs); diff != "" {
		t.Error(diff)
	}
	if text := err.Error(); !strings.Contains(text, `"docker-ce-17.03.0" (there are docker-ce-3:19.03.15-3.el7.x86_64, `) ||
		!strings.Contains(text, `"nonesuch" (no package of that name)`) || strings.Contains(text, "\n") {
		t.Errorf("got %q", text)
	}
}

func TestPickArch(t *testing.T) {
	choices, err := rpm.Pick(pickRepos(), rpm.PickOptions{Specs: []string{"docker-ce"}, Arch: "aarch64"})
	if err != nil {
		t.Fatal(err)
	}
	if got := choices[0].Package.NEVRA(); got != "docker-ce-3:20.10.12-3.el7.aarch64" {
		t.Errorf("got %s, want the package for aarch64", got)
	}
}

func TestPickRefusesBadSpecs(t *testing.T) {
	for _, opts := range []rpm.PickOptions{{Specs: []string{""}}, {Specs: []string{"a["}}, {Exclude: []string{"a["}}} {
		if choices, err := rpm.Pick(pickRepos(), opts); err == nil {
			t.Errorf("%v: got %v and no error", opts, choices)
		}
	}
}

// TestMeets holds every pair of comparisons to what it means: that some version satisfies both.
func TestMeets(t *testing.T) {
	versions := []string{"1", "2", "3", "4", "5"}
	comparisons := []rpm.Flags{rpm.Less, rpm.Less | rpm.Equal, rpm.Equal, rpm.Greater | rpm.Equal, rpm.Greater}
	holds := func(f rpm.Flags, c int) bool {
		return c < 0 && f&rpm.Less != 0 || c == 0 && f&rpm.Equal != 0 || c > 0 && f&rpm.Greater != 0
	}
	// Candidates lie between and around the bounds too.
	candidates := []string{"0", "1", "1.5", "2", "2.5", "3", "3.5", "4", "4.5", "5", "6"}
	for _, a := range versions {
		for _, b := range versions {
			for _, fa := range comparisons {
				for _, fb := range comparisons {
					ea, eb := rpm.ParseEVR(a), rpm.ParseEVR(b)
					provide, require := rpm.Dep{Name: "x", EVR: &ea, Flags: fa}, rpm.Dep{Name: "x", EVR: &eb, Flags: fb}
					want := false
					for _, c := range candidates {
						v := rpm.ParseEVR(c)
						want = want || holds(fa, v.Compare(ea)) && holds(fb, v.Compare(eb))
					}
					if got := provide.Meets(require); got != want {
						t.Errorf("%s meets %s: got %t, want %t", provide, require, got, want)
					}
				}
			}
		}
	}
	one := rpm.ParseEVR("1")
	if (rpm.Dep{Name: "y"}).Meets(rpm.Dep{Name: "x"}) {
		t.Error("another name meets")
	}
	if !(rpm.Dep{Name: "x"}).Meets(rpm.Dep{Name: "x", EVR: &one, Flags: rpm.Less}) {
		t.Error("a provide without version does not meet")
	}
}
