package modulemd

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// Platform finds the module that a system is, such as "platform:el8"; "" where nothing tells. It asks, in this order: the newest
// offered package that provides system-release for its base-module(...), the same of the installed ones (libdnf,
// ModulePackage.cpp createPlatformSolvable), and then, in place of the PLATFORM_ID of the system's os-release, which
// neither metadata nor a dump has, the dist tags of most packages: installed ones, else offered ones.
func Platform(repos []RepoIndex, installed []*rpm.Package) string {
	var offered []*rpm.Package
	for _, r := range repos {
		if r.Repo != nil {
			offered = append(offered, r.Repo.Packages...)
		}
	}
	return cmp.Or(baseModule(offered), baseModule(installed), distTag(installed), distTag(offered))
}

// baseModule is what the newest packages that provide system-release say, if they agree.
func baseModule(packages []*rpm.Package) string {
	newest := make(map[string]rpm.EVR)
	var releases []*rpm.Package
	for _, p := range packages {
		if !slices.ContainsFunc(p.Provides, func(d rpm.Dep) bool { return d.Name == "system-release" }) {
			continue
		}
		releases = append(releases, p)
		if e, found := newest[p.Name]; !found || p.EVR.Compare(e) > 0 {
			newest[p.Name] = p.EVR
		}
	}
	said := make(map[string]bool)
	for _, p := range releases {
		if p.EVR.Compare(newest[p.Name]) != 0 {
			continue
		}
		for _, d := range p.Provides {
			if rest, found := strings.CutPrefix(d.Name, "base-module("); found && strings.HasSuffix(rest, ")") {
				said[strings.TrimSuffix(rest, ")")] = true
			}
		}
	}
	if len(said) != 1 {
		return ""
	}
	for platform := range said {
		if name, stream, found := strings.Cut(platform, ":"); found && name != "" && stream != "" {
			return platform
		}
	}
	return ""
}

var tagForm = regexp.MustCompile(`(?:^|[._])(el|fc)([0-9]+)(?:[._+]|$)`)

// distTag is the platform that most releases name: el8 of "1.el8_6", f29 of "3.fc29". It takes more than half of those with a
// tag.
func distTag(packages []*rpm.Package) string {
	count, all := make(map[string]int), 0
	for _, p := range packages {
		if m := tagForm.FindStringSubmatch(p.EVR.Release); m != nil {
			all++
			count[strings.TrimSuffix(m[1], "c")+m[2]]++
		}
	}
	for _, stream := range slices.Sorted(maps.Keys(count)) {
		if count[stream]*2 > all {
			return "platform:" + stream
		}
	}
	return ""
}

// archRank says how well a package or build of an architecture fits a host: 0 not at all, 1 best, higher is worse. What is for
// every architecture, or names none, fits best.
func archRank(host, arch string) int {
	if arch == "" || arch == "noarch" {
		return 1
	}
	return slices.Index(rpm.Archs(host), arch) + 1
}
