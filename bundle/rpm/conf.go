package rpm

import (
	"fmt"
	"slices"
	"strings"
)

// RepoID is the id of a bundle's repository in its configuration.
const RepoID = "offbake"

// UnsignedRepoID is the id under which a configuration offers the packages of the bundle's repository that carry no
// signature.
const UnsignedRepoID = RepoID + "-unsigned"

// RepoRoot is where a host keeps the repository of the bundle that it is baked from.
const RepoRoot = "/var/lib/offbake/rpms"

// ConfOptions say what a bundle's repository needs of its configuration.
type ConfOptions struct {
	Keys []string // file names of the keys in keys/ beside the configuration
	Weak bool     // install weak dependencies too
	// Unsigned are the names of packages that may lack a signature, as those of repositories without gpgcheck. All others
	// stay under gpgcheck: yum and dnf know no exception within a repository, so these come from a second one at the
	// same place. With a name go all versions and architectures of it.
	Unsigned []string
}

// Conf is offbake.conf: all that yum or dnf need, with -c, to install from the bundle's repository and from nothing else.
// Keys that one of them does not know are passed over by it.
func Conf(opts ConfOptions) []byte {
	weak := 0
	if opts.Weak {
		weak = 1
	}
	var b strings.Builder
	b.WriteString("# yum -c offbake.conf install NAME, or dnf. To use the repository elsewhere than in " + RepoRoot + ":\n")
	signed, unsigned := offers(opts.Keys, opts.Unsigned)
	if signed {
		b.WriteString("# --setopt=offbake.baseurl=file://DIR --setopt=offbake.gpgkey=file://DIR/keys/NAME\n")
	}
	if unsigned {
		b.WriteString("# --setopt=" + UnsignedRepoID + ".baseurl=file://DIR\n")
	}
	b.WriteString("[main]\n")
	b.WriteString("reposdir=/dev/null\n") // no other repository, reachable or not
	b.WriteString("plugins=0\n")
	b.WriteString("gpgcheck=1\n")
	b.WriteString("localpkg_gpgcheck=1\n") // off by default: packages given as paths would go unchecked
	b.WriteString("keepcache=0\n")
	b.WriteString("installonly_limit=0\n") // a kernel of the base is not ours to remove
	fmt.Fprintf(&b, "install_weak_deps=%d\n", weak)
	urls := make([]string, len(opts.Keys))
	for i, name := range opts.Keys {
		urls[i] = "file://" + RepoRoot + "/keys/" + name
	}
	b.WriteString("\n")
	b.WriteString(RepoSections(RepoSectionOptions{
		BaseURL:  "file://" + RepoRoot,
		Keys:     urls,
		Unsigned: opts.Unsigned,
		Extra:    "metadata_expire=0\n", // another bundle may take this one's place
	}))
	return []byte(b.String())
}

// RepoSectionOptions say where a bundle's repository is and what is checked of it.
type RepoSectionOptions struct {
	BaseURL  string
	Keys     []string // URLs of keys
	Unsigned []string // as in ConfOptions
	Extra    string   // further lines for each section
}

// RepoSections are the sections of a configuration that offer the repository of a bundle: RepoID, and UnsignedRepoID
// when there are packages without signatures, which alone is not checked. Where there are such packages and no key, all are
// without, and RepoID is left out: dnf 4 installs nothing at all beside a repository that is checked with no key
// (dnf/cli/cli.py, checkGPGKey). Neither order nor repetition of keys and names counts.
func RepoSections(o RepoSectionOptions) string {
	keys, unsigned := sortedSet(o.Keys), sortedSet(o.Unsigned)
	var b strings.Builder
	section := func(id, name string, check int, more string) {
		fmt.Fprintf(&b, "[%s]\nname=%s\nbaseurl=%s\nenabled=1\ngpgcheck=%d\n", id, name, o.BaseURL, check)
		b.WriteString("repo_gpgcheck=0\n") // the bundle's signature covers the metadata
		b.WriteString(more + o.Extra)
		b.WriteString("skip_if_unavailable=0\n")
		b.WriteString("module_hotfixes=1\n") // the bundle has no modules.yaml; without this dnf hides modular packages
	}
	more := ""
	if len(keys) > 0 {
		more = "gpgkey=" + strings.Join(keys, "\n       ") + "\n"
	}
	names := strings.Join(unsigned, " ")
	checked, except := offers(keys, unsigned)
	if checked && except {
		more += "exclude=" + names + "\n"
	}
	if checked {
		section(RepoID, "offbake bundle", 1, more)
	}
	if checked && except {
		b.WriteString("\n")
	}
	if except {
		section(UnsignedRepoID, "offbake bundle, packages without signature", 0, "includepkgs="+names+"\n")
	}
	return b.String()
}

// offers says which sections there are: RepoID and UnsignedRepoID.
func offers(keys, unsigned []string) (checked, except bool) {
	return len(keys) > 0 || len(unsigned) == 0, len(unsigned) > 0
}

func sortedSet(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
