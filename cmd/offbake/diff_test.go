package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
)

// packageSet reads "name-[epoch:]version-release.arch", with "!" and a digest after it where the file matters.
func packageSet(list ...string) []versioned {
	var out []versioned
	for _, s := range list {
		nevra, sum, _ := strings.Cut(s, "!")
		rest, arch := nevra[:strings.LastIndexByte(nevra, '.')], nevra[strings.LastIndexByte(nevra, '.')+1:]
		i := strings.LastIndexByte(rest[:strings.LastIndexByte(rest, '-')], '-')
		evr := rpm.ParseEVR(rest[i+1:])
		out = append(out, versioned{name: rest[:i], version: evr.String(), arch: arch, sha256: sum, path: s, evr: evr})
	}
	return out
}

func TestVersionChanges(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to []versioned
		want     []string
	}{
		"nothing": {},
		"the same": {
			from: packageSet("a-1-1.noarch", "b-0:2-1.x86_64"),
			to:   packageSet("b-2-1.x86_64", "a-1-1.noarch"),
		},
		"rpm's order, not the alphabet's": {
			from: packageSet("a-9-1.noarch", "b-2.0-1.noarch", "c-1-1.noarch", "d-1.0~rc1-1.noarch"),
			to:   packageSet("a-10-1.noarch", "b-2.0~rc1-1.noarch", "c-1:0-1.noarch", "d-1.0-1.noarch"),
			want: []string{"upgraded a 9-1 10-1 noarch", "downgraded b 2.0-1 2.0~rc1-1 noarch", "upgraded c 1-1 1:0-1 noarch",
				"upgraded d 1.0~rc1-1 1.0-1 noarch"},
		},
		"comes and goes": {
			from: packageSet("a-1-1.noarch", "b-1-1.noarch"),
			to:   packageSet("b-1-1.noarch", "c-1-1.noarch"),
			want: []string{"removed a 1-1  noarch", "added c  1-1 noarch"},
		},
		"another file of one version": {
			from: packageSet("a-1-1.noarch!x", "b-1-1.noarch!x", "c-1-1.noarch!x"),
			to:   packageSet("a-1-1.noarch!y", "b-1-1.noarch!x", "c-2-1.noarch!y"),
			want: []string{"changed a 1-1 1-1 noarch x>y", "upgraded c 1-1 2-1 noarch"},
		},
		"several versions of one name": {
			from: packageSet("kernel-3.10.0-1.x86_64", "kernel-3.10.0-2.x86_64", "kernel-3.10.0-3.x86_64"),
			to:   packageSet("kernel-3.10.0-2.x86_64", "kernel-3.10.0-4.x86_64", "kernel-3.10.0-5.x86_64"),
			want: []string{"upgraded kernel 3.10.0-3 3.10.0-5 x86_64", "upgraded kernel 3.10.0-1 3.10.0-4 x86_64"},
		},
		"the newest meets the newest": {
			from: packageSet("a-1-1.noarch", "a-2-1.noarch", "b-1-1.noarch"),
			to:   packageSet("a-3-1.noarch", "b-1.5-1.noarch", "b-2-1.noarch"),
			want: []string{"upgraded a 2-1 3-1 noarch", "removed a 1-1  noarch", "upgraded b 1-1 2-1 noarch", "added b  1.5-1 noarch"},
		},
		"each architecture by itself": {
			from: packageSet("glibc-1-1.x86_64", "glibc-1-1.i686"),
			to:   packageSet("glibc-2-1.x86_64", "glibc-2-1.i686"),
			want: []string{"upgraded glibc 1-1 2-1 i686", "upgraded glibc 1-1 2-1 x86_64"},
		},
		"from one architecture to another": {
			from: packageSet("a-1-1.noarch", "b-2-1.x86_64", "b-2-1.i686"),
			to:   packageSet("a-2-1.x86_64", "b-3-1.x86_64"),
			want: []string{"upgraded a 1-1 2-1 noarch>x86_64", "removed b 2-1  i686", "upgraded b 2-1 3-1 x86_64"},
		},
	} {
		var got []string
		for _, c := range versionChanges(tt.from, tt.to, newerPackage) {
			arch := c.Arch
			if c.FromArch != "" {
				arch = c.FromArch + ">" + arch
			}
			if c.FromSHA256 != "" || c.ToSHA256 != "" {
				arch += " " + c.FromSHA256 + ">" + c.ToSHA256
			}
			got = append(got, strings.Join([]string{string(c.Change), c.Name, c.From, c.To, arch}, " "))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReleaseVersions(t *testing.T) {
	set := func(versions ...string) []versioned {
		var out []versioned
		for _, v := range versions {
			out = append(out, versioned{name: "consul", version: v})
		}
		return out
	}
	for _, tt := range []struct {
		from, to []versioned
		want     string
	}{
		{set("1.9.0"), set("1.10.0"), "upgraded"},
		{set("1.10.0"), set("1.10.0-beta1"), "downgraded"},
		{set("1.10.0+ent"), set("1.10.0"), "changed"},
		{set("1.9.0", "1.10.0"), set("1.10.0"), "removed"},
	} {
		got := versionChanges(tt.from, tt.to, newerRelease)
		if len(got) != 1 || string(got[0].Change) != tt.want {
			t.Errorf("%v to %v: got %v, want %s", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestCutRelease(t *testing.T) {
	for _, tt := range []struct{ file, name, version string }{
		{"consul_1.6.1_linux_amd64.zip", "consul", "1.6.1"},
		{"terraform-provider-null_2.1.2-beta1_linux_amd64.zip", "terraform-provider-null", "2.1.2-beta1"},
		{"consul_1.6.1_linux_arm64.zip", "", ""},
		{"consul_linux_amd64.zip", "", ""},
		{"_1.6.1_linux_amd64.zip", "", ""},
		{"consul_latest_linux_amd64.zip", "", ""},
		{"consul_1.6.1_linux_amd64", "", ""},
	} {
		name, version, ok := cutRelease(tt.file, "linux/amd64")
		if name != tt.name || version != tt.version || ok != (tt.name != "") {
			t.Errorf("%s: got %q, %q, %v", tt.file, name, version, ok)
		}
	}
}
