package faulttest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// CutRepo makes dst the metadata of a part of the repository in src: primary alone, of the packages whose name passes
// keep. The packages themselves it does not have. src has primary metadata as .xml.gz.
func CutRepo(dst, src string, keep func(name string) bool) error {
	found, err := filepath.Glob(filepath.Join(src, "repodata", "*-primary.xml.gz"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("looking for primary metadata in %q: got %q, %w", src, found, err)
	}
	text, err := gunzip(found[0])
	if err != nil {
		return err
	}
	const open, shut = "<package ", "</package>"
	var kept strings.Builder
	n := 0
	head, rest, _ := strings.Cut(text, open)
	for {
		one, after, more := strings.Cut(rest, shut)
		if !more {
			break
		}
		_, name, _ := strings.Cut(one, "<name>")
		if name, _, _ = strings.Cut(name, "</name>"); keep(name) {
			kept.WriteString(open + one + shut + "\n")
			n++
		}
		_, rest, _ = strings.Cut(after, open)
	}
	head = head[:strings.Index(head, "<metadata")]
	primary := fmt.Sprintf(`%s<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">`+
		"\n%s</metadata>\n", head, n, kept.String())
	repomd := fmt.Sprintf(`<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><checksum type="sha256">%x</checksum>`+
		`<location href="repodata/primary.xml"/><size>%d</size></data></repomd>`+"\n", sha256.Sum256([]byte(primary)), len(primary))
	if err := os.MkdirAll(filepath.Join(dst, "repodata"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"primary.xml": primary, "repomd.xml": repomd} {
		if err := os.WriteFile(filepath.Join(dst, "repodata", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func gunzip(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return "", fmt.Errorf("reading %q: %w", path, err)
	}
	plain, err := io.ReadAll(r)
	return string(plain), err
}
