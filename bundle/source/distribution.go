package source

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// Distribution is a family of systems that packages are built for.
type Distribution struct {
	Name  string
	Repos []Standard
}

// Standard is one of the repositories that a distribution is made of.
type Standard struct {
	Name string
	URL  string // an example for x86_64; "" where there is no lasting one
	word string // of its id, or of a folder in its address
}

func (d Distribution) names() []string {
	var names []string
	for _, r := range d.Repos {
		names = append(names, r.Name)
	}
	return names
}

// is reports whether a repository of the manifest is the standard one, as far as its id and its address tell.
func (s Standard) is(r *repository) bool {
	words := strings.FieldsFunc(strings.ToLower(r.entry.ID), func(c rune) bool { return strings.ContainsRune("-_.:", c) })
	if u, err := url.Parse(strings.ToLower(r.entry.BaseURL)); err == nil {
		words = append(words, strings.Split(u.Path, "/")...)
	}
	return slices.Contains(words, s.word) || slices.Contains(words, strings.ToLower(s.Name))
}

var distTag = regexp.MustCompile(`[._+](el|amzn|fc|oe)([0-9]+)`)

// tag is the mark in the release of most of the packages, as el7 of 3.el7_9; of all packages where none is named.
func (w whence) tag(nevras []string) string {
	count := map[string]int{}
	for _, name := range nevras {
		count[tagOf(name)]++
	}
	if len(nevras) == 0 {
		all := [][]*rpm.Package{w.o.Installed}
		for _, r := range w.repos {
			all = append(all, r.loaded.Packages)
		}
		for _, p := range slices.Concat(all...) {
			count[tagOf(p.EVR.Release)]++
		}
	}
	delete(count, "")
	best := ""
	for tag, n := range count {
		if c := cmp.Or(cmp.Compare(n, count[best]), strings.Compare(best, tag)); c > 0 {
			best = tag
		}
	}
	return best
}

func tagOf(text string) string {
	found := distTag.FindAllStringSubmatch("."+text, -1)
	if found == nil {
		return ""
	}
	last := found[len(found)-1]
	return last[1] + last[2]
}

// distribution is the table of standard repositories by the mark in packages' releases, from the distributions' own
// .repo files: CentOS 7 (facts: container-selinux, which docker-ce requires, is in extras), Enterprise Linux 8 and later
// (BaseOS and AppStream), Amazon Linux 2, Fedora, openEuler.
func distribution(tag string) (Distribution, bool) {
	const vault, rocky = "https://vault.centos.org/", "https://dl.rockylinux.org/pub/rocky/"
	switch {
	case tag == "el6" || tag == "el7":
		release := map[string]string{"el6": "6.10", "el7": "7.9.2009"}[tag]
		return Distribution{"CentOS " + tag[2:], []Standard{
			{"base", vault + release + "/os/x86_64/", "os"},
			{"updates", vault + release + "/updates/x86_64/", "updates"},
			{"extras", vault + release + "/extras/x86_64/", "extras"},
		}}, true
	case strings.HasPrefix(tag, "el"):
		return Distribution{"Enterprise Linux " + tag[2:], []Standard{
			{"BaseOS", rocky + tag[2:] + "/BaseOS/x86_64/os/", "baseos"},
			{"AppStream", rocky + tag[2:] + "/AppStream/x86_64/os/", "appstream"},
		}}, true
	case tag == "amzn2":
		return Distribution{"Amazon Linux 2", []Standard{
			{"amzn2-core", "", "core"}, // its address comes of a mirror list
			{"amzn2extra-docker", "", "extras"},
		}}, true
	case strings.HasPrefix(tag, "fc"):
		const pub = "https://dl.fedoraproject.org/pub/fedora/linux/"
		return Distribution{"Fedora " + tag[2:], []Standard{
			{"fedora", pub + "releases/" + tag[2:] + "/Everything/x86_64/os/", "releases"},
			{"updates", pub + "updates/" + tag[2:] + "/Everything/x86_64/", "updates"},
		}}, true
	case strings.HasPrefix(tag, "oe"):
		return Distribution{"openEuler", []Standard{ // the tag does not tell its release, as 22.03-LTS-SP1
			{"OS", "", "os"}, {"everything", "", "everything"}, {"update", "", "update"},
		}}, true
	}
	return Distribution{}, false
}

// usual says where a distribution has what people look for in vain; "" for what has no surprise.
func usual(tag, dep string) string {
	name, _, _ := strings.Cut(dep, " ")
	if name != "container-selinux" {
		return ""
	}
	switch tag {
	case "el7":
		return "CentOS 7 has it in extras"
	case "el8":
		return "Enterprise Linux 8 has it in AppStream, in module container-tools (rpms.modules)"
	}
	return ""
}
