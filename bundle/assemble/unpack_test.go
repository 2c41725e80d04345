package assemble

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"
)

type zipMember struct {
	name string
	body string
	mode fs.FileMode
}

func zipOf(t testing.TB, members ...zipMember) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		h.SetMode(m.mode)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(f, m.body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func section(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

func isConsul(name string) bool { return name == "consul" }

func TestUnzip(t *testing.T) {
	b := zipOf(t, zipMember{"docs/", "", fs.ModeDir | 0o755}, zipMember{"docs/consul", "no", 0o644},
		zipMember{"consul", "the binary", 0o644}, zipMember{"LICENSE.txt", "free", 0o777})
	var out strings.Builder
	got, err := unzip(t.Context(), section(b), isConsul, &out)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("the binary"))
	want := unpacked{Name: "consul", Size: 10, SHA256: hex.EncodeToString(sum[:])}
	file := filepath.Join(t.TempDir(), "x.zip")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if want.H1, err = dirhash.HashZip(file, dirhash.Hash1); err != nil {
		t.Fatal(err)
	}
	if got != want || out.String() != "the binary" {
		t.Errorf("got %+v %q, want %+v", got, out.String(), want)
	}
}

func TestUnzipRefusesHostile(t *testing.T) {
	good := zipMember{"consul", "the binary", 0o755}
	bomb := strings.Repeat("\x00", 1<<20)
	for _, row := range []struct {
		name    string
		members []zipMember
		why     string
	}{
		{"the member is not in it", []zipMember{{"nomad", "x", 0o755}}, `members: ["nomad"]`},
		{"the member is a folder", []zipMember{{"consul/", "", fs.ModeDir | 0o755}}, "not in it"},
		{"the member is a link", []zipMember{{"consul", "/etc/passwd", fs.ModeSymlink | 0o777}}, "want a regular one"},
		{"another member is a link", []zipMember{good, {"x", "/etc", fs.ModeSymlink | 0o777}}, "want a regular one"},
		{"a device", []zipMember{good, {"x", "", fs.ModeDevice | 0o600}}, "want a regular one"},
		{"a program that takes root's rights", []zipMember{{"consul", "x", fs.ModeSetuid | 0o755}}, "want a regular one"},
		{"the name twice", []zipMember{good, good}, "there twice"},
		{"the name twice but for case", []zipMember{good, {"Consul", "evil", 0o755}}, "there twice"},
		{"a file and a folder of one name", []zipMember{good, {"consul/", "", fs.ModeDir | 0o755}}, "there twice"},
		{"a path upwards", []zipMember{good, {"../../etc/cron.d/x", "evil", 0o644}}, "leaves the archive"},
		{"a path from the root", []zipMember{good, {"/etc/x", "evil", 0o644}}, "leaves the archive"},
		{"a path with a dot", []zipMember{good, {"./x", "evil", 0o644}}, "leaves the archive"},
		{"a path with a backslash", []zipMember{good, {`..\x`, "evil", 0o644}}, "leaves the archive"},
		{"a bomb", []zipMember{{"consul", bomb, 0o755}}, "bytes and more out of"},
		{"a bomb beside the member", []zipMember{good, {"x", bomb, 0o644}}, "bytes and more out of"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := unzipWithin(t.Context(), section(zipOf(t, row.members...)), small())
			var hostile *HostileError
			if !errors.As(err, &hostile) || !strings.Contains(err.Error(), row.why) || got != (unpacked{}) {
				t.Errorf("got %+v, %v, want a HostileError with %q", got, err, row.why)
			}
		})
	}
}

func TestUnzipRefusesTwoThatFit(t *testing.T) {
	b := zipOf(t, zipMember{"a_x4", "x", 0o755}, zipMember{"a_x5", "y", 0o755})
	_, err := unzip(t.Context(), section(b), func(n string) bool { return strings.HasPrefix(n, "a_") }, io.Discard)
	var hostile *HostileError
	if !errors.As(err, &hostile) {
		t.Errorf("got %v, want a HostileError", err)
	}
}

// small are the limits of a release, divided so that tests need not write 64 MiB.
func small() *zipReader {
	return &zipReader{want: isConsul, dst: io.Discard, limits: zipLimits{members: 3, unpacked: 3 << 20, ratio: 200, free: 64 << 10}}
}

func TestUnzipLimits(t *testing.T) {
	good := zipMember{"consul", "the binary", 0o755}
	noise := make([]byte, 4<<20) // does not compress: no bomb, and yet too much
	rand.NewChaCha8([32]byte{}).Read(noise)
	for _, row := range []struct {
		name    string
		members []zipMember
		why     string
	}{
		{"as many members as may be", []zipMember{good, {"a", "", 0o644}, {"b", "", 0o644}}, ""},
		{"one member more", []zipMember{good, {"a", "", 0o644}, {"b", "", 0o644}, {"c", "", 0o644}}, "more than 3 members"},
		{"text that packs well", []zipMember{{"consul", strings.Repeat("\x00", 60<<10), 0o755}}, ""},
		{"too much in all", []zipMember{good, {"a", string(noise[:2<<20]), 0o644}, {"b", string(noise[2<<20:]), 0o644}}, "bytes and more out of"},
	} {
		_, err := unzipWithin(t.Context(), section(zipOf(t, row.members...)), small())
		if (err == nil) != (row.why == "") || err != nil && !strings.Contains(err.Error(), row.why) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.why)
		}
	}
}

func TestUnzipDamaged(t *testing.T) {
	b := zipOf(t, zipMember{"consul", strings.Repeat("the binary", 100), 0o755})
	for _, row := range []struct {
		name string
		zip  []byte
	}{
		{"cut", b[:len(b)-1]}, {"empty", nil}, {"a page", []byte("<html>")},
		{"a byte of the body", append(append(bytes.Clone(b[:40]), b[40]^1), b[41:]...)},
	} {
		if got, err := unzip(t.Context(), section(row.zip), isConsul, io.Discard); err == nil {
			t.Errorf("%s: got %+v, want an error", row.name, got)
		}
	}
	full := errors.New("disk full")
	if _, err := unzip(t.Context(), section(b), isConsul, failing{full}); !errors.Is(err, full) {
		t.Errorf("got %v, want the writer's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := unzip(ctx, section(b), isConsul, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func FuzzUnzip(f *testing.F) {
	f.Add(zipOf(f, zipMember{"consul", "the binary", 0o755}))
	f.Add(zipOf(f, zipMember{"d/", "", fs.ModeDir | 0o755}, zipMember{"consul", "", 0o644}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		got, err := unzip(t.Context(), section(b), isConsul, &out)
		if err == nil && (got.Name != "consul" || got.Size != int64(out.Len())) {
			t.Errorf("got %+v and %d bytes", got, out.Len())
		}
	})
}
