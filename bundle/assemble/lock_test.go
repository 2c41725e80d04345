package assemble_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
)

func (w *world) relock(t *testing.T, old *manifest.Lock) *assemble.LockResult {
	t.Helper()
	_, in := w.load(t)
	res, err := assemble.Lock(t.Context(), assemble.LockOptions{Inputs: in, Old: old, Fetcher: w.fetcher(t), Now: lockTime().Add(time.Hour)})
	must(t, err)
	must(t, res.Held.Close())
	return res
}

func TestLockKeepsItsTime(t *testing.T) {
	w := newWorld(t, strings.Replace(basicManifest, ", sha256: cb3c31bb01b824c9bf8c199469243cc5b3447fa9924a2b87acdff091450f7c12", "", 1))
	first := w.mustLock(t)
	if !first.Created.Equal(lockTime()) {
		t.Errorf("got created %v, want %v", first.Created, lockTime())
	}
	same := w.relock(t, first)
	if !same.Changes.Empty() || !same.Lock.Created.Equal(first.Created) {
		t.Errorf("nothing changed: got %+v, created %v", same.Changes, same.Lock.Created)
	}
	w.Put(cfssl, []byte("cfssl of another day"))
	moved := w.relock(t, first)
	if !slices.Equal(moved.Changes.Changed, []string{"files/cfssl_linux-amd64"}) || !moved.Lock.Created.Equal(lockTime().Add(time.Hour)) {
		t.Errorf("a file changed: got %+v, created %v", moved.Changes, moved.Lock.Created)
	}
	if !slices.ContainsFunc(moved.Warnings, func(s string) bool { return strings.Contains(s, "changed upstream since the last lock") }) {
		t.Errorf("got warnings %q, want one that the file changed", moved.Warnings)
	}
	if slices.ContainsFunc(same.Warnings, func(s string) bool { return strings.Contains(s, "changed upstream") }) {
		t.Errorf("got warnings %q of a file that did not change", same.Warnings)
	}
}

func TestLockRefusesTwoAtOnePath(t *testing.T) {
	w := newWorld(t, strings.Replace(rpmManifest, "path: cfssl_linux-amd64", "path: Docker-CE-19.03.15-3.el7.x86_64.rpm", 1))
	_, err := w.lock(t, w.fetcher(t))
	var bad *manifest.Error
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "two artifacts at") {
		t.Errorf("got %v, want a manifest error", err)
	}
}

func TestFetchRefusesStaleLock(t *testing.T) {
	w := newWorld(t, basicManifest)
	lock := w.mustLock(t)
	w.manifest = strings.Replace(basicManifest, "version: 1.0.0", "version: 1.0.1", 1)
	_, err := assemble.Fetch(t.Context(), w.options(t, lock, "demo.tar"))
	var stale *assemble.StaleLockError
	if !errors.As(err, &stale) {
		t.Errorf("got %v, want a StaleLockError", err)
	}
	w.empty(t)
}

// spoiled is one way to tamper with what a fetch starts from, and the error that it must bring.
type spoiled struct {
	name  string
	spoil func(t *testing.T, w *world, l *manifest.Lock)
	want  func(error) bool
}

const (
	zipRow  = "files/consul_1.6.1_linux_amd64.zip"
	fileRow = "files/cfssl_linux-amd64"
	wgetRow = "rpms/Packages/wget-1.14-1.noarch.rpm"
)

func rowOf(t *testing.T, l *manifest.Lock, path string) *manifest.Row {
	t.Helper()
	for i := range l.Rows {
		if l.Rows[i].Path == path {
			return &l.Rows[i]
		}
	}
	t.Fatalf("no row %q", path)
	return nil
}

// swap pins one row to the content of another, which the cache has.
func swap(t *testing.T, l *manifest.Lock, path, other string) {
	t.Helper()
	r, o := rowOf(t, l, path), rowOf(t, l, other)
	r.SHA256, r.Size = o.SHA256, o.Size
}

func withoutRow(l *manifest.Lock, path string) {
	l.Rows = slices.DeleteFunc(l.Rows, func(r manifest.Row) bool { return r.Path == path })
}

// spoiledContent is locks whose rows and files are not what the signatures say.
func spoiledContent() []spoiled {
	return []spoiled{
		{"the file behind a row is another one", func(t *testing.T, w *world, l *manifest.Lock) {
			must(t, os.RemoveAll(w.cache))
			w.Put(cfssl, []byte("CFSSL"))
		}, is[*fetch.MismatchError]},
		{"a row's digest is not the signed one", func(t *testing.T, w *world, l *manifest.Lock) {
			swap(t, l, zipRow, fileRow)
		}, is[*bundle.MismatchError]},
		{"a row's signer is another", func(t *testing.T, w *world, l *manifest.Lock) {
			rowOf(t, l, zipRow).Verified = "hashicorp-pgp 34365D9472D7468F"
		}, is[*bundle.MismatchError]},
		{"the signature is of other sums", func(t *testing.T, w *world, l *manifest.Lock) {
			const dir = "evidence/hashicorp/consul/1.6.1/consul_1.6.1_SHA256SUMS.sig"
			const other = "evidence/providers/registry.terraform.io/hashicorp/null/2.1.2/terraform-provider-null_2.1.2_SHA256SUMS.sig"
			swap(t, l, dir, other)
		}, is[*source.SignatureError]},
		{"a pinned file's digest is another", func(t *testing.T, w *world, l *manifest.Lock) {
			swap(t, l, fileRow, zipRow)
		}, is[*bundle.MismatchError]},
		{"a pinned file is said to be of first use", func(t *testing.T, w *world, l *manifest.Lock) {
			rowOf(t, l, fileRow).Verified = "first-use"
		}, is[*bundle.MismatchError]},
		{"a package is said to be of first use", func(t *testing.T, w *world, l *manifest.Lock) {
			rowOf(t, l, wgetRow).Verified = "first-use"
		}, is[*bundle.MismatchError]},
		{"a package is another one", func(t *testing.T, w *world, l *manifest.Lock) {
			swap(t, l, wgetRow, "rpms/Packages/containerd.io-1.4.13-1.x86_64.rpm")
		}, is[*rpm.MismatchError]},
	}
}

// spoiledRows is locks that are not of their manifest, and an altered cache.
func spoiledRows() []spoiled {
	return []spoiled{
		{"a file that the manifest does not ask for", func(t *testing.T, w *world, l *manifest.Lock) {
			r := *rowOf(t, l, fileRow)
			r.Path = "files/backdoor"
			l.Rows = append(l.Rows, r)
		}, stale("does not ask for it")},
		{"a release that the manifest does not ask for", func(t *testing.T, w *world, l *manifest.Lock) {
			r := *rowOf(t, l, zipRow)
			r.Path = "files/consul_1.6.2_linux_amd64.zip"
			l.Rows = append(l.Rows, r)
		}, stale("does not ask for it")},
		{"the row of a release is gone", func(t *testing.T, w *world, l *manifest.Lock) { withoutRow(l, zipRow) }, stale("no row for")},
		{"the row of a file is gone", func(t *testing.T, w *world, l *manifest.Lock) { withoutRow(l, fileRow) }, stale("no row for")},
		{"the row of a package is gone", func(t *testing.T, w *world, l *manifest.Lock) { withoutRow(l, wgetRow) }, stale("wget")},
		{"a file's mode is another", func(t *testing.T, w *world, l *manifest.Lock) { rowOf(t, l, fileRow).Mode = "0644" }, stale("mode 0644")},
		{"a file is said to come from elsewhere", func(t *testing.T, w *world, l *manifest.Lock) {
			rowOf(t, l, fileRow).URL = "https://evil.example/cfssl"
		}, stale("evil.example")},
		{"evidence that vouches for nothing", func(t *testing.T, w *world, l *manifest.Lock) {
			r := *rowOf(t, l, fileRow)
			r.Path, r.Kind = "evidence/more", manifest.KindEvidence
			l.Rows = append(l.Rows, r)
		}, stale("does not ask for it")},
		{"the version is another", func(t *testing.T, w *world, l *manifest.Lock) { l.Version = "9.0.0" }, stale("version: got 9.0.0")},
		{"a variable is another", func(t *testing.T, w *world, l *manifest.Lock) {
			l.Variables = map[string]string{"consul_version": "9.9.9"}
		}, stale("variables")},
		{"a cached file was altered", func(t *testing.T, w *world, l *manifest.Lock) {
			sum := rowOf(t, l, zipRow).SHA256
			path := filepath.Join(w.cache, "sha256", sum[:2], sum)
			must(t, os.Chmod(path, 0o644))
			must(t, os.WriteFile(path, []byte("evil"), 0o644))
			w.Remove(consul + "_linux_amd64.zip")
		}, says("404")},
	}
}

// A lock, a cache and a key file are files that anybody can change.
func TestFetchBelievesNobody(t *testing.T) {
	for _, c := range slices.Concat(spoiledContent(), spoiledRows()) {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, rpmManifest)
			lock := w.mustLock(t)
			c.spoil(t, w, lock)
			_, err := assemble.Fetch(t.Context(), w.options(t, lock, "demo.tar"))
			if err == nil || !c.want(err) {
				t.Errorf("got %v", err)
			}
			w.empty(t)
		})
	}
}

// A key that changes after the lock was compared with it has vouched for nothing.
func TestFetchNoticesKeyThatChangesMeanwhile(t *testing.T) {
	w := newWorld(t, basicManifest)
	lock := w.mustLock(t)
	must(t, os.RemoveAll(w.cache))
	key, err := os.ReadFile(filepath.Join(w.dir, "keys/vendor.asc"))
	must(t, err)
	change := sync.OnceValue(func() error {
		return os.WriteFile(filepath.Join(w.dir, "keys/vendor.asc"), append(key, '\n'), 0o644)
	})
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := change(); err != nil {
			t.Error(err)
		}
		w.Internet.ServeHTTP(rw, r)
	})
	_, err = assemble.Fetch(t.Context(), w.options(t, lock, "demo.tar"))
	if !is[*assemble.StaleLockError](err) {
		t.Errorf("got %v, want a StaleLockError", err)
	}
	w.empty(t)
}

// The key is part of the inputs: another one makes the lock stale, and then signs nothing that is there.
func TestLockRefusesOtherKeys(t *testing.T) {
	w := newWorld(t, rpmManifest)
	lock := w.mustLock(t)
	repo, err := buildRepo()
	must(t, err)
	w.write(t, "keys/rpm.asc", repo.stranger)
	_, err = assemble.Fetch(t.Context(), w.options(t, lock, "demo.tar"))
	if !is[*assemble.StaleLockError](err) {
		t.Errorf("fetch: got %v, want a StaleLockError", err)
	}
	_, err = w.lock(t, w.fetcher(t))
	if !errors.Is(err, rpm.ErrUnknownKey) || !is[*source.SignatureError](err) || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("lock: got %v, want ErrUnknownKey of each of three packages", err)
	}
	w.empty(t)
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// stale wants a lock to be refused as not of this manifest, for a reason that says text.
func stale(text string) func(error) bool {
	return func(err error) bool { return is[*assemble.StaleLockError](err) && strings.Contains(err.Error(), text) }
}

func says(text string) func(error) bool {
	return func(err error) bool { return strings.Contains(err.Error(), text) }
}

// A repository in a folder of this machine serves lock and fetch like any other.
func TestFetchFromFolder(t *testing.T) {
	repo, err := buildRepo()
	must(t, err)
	w := newWorld(t, strings.Replace(rpmManifest, rpmBase, "file://"+repo.dir+"/", 1))
	must(t, w.PutFolder(rpmBase, t.TempDir())) // nothing
	w.write(t, "keys/rpm.asc", repo.key)
	w.write(t, "base/centos.rpmqa", []byte("P|bash|0|4.2.46|34.el7|x86_64\n"))
	w.write(t, "scripts/motd.sh", []byte("echo hello\n"))
	lock := w.mustLock(t)
	must(t, os.RemoveAll(w.cache))
	res, err := assemble.Fetch(t.Context(), w.options(t, lock, "demo.tar"))
	must(t, err)
	b := open(t, res.Bundle)
	n := 0
	for _, f := range b.Index().Files {
		if f.Kind == manifest.KindRPM && strings.HasPrefix(f.Path, "rpms/") {
			n++
			if !strings.HasPrefix(f.Origin, "file://"+repo.dir+"/Packages/") {
				t.Errorf("%s: got origin %s, want it below the folder", f.Path, f.Origin)
			}
		}
	}
	if n != 3 {
		t.Errorf("got %d packages, want 3", n)
	}
	// A file that has changed since is refused, one that is gone is told.
	gone := *lock
	gone.Rows = slices.Clone(lock.Rows)
	must(t, os.RemoveAll(w.cache))
	for i, r := range gone.Rows {
		if r.Kind == manifest.KindRPM {
			gone.Rows[i].URL = strings.Replace(r.URL, "/Packages/", "/gone/", 1)
		}
	}
	_, err = assemble.Fetch(t.Context(), w.options(t, &gone, "gone.tar"))
	if !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), "no such file") != 3 {
		t.Errorf("got %v, want all three packages told", err)
	}
}

// Packages that nobody signed are taken where the manifest says so, and then yum and dnf take them, and no others, unsigned.
func TestFetchUnsigned(t *testing.T) {
	repo, err := buildRepo()
	must(t, err)
	for _, c := range []struct{ name, from, to, unsigned string }{
		{"no signatures asked for", ", gpgkey: keys/rpm.asc}", ", gpgcheck: false}", "containerd.io docker-ce wget"},
		{"signatures of the metadata alone", ", gpgkey: keys/rpm.asc}", ", gpgkey: keys/rpm.asc, gpgcheck: false, repo_gpgcheck: true}", "containerd.io docker-ce wget"},
		{"an exception that nobody needs", "install: [docker-ce", "unsigned: [wget]\n    install: [docker-ce", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, strings.Replace(rpmManifest, c.from, c.to, 1))
			w.Put(rpmBase+"repodata/repomd.xml.asc", repo.asc)
			res, err := assemble.Fetch(t.Context(), w.options(t, w.mustLock(t), "demo.tar"))
			must(t, err)
			b := open(t, res.Bundle)
			conf, err := b.ReadFile("rpms/offbake.conf", 1<<20)
			must(t, err)
			_, after, found := strings.Cut(string(conf), "includepkgs=")
			got, _, _ := strings.Cut(after, "\n")
			if got != c.unsigned || found != (c.unsigned != "") {
				t.Errorf("got includepkgs=%s, want %s:\n%s", got, c.unsigned, conf)
			}
			_, err = b.ReadFile("rpms/keys/RPM-GPG-KEY-base", 1<<20)
			if (err == nil) != (c.unsigned == "") {
				t.Errorf("the key of packages: got %v", err)
			}
		})
	}
}
