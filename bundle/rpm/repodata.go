package rpm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxChanges is how many entries of its change log a package keeps, as with createrepo_c.
const maxChanges = 10

func writePrimary(x *xmlWriter, files []RepoFile) {
	x.declare()
	x.open("metadata", "xmlns", "http://linux.duke.edu/metadata/common", "xmlns:rpm", "http://linux.duke.edu/metadata/rpm",
		"packages", strconv.Itoa(len(files)))
	for _, f := range files {
		writePrimaryPackage(x, f)
	}
	x.close("metadata")
}

func writePrimaryPackage(x *xmlWriter, f RepoFile) {
	h := f.Header
	x.open("package", "type", "rpm")
	x.text("name", h.Name)
	x.text("arch", h.Arch)
	writeVersion(x, h)
	x.text("checksum", f.SHA256, "type", "sha256", "pkgid", "YES")
	x.text("summary", h.Summary)
	x.text("description", h.Description)
	x.text("packager", h.Packager)
	x.text("url", h.URL)
	x.empty("time", "file", fmt.Sprint(h.BuildTime), "build", fmt.Sprint(h.BuildTime)) // a file's own time is no input
	x.empty("size", "package", fmt.Sprint(f.Size), "installed", fmt.Sprint(h.InstalledSize), "archive", fmt.Sprint(h.ArchiveSize))
	x.empty("location", "href", f.Href)
	x.open("format")
	x.text("rpm:license", h.License)
	x.text("rpm:vendor", h.Vendor)
	x.text("rpm:group", h.Group)
	x.text("rpm:buildhost", h.BuildHost)
	x.text("rpm:sourcerpm", h.SourceRPM)
	x.empty("rpm:header-range", "start", fmt.Sprint(h.Start), "end", fmt.Sprint(h.End))
	writeDeps(x, "rpm:provides", h.Provides)
	writeDeps(x, "rpm:requires", h.listedRequires())
	writeDeps(x, "rpm:conflicts", h.Conflicts)
	writeDeps(x, "rpm:obsoletes", h.Obsoletes)
	writeDeps(x, "rpm:suggests", h.Suggests)
	writeDeps(x, "rpm:enhances", h.Enhances)
	writeDeps(x, "rpm:recommends", h.Recommends)
	writeDeps(x, "rpm:supplements", h.Supplements)
	for _, file := range h.Files {
		if isPrimaryFile(file.Path) {
			writeFile(x, file)
		}
	}
	x.close("format")
	x.close("package")
}

func writeVersion(x *xmlWriter, h *Header) {
	epoch := h.EVR.Epoch
	if epoch == "" {
		epoch = "0"
	}
	x.empty("version", "epoch", epoch, "ver", h.EVR.Version, "rel", h.EVR.Release)
}

func writeDeps(x *xmlWriter, element string, deps []Dep) {
	if len(deps) == 0 {
		return
	}
	x.open(element)
	for _, d := range deps {
		attrs := []string{"name", d.Name}
		if d.EVR != nil {
			attrs = append(append(attrs, "flags", d.Flags.String()), versionAttrs(*d.EVR)...)
		}
		if d.Flags&Pre != 0 && element == "rpm:requires" {
			attrs = append(attrs, "pre", "1")
		}
		x.empty("rpm:entry", attrs...)
	}
	x.close(element)
}

// versionAttrs are the parts of a dependency's version that are there.
func versionAttrs(v EVR) []string {
	if v == (EVR{}) {
		return nil
	}
	attrs := []string{"epoch", v.Epoch}
	if v.Epoch == "" {
		attrs[1] = "0"
	}
	if v.Version != "" {
		attrs = append(attrs, "ver", v.Version)
	}
	if v.Release != "" {
		attrs = append(attrs, "rel", v.Release)
	}
	return attrs
}

func writeFile(x *xmlWriter, f File) {
	switch {
	case f.Dir():
		x.text("file", f.Path, "type", "dir")
	case f.Ghost:
		x.text("file", f.Path, "type", "ghost")
	default:
		x.text("file", f.Path)
	}
}

// isPrimaryFile says which paths primary metadata lists: those that packages require most.
func isPrimaryFile(path string) bool {
	return strings.HasPrefix(path, "/etc/") || path == "/usr/lib/sendmail" || strings.Contains(path, "bin/")
}

// listedRequires are the requirements that metadata lists: without those on rpm's own features, those that the package
// meets itself, and those that repeat the one before of that name; of glibc's symbol versions only the newest, which implies
// the others.
func (h *Header) listedRequires() []Dep {
	own, files := map[string]bool{}, map[string]bool{}
	for _, p := range h.Provides {
		own[depKey(p)] = true
	}
	for _, f := range h.Files {
		if isPrimaryFile(f.Path) {
			files[f.Path] = true
		}
	}
	last := map[string]Dep{} // by name, the one before
	var listed []Dep
	var libc *Dep
	for _, r := range h.Requires {
		key := depKey(r)
		before, again := last[r.Name]
		switch {
		case strings.HasPrefix(r.Name, "rpmlib("), own[key], files[r.Name], again && before.Flags == r.Flags && depKey(before) == key:
			continue
		case strings.HasPrefix(r.Name, "libc.so.6"):
			if libc == nil || newerSymbols(r.Name, libc.Name) {
				libc = &r
			}
			continue
		}
		last[r.Name] = r
		listed = append(listed, r)
	}
	if libc != nil {
		listed = append(listed, *libc)
	}
	return listed
}

// depKey is equal for dependencies with the same name, comparison and version.
func depKey(d Dep) string {
	if d.EVR == nil {
		return d.Name
	}
	return d.Name + " " + d.Flags.String() + " " + d.EVR.Epoch + ":" + d.EVR.Version + "-" + d.EVR.Release
}

// newerSymbols compares the symbol versions of libc.so.6(GLIBC_2.4)(64bit) and the like: digits are what counts. The bare name
// is older than all.
func newerSymbols(a, b string) bool {
	if bare := !strings.Contains(b, "("); bare != !strings.Contains(a, "(") {
		return bare
	}
	return compareSegments(symbolVersion(a), symbolVersion(b)) > 0
}

func symbolVersion(name string) string {
	_, rest, _ := strings.Cut(name, "(")
	version, _, _ := strings.Cut(rest, ")")
	if i := strings.IndexAny(version, "0123456789"); i >= 0 {
		return version[i:]
	}
	return ""
}

func writeFilelists(x *xmlWriter, files []RepoFile) {
	x.declare()
	x.open("filelists", "xmlns", "http://linux.duke.edu/metadata/filelists", "packages", strconv.Itoa(len(files)))
	for _, f := range files {
		x.open("package", "pkgid", f.SHA256, "name", f.Header.Name, "arch", f.Header.Arch)
		writeVersion(x, f.Header)
		for _, file := range f.Header.Files {
			writeFile(x, file)
		}
		x.close("package")
	}
	x.close("filelists")
}

func writeOther(x *xmlWriter, files []RepoFile) {
	x.declare()
	x.open("otherdata", "xmlns", "http://linux.duke.edu/metadata/other", "packages", strconv.Itoa(len(files)))
	for _, f := range files {
		x.open("package", "pkgid", f.SHA256, "name", f.Header.Name, "arch", f.Header.Arch)
		writeVersion(x, f.Header)
		for _, c := range f.Header.listedChanges() {
			x.text("changelog", c.Text, "author", c.Author, "date", fmt.Sprint(c.Time))
		}
		x.close("package")
	}
	x.close("otherdata")
}

// listedChanges are the newest entries of the change log, oldest first. Of entries with one time each is put a second after
// the one before, as createrepo_c does: readers sort by time.
func (h *Header) listedChanges() []Change {
	log := slices.Clone(h.Changelog[:min(len(h.Changelog), maxChanges)])
	slices.Reverse(log)
	var last int64 // the entry's own time before this one
	moved := false
	for i := range log {
		log[i].Author = strings.TrimRight(log[i].Author, " ")
		own := log[i].Time
		moved = i > 0 && (own == last || moved && own <= log[i-1].Time)
		if moved {
			log[i].Time = log[i-1].Time + 1
		}
		last = own
	}
	return log
}
