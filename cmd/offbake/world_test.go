package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/internal/faulttest"
)

const (
	consulZip  = "https://releases.hashicorp.com/consul/1.6.1/consul_1.6.1_linux_amd64.zip"
	consulSums = "https://releases.hashicorp.com/consul/1.6.1/consul_1.6.1_SHA256SUMS"
)

// world is what the scripts find outside of themselves: the small internet of the demo, and versions of it in which
// something is wrong.
type world struct {
	cluster           *faulttest.Cluster
	auditKey, fullKey []byte
	env               []string
}

// worldDir is the folder of the world, once it was made.
var worldDir atomic.Pointer[string]

// theWorld is built once: packages are built with rpmbuild, which takes seconds.
var theWorld = sync.OnceValues(func() (*world, error) {
	dir, err := os.MkdirTemp("", "offbake-world-")
	if err != nil {
		return nil, err
	}
	worldDir.Store(&dir)
	standin := filepath.Join(dir, "standin")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", standin, "../../examples/standin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the stand-in: %w: %s", err, out)
	}
	program, err := os.ReadFile(standin)
	if err != nil {
		return nil, err
	}
	cluster, err := faulttest.NewCluster(program, dir)
	if err != nil {
		return nil, err
	}
	auditKey, err := buildAudit(cluster, filepath.Join(dir, "audit"))
	if err != nil {
		return nil, err
	}
	fullKey, err := buildFull(cluster, filepath.Join(dir, "full"))
	if err != nil {
		return nil, err
	}
	w := &world{cluster: cluster, auditKey: auditKey, fullKey: fullKey, env: []string{"INTERNET=" + httptest.NewServer(cluster).URL}}
	return w, w.breakThings()
})

// buildAudit serves two versions of audit-libs with the packages that are in lockstep with it, at
// https://rpms.example/audit/, the older one with other content at https://rpms.example/again/, and returns the key that signs
// them.
func buildAudit(cluster *faulttest.Cluster, dir string) ([]byte, error) {
	key, err := faulttest.NewSigningKey(faulttest.KeyOptions{})
	if err != nil {
		return nil, err
	}
	lib := func(name, version string, requires ...string) faulttest.RPMSpec {
		return faulttest.RPMSpec{Name: name, Version: version, Release: "4.el7", Requires: requires}
	}
	err = faulttest.BuildRepo(dir, key, lib("audit-libs", "2.8.4"), lib("audit-libs-devel", "2.8.4", "audit-libs = 2.8.4-4.el7"),
		lib("audit-libs", "2.8.5"), lib("audit-libs-python", "2.8.5", "audit-libs = 2.8.5-4.el7"))
	if err != nil {
		return nil, err
	}
	again := lib("audit-libs", "2.8.4")
	again.Description = "built again"
	if err := faulttest.BuildRepo(dir+"-again", key, again); err != nil {
		return nil, err
	}
	armored, err := key.Armored()
	if err != nil {
		return nil, err
	}
	return armored, errors.Join(cluster.PutFolder("https://rpms.example/audit/", dir), cluster.PutFolder("https://rpms.example/again/", dir+"-again"))
}

// breakThings serves one internet for each thing that can be wrong with a vendor; its URL is in the variable.
func (w *world) breakThings() error {
	for name, spoil := range map[string]func(*faulttest.Internet) error{
		"GONE": func(n *faulttest.Internet) error { n.Remove(consulZip); return nil },
		"WRONG_SUM": func(n *faulttest.Internet) error {
			zip := n.Get(consulZip)
			zip[len(zip)/2] ^= 1
			n.Put(consulZip, zip)
			return nil
		},
		"WRONG_SIGNATURE": func(n *faulttest.Internet) error {
			n.Put(consulSums, append(n.Get(consulSums), '\n'))
			return nil
		},
		"HOSTILE_ZIP": func(n *faulttest.Internet) error {
			zip, err := faulttest.Zip(map[string][]byte{"consul": []byte("x"), "../../escaped": []byte("x")})
			if err != nil {
				return err
			}
			n.Put(consulZip, zip)
			return n.PutSums(consulSums, fmt.Appendf(nil, "%x  consul_1.6.1_linux_amd64.zip\n", sha256.Sum256(zip)))
		},
	} {
		n, err := faulttest.NewInternet("cluster")
		if err != nil {
			return err
		}
		if err := n.PutProduct("consul", "1.6.1", bytes.Repeat([]byte("consul"), 1000)); err != nil {
			return err
		}
		if err := spoil(n); err != nil {
			return err
		}
		w.env = append(w.env, name+"="+httptest.NewServer(n).URL)
	}
	return nil
}

// TestScripts runs the real program against the small internet. Every script has a home, a cache and a store of its own.
func TestScripts(t *testing.T) {
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "flip": flip, "told": told},
		Setup:         func(env *testscript.Env) error { return w.setup(env) },
	})
}

func (w *world) setup(env *testscript.Env) error {
	for name, public := range map[string]bool{"STORE": false, "PUBLIC_STORE": true} {
		store, err := serve.Store(serve.StoreOptions{Dir: filepath.Join(env.WorkDir, "."+name), Bucket: "bundles", Public: public,
			Keys: []serve.Key{{Public: "test-public", Private: "test-private"}}, Strict: true})
		if err != nil {
			return err
		}
		server := httptest.NewServer(store)
		env.Defer(server.Close)
		env.Setenv(name, server.URL)
	}
	env.Vars = append(env.Vars, w.env...)
	env.Vars = append(env.Vars, "OFFBAKE_CACHE="+filepath.Join(env.WorkDir, ".cache"), "HOME="+env.WorkDir)
	if err := os.Mkdir(filepath.Join(env.WorkDir, "keys"), 0o755); err != nil {
		return err
	}
	for name, key := range map[string][]byte{"releases.asc": w.cluster.ReleasesKey, "rpms.asc": w.cluster.PackagesKey,
		"audit.asc": w.auditKey, "full.asc": w.fullKey} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, "keys", name), key, 0o644); err != nil {
			return err
		}
	}
	full, err := os.ReadFile("../../examples/demo/manifest.yaml")
	if err != nil {
		return err
	}
	for _, dir := range []string{"base", "scripts"} {
		if err := os.CopyFS(filepath.Join(env.WorkDir, dir), os.DirFS("../../examples/demo/"+dir)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(env.WorkDir, "demo.yaml"), full, 0o644)
}

// flip changes one bit in the middle of a file: what a bad disk or an attacker would.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(path, data, 0o644))
}

// told fails unless the command before has told each thing that is odd about the variable files of vars.txtar once, and
// nothing of what is in them.
func told(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: told")
	}
	stderr := ts.ReadFile("stderr")
	for _, want := range []string{
		`variable file "mine.json" may be read by others: chmod 600 it`,
		`variable file "team.json" is tracked by git: it may hold secrets`,
		`variable "image_copy_name" of "mine.json" is not known to the manifest`,
		`variable "Tags" of "mine.json" is left out: `,
	} {
		if n := strings.Count(stderr, "warning: "+want); n != 1 {
			ts.Fatalf("%q was told %d times, want once:\n%s", want, n, stderr)
		}
	}
	if n := strings.Count(stderr, "warning: variable"); n != 4 || strings.Contains(stderr, "s3cret") {
		ts.Fatalf("got %d warnings, want 4, and no secret:\n%s", n, stderr)
	}
}
