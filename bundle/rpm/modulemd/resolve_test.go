package modulemd_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/modulemd"
)

// build is a document of a stream: its id as name:stream:version:context, then lines of data.
func build(id, more string) string {
	f := strings.Split(id, ":")
	return stream("name: " + f[0] + "\nstream: \"" + f[1] + "\"\nversion: " + f[2] + "\ncontext: " + f[3] +
		"\narch: x86_64\nsummary: s\ndescription: d\nlicense: {module: [MIT]}\n" + more)
}

func requires(list string) string {
	return "dependencies: [{requires: {platform: [el8], " + list + "}}]\n"
}

func rpms(list string) string { return "artifacts: {rpms: [" + list + "]}\n" }

// appstream is shaped as the AppStream repository of el8 is.
func appstream() testRepo {
	return testRepo{id: "appstream", packages: []testPackage{
		{nevra: "runc-0:1.0-1.module_el8.x86_64"}, {nevra: "runc-0:1.1-1.module_el8.x86_64"},
		{nevra: "container-selinux-2:2.124-1.module_el8.noarch"}, {nevra: "container-selinux-2:2.200-1.module_el8.noarch"},
		{nevra: "nodejs-1:10.1-1.module_el8.x86_64"}, {nevra: "nodejs-1:18.1-1.module_el8.x86_64", provides: []string{"npm"}},
		{nevra: "perl-4:5.26-1.module_el8.x86_64"}, {nevra: "perl-4:5.24-1.module_el8.x86_64"},
		{nevra: "perl-DBI-0:1-1.module_el8_526.x86_64"}, {nevra: "perl-DBI-0:1-1.module_el8_524.x86_64"},
		{nevra: "left-0:1-1.el8.x86_64"}, {nevra: "unzip-0:6-1.el8.x86_64"}, {nevra: "orphan-0:1-1.module_el8.x86_64"},
	}, modules: build("container-tools:1.0:1:aa",
		rpms("runc-0:1.0-1.module_el8.x86_64, container-selinux-2:2.124-1.module_el8.noarch")) +
		build("container-tools:rhel8:1:bb", "demodularized: {rpms: [left]}\nprofiles: {common: {rpms: [runc]}}\n"+
			rpms("runc-0:1.1-1.module_el8.x86_64, container-selinux-2:2.200-1.module_el8.noarch, left-0:0.9-1.module_el8.x86_64")) +
		build("nodejs:10:1:aa", rpms("nodejs-1:10.1-1.module_el8.x86_64")) +
		build("nodejs:18:1:aa", requires("")+"profiles: {common: {rpms: [nodejs, npm]}, minimal: {rpms: [nodejs]}}\n"+
			rpms("nodejs-1:18.1-1.module_el8.x86_64, npm-1:9-1.module_el8.x86_64, nodejs-1:18.1-1.module_el8.src")) +
		build("perl:5.24:1:aa", rpms("perl-4:5.24-1.module_el8.x86_64")) + build("perl:5.26:1:aa",
		rpms("perl-4:5.26-1.module_el8.x86_64")) +
		build("perl-DBI:1:1:aa", requires("perl: [5.24]")+rpms("perl-DBI-0:1-1.module_el8_524.x86_64")) +
		build("perl-DBI:1:1:bb", requires("perl: [5.26]")+rpms("perl-DBI-0:1-1.module_el8_526.x86_64")) +
		build("newer:1:1:aa", "dependencies: [{requires: {platform: [el9]}}]\n") +
		build("lonely:1:1:aa", requires("nowhere: []")) + build("lonely:2:1:aa", requires("perl: [5.30]")) +
		build("apart:1:1:aa", requires("nodejs: [-18]")) +
		defaults("module: container-tools\nstream: rhel8\nprofiles: {rhel8: [common]}") +
		defaults("module: nodejs\nstream: 10") +
		defaults("module: perl\nstream: 5.26") + defaults("module: perl-DBI\nstream: 1")}
}

// docker is a repository without modules, whose packages those of others hide.
func docker(hotfixes bool) testRepo {
	return testRepo{id: "docker", hotfixes: hotfixes, packages: []testPackage{
		{nevra: "docker-ce-0:19-1.el8.x86_64"}, {nevra: "containerd.io-0:1.3-1.el8.x86_64", provides: []string{"runc"}},
		{nevra: "nodejs-0:20-1.el8.x86_64"}, {nevra: "nodejs-0:20-1.el8.src"}, {nevra: "left-0:2-1.el8.x86_64"},
	}}
}

func TestEnterpriseLinuxLikeDnf(t *testing.T) {
	t.Parallel()
	oracle := startDnf(t)
	for _, hotfixes := range []bool{false, true} {
		for _, enable := range []string{"", "container-tools:1.0", "nodejs:18", "nodejs:18/common", "nodejs/common",
			"perl-DBI:1",
			"perl:5.24", "perl:5.24 perl-DBI", "perl-DBI perl:5.26", "lonely:1", "lonely:2", "newer", "nodejs:18 apart",
			"apart", "nodejs:10 nodejs:18",
			"nodejs:10 nodejs", "nodejs:18/odd", "no:1", "nodejs:9", "lonely", "container-tools/common perl"} {
			q := question{repos: []testRepo{appstream(), docker(hotfixes)}, enable: strings.Fields(enable)}
			dirs := q.write(t)
			want := oracle.ask(t, q, dirs)
			got, err := our(t, q, dirs)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("enabling %q: our error %v, dnf to us:\n%s", enable, err, diff)
			}
		}
	}
}

// The case that people meet: containerd.io provides the name of a package of a module that is active by default.
func TestDefaultModulesHideContainerd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		hotfixes bool
		hidden   []string
	}{
		{false, []string{"containerd.io", "nodejs", "nodejs"}},
		{true, nil},
	} {
		r := docker(tt.hotfixes)
		repos := []modulemd.RepoIndex{load(t, appstream()), load(t, r)}
		set, err := modulemd.Resolve(modulemd.Options{Indexes: repos})
		if err != nil {
			t.Fatal(err)
		}
		var hidden []string
		for _, p := range repos[1].Repo.Packages {
			if set.Hidden(p) {
				hidden = append(hidden, p.Name)
			}
			if set.Modular(p) {
				t.Errorf("%s is no package of a module", p.NEVRA())
			}
		}
		if diff := cmp.Diff(tt.hidden, hidden); diff != "" {
			t.Errorf("hotfixes %v: %s", tt.hotfixes, diff)
		}
		if set.Hidden(&rpm.Package{Name: "nodejs"}) {
			t.Error("a package of no repository is hidden")
		}
	}
}

func load(tb testing.TB, r testRepo) modulemd.RepoIndex {
	tb.Helper()
	dir := tb.TempDir()
	r.write(tb, dir)
	return r.load(tb, dir)
}

func TestStreamsAndProfiles(t *testing.T) {
	t.Parallel()
	set, err := modulemd.Resolve(modulemd.Options{Indexes: []modulemd.RepoIndex{load(t, appstream())},
		Enable: []string{"perl-DBI:1", "nodejs:18/minimal"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range set.Streams {
		state := "default"
		if s.Enabled {
			state = "enabled"
		}
		got = append(got, s.ID()+" "+state)
	}
	want := []string{"container-tools:rhel8 default", "nodejs:18 enabled", "perl:5.26 enabled", "perl-DBI:1 enabled"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"nodejs"}, set.Install); diff != "" {
		t.Error(diff)
	}
	if len(set.Warnings) > 0 {
		t.Errorf("got warnings %q", set.Warnings)
	}
}

func TestResolveErrors(t *testing.T) {
	t.Parallel()
	repos := []modulemd.RepoIndex{load(t, appstream())}
	for _, tt := range []struct{ enable, err string }{
		{"no:1", `enabling module "no:1": there is no module "no"; there are apart, container-tools, lonely, newer, nodejs, perl, perl-DBI`},
		{"nodejs:9", `enabling module "nodejs:9": module "nodejs" has no stream "9"; there are nodejs:10, nodejs:18`},
		{"lonely", `enabling module "lonely": it has several streams, none of which is the default; there are lonely:1, lonely:2`},
		{"nodejs:18/odd", `enabling module "nodejs:18/odd": nodejs:18 has no profile "odd"; there are common, minimal`},
		{"nodejs:10 nodejs:18", `enabling module "nodejs:18": nodejs:10 is enabled, too, and a module has one active stream`},
		{"nodejs:*", `enabling module "nodejs:*": want name:stream or name:stream/profile`},
		{"lonely:1", "enabling modules: lonely:1 requires nowhere, which no repository has"},
		{"lonely:2", "enabling modules: lonely:2 requires perl:5.30, of which the repositories have only perl:5.24, perl:5.26"},
		{"newer", "enabling modules: newer:1 requires platform:el9, but the system is platform:el8"},
		{"nodejs:18 apart", "enabling modules: apart:1 and nodejs:18 exclude each other"},
		{"lonely:1 newer", "enabling modules: lonely:1 requires nowhere, which no repository has; " +
			"newer:1 requires platform:el9, but the system is platform:el8"},
		{"no:1 nodejs:9", "enabling module \"no:1\": there is no module \"no\"; there are apart, container-tools, lonely, newer, nodejs, perl, perl-DBI\n" +
			`enabling module "nodejs:9": module "nodejs" has no stream "9"; there are nodejs:10, nodejs:18`},
	} {
		_, err := modulemd.Resolve(modulemd.Options{Indexes: repos, Enable: strings.Fields(tt.enable),
			Platform: "platform:el8"})
		if err == nil || err.Error() != tt.err {
			t.Errorf("enabling %q:\n got %v\nwant %s", tt.enable, err, tt.err)
			continue
		}
		var spec *modulemd.SpecError
		var deps *modulemd.DependencyError
		if !errors.As(err, &spec) && !errors.As(err, &deps) {
			t.Errorf("enabling %q: got an error of type %T", tt.enable, err)
		}
	}
	if _, err := modulemd.Resolve(modulemd.Options{Indexes: repos,
		Platform: "el8"}); err == nil || !strings.Contains(err.Error(), `"el8"`) {
		t.Errorf("got %v, want an error that names the platform", err)
	}
}

// Two streams that enabled ones require exclude each other.
func TestRequiredStreamsExcludeEachOther(t *testing.T) {
	t.Parallel()
	r := testRepo{id: "repo", modules: build("a:1:1:c", requires("p: [1]")) + build("b:1:1:c", requires("p: [2]")) +
		build("p:1:1:c", "") + build("p:2:1:c", "")}
	repos := []modulemd.RepoIndex{load(t, r)}
	_, err := modulemd.Resolve(modulemd.Options{Indexes: repos, Enable: []string{"a:1", "b:1"}, Platform: "platform:el8"})
	want := "enabling modules: a:1 requires p:1, b:1 requires p:2, a module has one active stream, but both p:1 and p:2 are needed"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	// Defaults that do not fit together are no error: one gives way, and this is told.
	repos[0].Index.Defaults = []modulemd.Defaults{{Module: "a", Stream: "1"}, {Module: "b", Stream: "1"}}
	set, err := modulemd.Resolve(modulemd.Options{Indexes: repos, Platform: "platform:el8"})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Streams) != 2 || set.Streams[0].ID() != "a:1" || set.Streams[1].ID() != "p:1" || set.Streams[1].Enabled {
		t.Errorf("got %v, want a:1 and p:1 by default", set.Streams)
	}
	if len(set.Warnings) != 1 || !strings.HasPrefix(set.Warnings[0], "default modules: a:1 requires p:1, b:1 requires p:2") {
		t.Errorf("got warnings %q", set.Warnings)
	}
}

// A stream whose newest build does not fit is not enabled in an older one: dnf refuses, too.
func TestNewestBuildMustFit(t *testing.T) {
	t.Parallel()
	r := testRepo{id: "repo", packages: []testPackage{{nevra: "x-0:1-1.noarch"}}, modules: build("a:1:1:c", requires("")) +
		build("a:1:2:c", "dependencies: [{requires: {platform: [el9]}}]\n") + defaults("module: a\nstream: 1")}
	oracle := startDnf(t)
	for _, enable := range [][]string{nil, {"a:1"}} {
		q := question{repos: []testRepo{r}, enable: enable}
		dirs := q.write(t)
		want := oracle.ask(t, q, dirs)
		got, err := our(t, q, dirs)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("enabling %v: our error %v, dnf to us:\n%s", enable, err, diff)
		}
		if text := "enabling modules: a:1 requires platform:el9, but the system is platform:el8, the newest build of a:1 is wanted"; enable != nil &&
			(err == nil || err.Error() != text) {
			t.Errorf("got %v, want %s", err, text)
		}
	}
}

// Defaults of several repositories, as dnf merges them.
func TestDefaultsOfRepositoriesLikeDnf(t *testing.T) {
	t.Parallel()
	oracle := startDnf(t)
	streams := build("a:1:1:c", "") + build("a:2:1:c", "") + build("b:1:1:c", "")
	for _, tt := range [][]string{
		{"stream: 1", "stream: 1"}, {"stream: 1", "stream: 2"}, {"stream: 1\nmodified: 1", "stream: 2"}, {"stream: 1",
			"stream: 2\nmodified: 1"},
		{"stream: 1", "modified: 3"}, {"modified: 3", "stream: 1"}, {"stream: 1", "stream: 2", "stream: 1"},
		{"stream: 1", "stream: 2", "stream: 2\nmodified: 9"}, {"stream: 1\nmodified: 3", "modified: 5",
			"stream: 2\nmodified: 4"},
		{"stream: 1\nprofiles: {'1': [x]}", "stream: 1\nprofiles: {'1': [y]}"}, {"stream: 1\nprofiles: {'1': [x]}",
			"stream: 1\nprofiles: {'2': [y]}"},
		{"stream: 1\nprofiles: {'1': [x]}", "stream: 1\nmodified: 4\nprofiles: {'1': [y]}"},
		{"stream: 1\nmodified: 4\nprofiles: {'1': [x]}", "stream: 1\nprofiles: {'1': [y]}",
			"stream: 1\nmodified: 4\nprofiles: {'1': [z]}"},
	} {
		var q question
		for i, d := range tt {
			q.repos = append(q.repos, testRepo{id: string(rune('p' + i)), modules: streams + defaults("module: a\n"+d) +
				defaults("module: b\nstream: 1")})
		}
		dirs := q.write(t)
		want := oracle.ask(t, q, dirs)
		got, err := our(t, q, dirs)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("defaults %q: our error %v, dnf to us:\n%s", tt, err, diff)
		}
	}
}

func TestPlatform(t *testing.T) {
	t.Parallel()
	pkg := func(name, release string, provides ...string) *rpm.Package {
		p := &rpm.Package{Name: name, EVR: rpm.EVR{Version: "8", Release: release}}
		for _, name := range provides {
			p.Provides = append(p.Provides, rpm.Dep{Name: name})
		}
		return p
	}
	tagged := []*rpm.Package{pkg("a", "1.el9_2"), pkg("b", "2.module_el9+1+2"), pkg("c", "1.fc29"), pkg("d", "1")}
	for name, tt := range map[string]struct {
		offered, installed []*rpm.Package
		want               string
	}{
		"nothing": {want: ""},
		"offered release": {[]*rpm.Package{pkg("r", "1", "system-release", "base-module(platform:el8)")}, tagged,
			"platform:el8"},
		"newest release": {[]*rpm.Package{pkg("r", "1", "system-release", "base-module(platform:el7)"), pkg("r",
			"2", "system-release", "base-module(platform:el8)")}, nil, "platform:el8"},
		"releases differ": {[]*rpm.Package{pkg("r", "1", "system-release", "base-module(platform:el7)"), pkg("s",
			"2", "system-release", "base-module(platform:el8)")}, tagged, "platform:el9"},
		"not a release":   {[]*rpm.Package{pkg("r", "1", "base-module(platform:el7)")}, nil, ""},
		"odd base module": {[]*rpm.Package{pkg("r", "1", "system-release", "base-module(el7)")}, nil, ""},
		"installed release": {tagged, []*rpm.Package{pkg("r", "1", "system-release", "base-module(platform:el8)")},
			"platform:el8"},
		"tags of installed":   {[]*rpm.Package{pkg("a", "1.el8")}, tagged, "platform:el9"},
		"tags of offered":     {tagged, nil, "platform:el9"},
		"Fedora":              {[]*rpm.Package{pkg("a", "3.fc29")}, nil, "platform:f29"},
		"no majority":         {[]*rpm.Package{pkg("a", "3.fc29"), pkg("b", "3.el8")}, nil, ""},
		"words that are none": {[]*rpm.Package{pkg("a", "3.model8x"), pkg("b", "3.el8x")}, nil, ""},
	} {
		got := modulemd.Platform([]modulemd.RepoIndex{{Repo: &rpm.Repo{Packages: tt.offered}}, {}}, tt.installed)
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
