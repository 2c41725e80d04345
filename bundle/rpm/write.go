package rpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// RepoFile is one RPM of a repository to be written.
type RepoFile struct {
	Header *Header
	Href   string // path from the root of the repository, as "Packages/wget-1.14-18.el7.x86_64.rpm"
	Size   int64  // of the file, bytes
	SHA256 string // of the file, lower-case hexadecimal
}

// WriteRepo makes the metadata of a repository of these files: its files by path from the root of the repository,
// "repodata/repomd.xml" and three others. They are a pure function of the files' headers and digests: neither the order of
// files nor the clock counts. The elements are those that createrepo_c writes, and so what yum 3.4, dnf 4 and dnf 5 read.
func WriteRepo(files []RepoFile) (map[string][]byte, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b RepoFile) int { return strings.Compare(a.Href, b.Href) })
	newest := int64(0)
	for i, f := range files {
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("writing repository metadata: %w", err)
		}
		if i > 0 && files[i-1].Href == f.Href {
			return nil, fmt.Errorf("writing repository metadata: %q given twice", f.Href)
		}
		newest = max(newest, f.Header.BuildTime)
	}
	out := map[string][]byte{}
	var written []writtenFile
	for _, kind := range []struct {
		name  string
		write func(*xmlWriter, []RepoFile)
	}{{"primary", writePrimary}, {"filelists", writeFilelists}, {"other", writeOther}} {
		w, err := writeMetadata(kind.name, files, kind.write)
		if err != nil {
			return nil, fmt.Errorf("writing repository metadata %q: %w", kind.name, err)
		}
		out[w.href] = w.stored
		written = append(written, w)
	}
	out[repomdHref] = writeRepomd(written, newest)
	return out, nil
}

func (f RepoFile) check() error {
	if err := checkHref(f.Href); err != nil {
		return err
	}
	if _, err := parseDigest("sha256", f.SHA256); err != nil {
		return fmt.Errorf("reading digest of %q: %w", f.Href, err)
	}
	return nil
}

// writtenFile is one metadata file, as repomd.xml names it.
type writtenFile struct {
	kind             string
	href             string
	stored           []byte
	digest, openHash string
	openSize         int64
}

func writeMetadata(kind string, files []RepoFile, write func(*xmlWriter, []RepoFile)) (writtenFile, error) {
	var stored bytes.Buffer
	// A pinned module, not the standard library: its compressor may change with the toolchain, and the bytes with it.
	zip, err := gzip.NewWriterLevel(&stored, gzip.BestCompression)
	if err != nil {
		return writtenFile{}, err
	}
	zip.ModTime = time.Unix(0, 0) // no time
	open := &countingHash{Hash: sha256.New()}
	x := &xmlWriter{w: io.MultiWriter(zip, open)}
	write(x, files)
	if x.err != nil {
		return writtenFile{}, x.err
	}
	if err := zip.Close(); err != nil {
		return writtenFile{}, err
	}
	sum := sha256.Sum256(stored.Bytes())
	digest := hex.EncodeToString(sum[:])
	return writtenFile{
		kind:     kind,
		href:     "repodata/" + digest + "-" + kind + ".xml.gz",
		stored:   stored.Bytes(),
		digest:   digest,
		openHash: hex.EncodeToString(open.Sum(nil)),
		openSize: open.n,
	}, nil
}

// countingHash also counts what it hashes.
type countingHash struct {
	hash.Hash
	n int64
}

func (c *countingHash) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.Hash.Write(p)
}

// writeRepomd writes repomd.xml. revision stands for its time: yum 3.4 refuses metadata older than what it has.
func writeRepomd(files []writtenFile, revision int64) []byte {
	var b bytes.Buffer
	x := &xmlWriter{w: &b}
	x.declare()
	x.open("repomd", "xmlns", "http://linux.duke.edu/metadata/repo", "xmlns:rpm", "http://linux.duke.edu/metadata/rpm")
	x.text("revision", fmt.Sprint(revision))
	for _, f := range files {
		x.open("data", "type", f.kind)
		x.text("checksum", f.digest, "type", "sha256")
		x.text("open-checksum", f.openHash, "type", "sha256")
		x.empty("location", "href", f.href)
		x.text("timestamp", fmt.Sprint(revision))
		x.text("size", fmt.Sprint(len(f.stored)))
		x.text("open-size", fmt.Sprint(f.openSize))
		x.close("data")
	}
	x.close("repomd")
	return b.Bytes()
}
