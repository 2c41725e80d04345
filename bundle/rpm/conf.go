package rpm

import (
	"fmt"
	"slices"
	"strings"
)

// RepoID is the id of a bundle's repository in its configuration.
const RepoID = "offbake"

// RepoRoot is where a host keeps the repository of the bundle that it is baked from.
const RepoRoot = "/var/lib/offbake/rpms"

// ConfOptions say what a bundle's repository needs of its configuration.
type ConfOptions struct {
	Keys []string // file names of the keys in keys/ beside the configuration
	Weak bool     // install weak dependencies too
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
	b.WriteString("# --setopt=offbake.baseurl=file://DIR --setopt=offbake.gpgkey=file://DIR/keys/NAME\n")
	b.WriteString("[main]\n")
	b.WriteString("reposdir=/dev/null\n") // no other repository, reachable or not
	b.WriteString("plugins=0\n")
	b.WriteString("gpgcheck=1\n")
	b.WriteString("localpkg_gpgcheck=1\n") // off by default: packages given as paths would go unchecked
	b.WriteString("keepcache=0\n")
	b.WriteString("installonly_limit=0\n") // a kernel of the base is not ours to remove
	fmt.Fprintf(&b, "install_weak_deps=%d\n", weak)
	b.WriteString("\n[" + RepoID + "]\n")
	b.WriteString("name=offbake bundle\n")
	b.WriteString("baseurl=file://" + RepoRoot + "\n")
	b.WriteString("enabled=1\n")
	b.WriteString("gpgcheck=1\n")
	b.WriteString("repo_gpgcheck=0\n") // the bundle's signature covers the metadata
	if len(opts.Keys) > 0 {
		urls := make([]string, len(opts.Keys))
		for i, name := range opts.Keys {
			urls[i] = "file://" + RepoRoot + "/keys/" + name
		}
		slices.Sort(urls)
		b.WriteString("gpgkey=" + strings.Join(slices.Compact(urls), "\n       ") + "\n")
	}
	b.WriteString("metadata_expire=0\n") // another bundle may take this one's place
	b.WriteString("skip_if_unavailable=0\n")
	b.WriteString("module_hotfixes=1\n") // the bundle has no modules.yaml; without this dnf hides modular packages
	return []byte(b.String())
}
