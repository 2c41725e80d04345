package source_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
)

// A base that lists nothing is more likely a dump that went wrong than a host without packages.
func TestBaseRefusesOneWithoutPackages(t *testing.T) {
	var zipped bytes.Buffer
	if err := gzip.NewWriter(&zipped).Close(); err != nil {
		t.Fatal(err)
	}
	db := t.TempDir()
	if out, err := exec.Command("rpmdb", "--define", "_db_backend sqlite", "--dbpath", db, "--initdb").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, data := range map[string][]byte{
		"nothing":               {},
		"gzip of nothing":       zipped.Bytes(),
		"keys alone":            []byte("P|gpg-pubkey|0|f4a80eb5|53a7ff4b|(none)\n"),
		"a database of nothing": readFile(t, filepath.Join(db, "rpmdb.sqlite")),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write(t, "base/host", data)
			in := w.inputs(t, strings.Replace(rpms(signedRepo, "wget"), "base: bare", "base: base/host", 1))
			want := func(err error) {
				t.Helper()
				var bad *manifest.Error
				if !errors.As(err, &bad) || bad.Field != "artifacts.rpms.base" || bad.What != "\"base/host\" lists no package; write `bare` if that is meant" {
					t.Errorf("got %v, want a manifest error", err)
				}
			}
			_, err := source.Base(in)
			want(err)
			_, err = source.ReadBase("base/host", bytes.NewReader(data), int64(len(data)))
			want(err)
		})
	}
	w := newWorld(t)
	if base, err := source.Base(w.inputs(t, rpms(signedRepo, "wget"))); err != nil || len(base) != 0 {
		t.Errorf("bare: got %d packages, %v", len(base), err)
	}
	const one = "P|bash|0|4.2.46|35.el7_9|x86_64\n"
	if base, err := source.ReadBase("host", strings.NewReader(one), int64(len(one))); err != nil || len(base) != 1 || base[0].Name != "bash" {
		t.Errorf("one package: got %d, %v", len(base), err)
	}
}
