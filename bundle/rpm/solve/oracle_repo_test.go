package solve_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// inPrimary says whether primary metadata lists a path, as createrepo_c decides.
func inPrimary(path string) bool {
	return strings.HasPrefix(path, "/etc/") || strings.Contains(path, "bin/") || path == "/usr/lib/sendmail"
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) //nolint:errcheck // a Builder takes everything
	return b.String()
}

// checksum stands for the digest of a package's file: one for each package of a repository.
func checksum(repo string, p *rpm.Package) string {
	sum := sha256.Sum256([]byte(repo + " " + p.NEVRA()))
	return hex.EncodeToString(sum[:])
}

// write writes the metadata of a repository of packages that exist nowhere else: repomd.xml, primary, filelists and modules,
// not compressed.
func (r scenarioRepo) write(dir string) error {
	id, packages := r.ID, r.Packages
	var primary, lists strings.Builder
	const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	fmt.Fprintf(&primary, head+`<metadata xmlns="http://linux.duke.edu/metadata/common" `+
		`xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">`+"\n", len(packages))
	fmt.Fprintf(&lists, head+`<filelists xmlns="http://linux.duke.edu/metadata/filelists" packages="%d">`+"\n", len(packages))
	for _, p := range packages {
		writePrimaryPackage(&primary, id, p)
		fmt.Fprintf(&lists, `<package pkgid="%s" name="%s" arch="%s">%s`+"\n", checksum(id, p), escape(p.Name), p.Arch,
			versionElement(p.EVR))
		for _, f := range p.Files {
			fmt.Fprintf(&lists, "<file>%s</file>\n", escape(f))
		}
		lists.WriteString("</package>\n")
	}
	primary.WriteString("</metadata>\n")
	lists.WriteString("</filelists>\n")
	data := filepath.Join(dir, "repodata")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	var repomd strings.Builder
	repomd.WriteString(head + `<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">` +
		"\n<revision>1</revision>\n")
	for _, f := range []struct{ kind, text string }{{"primary", primary.String()}, {"filelists", lists.String()}, {"modules", r.Modules}} {
		if f.text == "" {
			continue
		}
		sum := sha256.Sum256([]byte(f.text))
		fmt.Fprintf(&repomd, `<data type="%s"><checksum type="sha256">%x</checksum><open-checksum type="sha256">%x</open-checksum>`+
			`<location href="repodata/%s.xml"/><timestamp>1</timestamp><size>%d</size><open-size>%d</open-size></data>`+"\n",
			f.kind, sum, sum, f.kind, len(f.text), len(f.text))
		if err := os.WriteFile(filepath.Join(data, f.kind+".xml"), []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	repomd.WriteString("</repomd>\n")
	return os.WriteFile(filepath.Join(data, "repomd.xml"), []byte(repomd.String()), 0o644)
}

func versionElement(e rpm.EVR) string {
	return fmt.Sprintf(`<version epoch="%s" ver="%s" rel="%s"/>`, cmp.Or(e.Epoch, "0"), escape(e.Version), escape(e.Release))
}

func writePrimaryPackage(b *strings.Builder, id string, p *rpm.Package) {
	fmt.Fprintf(b, `<package type="rpm"><name>%s</name><arch>%s</arch>%s<checksum type="sha256" pkgid="YES">%s</checksum>`+
		`<summary>s</summary><description>d</description><packager/><url/><time file="1" build="1"/>`+
		`<size package="1" installed="1" archive="1"/><location href="%s.rpm"/><format>`+
		`<rpm:license>MIT</rpm:license><rpm:vendor>v</rpm:vendor><rpm:group>g</rpm:group><rpm:buildhost>h</rpm:buildhost>`+
		`<rpm:sourcerpm>%s.src.rpm</rpm:sourcerpm><rpm:header-range start="1" end="2"/>`+"\n",
		escape(p.Name), p.Arch, versionElement(p.EVR), checksum(id, p), escape(p.NEVRA()), escape(p.Name))
	for _, kind := range depKinds(p) {
		if len(*kind.list) == 0 {
			continue
		}
		fmt.Fprintf(b, "<rpm:%s>\n", kind.name)
		for _, d := range *kind.list {
			fmt.Fprintf(b, `<rpm:entry name="%s"`, escape(d.Name))
			if d.EVR != nil {
				fmt.Fprintf(b, ` flags="%s" epoch="%s" ver="%s"`, d.Flags, cmp.Or(d.EVR.Epoch, "0"), escape(d.EVR.Version))
				if d.EVR.Release != "" {
					fmt.Fprintf(b, ` rel="%s"`, escape(d.EVR.Release))
				}
			}
			b.WriteString("/>\n")
		}
		fmt.Fprintf(b, "</rpm:%s>\n", kind.name)
	}
	for _, f := range p.Files {
		if inPrimary(f) {
			fmt.Fprintf(b, "<file>%s</file>\n", escape(f))
		}
	}
	b.WriteString("</format></package>\n")
}

// opener reads a repository from a folder.
func opener(dir string) rpm.Opener {
	return func(_ context.Context, href string) (io.ReadCloser, error) { return os.Open(filepath.Join(dir, href)) }
}
