package assemble

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/mholt/archiver/v4"
)

// zipLimits bound what an archive may make of us.
type zipLimits struct {
	members  int
	unpacked int64 // bytes, all members together
	ratio    int64 // unpacked to packed, once free bytes are out
	free     int64 // small archives of repeated text are no bombs
}

// releaseLimits are for what vendors release: the largest in use is about 150 MB and 4:1, while deflate can do 1032:1.
func releaseLimits() zipLimits {
	return zipLimits{members: 10_000, unpacked: 4 << 30, ratio: 200, free: 64 << 20}
}

const notRegular = fs.ModeType | fs.ModeSetuid | fs.ModeSetgid

// HostileError says that an archive holds what no vendor's release holds, so that none of it may be used.
type HostileError struct {
	Member string // "" where the archive as a whole is meant
	Why    string
}

func (e *HostileError) Error() string {
	if e.Member == "" {
		return "archive refused: " + e.Why
	}
	return fmt.Sprintf("archive refused: member %q: %s", e.Member, e.Why)
}

// unpacked is what came out of a zip: the one member that was asked for, and the hash of all.
type unpacked struct {
	Name   string // of the member
	Size   int64  // bytes
	SHA256 string // lower-case hex
	H1     string // Terraform's package hash of the whole archive: "h1:" and dirhash.Hash1 of golang.org/x/mod
}

// unzip copies the one regular member that want accepts to dst. Every member is read, so that the whole archive is
// known to be sound, but names, modes and links in it count for nothing: the caller decides where dst lies and how it
// is called. Not exactly one match, a name twice or outside the archive, a link or device, or more bytes than a
// release can have is a *HostileError; what dst then holds must be thrown away.
func unzip(ctx context.Context, archive *io.SectionReader, want func(name string) bool, dst io.Writer) (unpacked, error) {
	return unzipWithin(ctx, archive, &zipReader{want: want, dst: dst, limits: releaseLimits()})
}

func unzipWithin(ctx context.Context, archive *io.SectionReader, z *zipReader) (unpacked, error) {
	z.packed, z.seen, z.digests, z.buf = archive.Size(), map[string]bool{}, map[string]string{}, make([]byte, 128<<10)
	err := archiver.Zip{}.Extract(ctx, archive, func(_ context.Context, f archiver.FileInfo) error {
		z.err = z.member(ctx, f)
		return z.err
	})
	switch {
	case z.err != nil: // our own words, without the library's around them
		return unpacked{}, z.err
	case err != nil:
		return unpacked{}, fmt.Errorf("reading zip: %w", err)
	case z.found.Name == "":
		return unpacked{}, &HostileError{Why: fmt.Sprintf("the file that a release holds is not in it; members: %s", z.names())}
	}
	z.found.H1 = z.h1()
	return z.found, nil
}

type zipReader struct {
	want    func(string) bool
	dst     io.Writer
	limits  zipLimits
	buf     []byte
	packed  int64 // size of the archive
	total   int64 // unpacked so far
	seen    map[string]bool
	digests map[string]string // hex by name
	found   unpacked
	err     error
}

func (z *zipReader) member(ctx context.Context, f archiver.FileInfo) error {
	name := f.NameInArchive
	refuse := func(format string, args ...any) error {
		return &HostileError{Member: name, Why: fmt.Sprintf(format, args...)}
	}
	folded := strings.ToLower(strings.TrimSuffix(name, "/"))
	switch {
	case !fs.ValidPath(strings.TrimSuffix(name, "/")) || strings.ContainsAny(name, "\\\n\x00"):
		return refuse("its path leaves the archive or is not clean")
	case z.seen[folded]:
		return refuse("the name is there twice")
	case len(z.seen) == z.limits.members:
		return &HostileError{Why: fmt.Sprintf("more than %d members", z.limits.members)}
	case !f.IsDir() && f.Mode()&notRegular != 0:
		return refuse("got a file of type %v, want a regular one", f.Mode().Type())
	}
	z.seen[folded] = true
	h := sha256.New()
	out := io.Writer(h)
	wanted := !f.IsDir() && z.want(name)
	if wanted && z.found.Name != "" {
		return refuse("%q fits as well", z.found.Name)
	}
	if wanted {
		out = io.MultiWriter(h, z.dst)
	}
	size, err := z.copy(ctx, out, f)
	if err != nil {
		return err
	}
	digest := hex.EncodeToString(h.Sum(nil))
	z.digests[name] = digest
	if wanted {
		z.found = unpacked{Name: name, Size: size, SHA256: digest}
	}
	return nil
}

// copy reads one member whole, and no more than the caps allow: a header's word on its size is not taken.
func (z *zipReader) copy(ctx context.Context, out io.Writer, f archiver.FileInfo) (int64, error) {
	if f.IsDir() {
		return 0, nil
	}
	r, err := f.Open()
	if err != nil {
		return 0, fmt.Errorf("opening member %q: %w", f.NameInArchive, err)
	}
	defer r.Close()
	var size int64
	for {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		n, err := r.Read(z.buf)
		size += int64(n)
		z.total += int64(n)
		if z.total > z.limits.unpacked || z.total > z.limits.free && z.total/z.limits.ratio > z.packed {
			return 0, &HostileError{Member: f.NameInArchive, Why: fmt.Sprintf("%d bytes and more out of %d", z.total, z.packed)}
		}
		if _, err := out.Write(z.buf[:n]); err != nil {
			return 0, err
		}
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return 0, fmt.Errorf("unpacking member %q: %w", f.NameInArchive, err)
		}
	}
}

func (z *zipReader) names() string {
	var names []string
	for name := range z.digests {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 10 {
		names = append(names[:10], "...")
	}
	return fmt.Sprintf("%q", names)
}

func (z *zipReader) h1() string {
	names := make([]string, 0, len(z.digests))
	for name := range z.digests {
		names = append(names, name)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%s  %s\n", z.digests[name], name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}
