package assemble_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
)

// replaying are options of a fetch with these transactions.
func (w *world) replaying(t *testing.T, lock *manifest.Lock, plans ...solve.Plan) assemble.FetchOptions {
	o := w.options(t, lock, "demo.tar")
	o.Transactions = func([]string) ([]solve.Plan, error) { return plans, nil }
	return o
}

func installing(by string, specs ...string) solve.Call { return solve.Call{By: by, Install: specs} }

func TestFetchReplays(t *testing.T) {
	const docker = "files/docker-ce-19.03.15-3.el7.x86_64.rpm"
	w := newWorld(t, rpmManifest)
	lock := w.mustLock(t)
	o := w.options(t, lock, "demo.tar")
	var told bytes.Buffer
	o.Progress = progress.New(&told, progress.Options{})
	o.Transactions = func(paths []string) ([]solve.Plan, error) {
		for _, want := range []string{docker, "files/consul_1.6.1_linux_amd64", "rpms/repodata/repomd.xml"} {
			if !slices.Contains(paths, want) {
				t.Errorf("got paths %q, want %s among them", paths, want)
			}
		}
		return []solve.Plan{{Name: "one", Calls: []solve.Call{
			{By: "file", Files: []solve.File{{Path: docker, Package: "docker-ce"}}},
			{By: "script", Install: []string{"wget", "nano"}, Lenient: true},
		}}, {Name: "none"}}, nil
	}
	rehearsed := 0
	o.Rehearse = func(_ context.Context, r assemble.Rehearsal) error {
		rehearsed++
		// What nobody has was told, and a rehearsal need not fail for it.
		if got := r.Plans[0].Calls[1].Install; !slices.Equal(got, []string{"wget"}) || len(r.Plans) != 2 {
			t.Errorf("got plans %+v", r.Plans)
		}
		paths := map[string]bool{}
		for _, f := range r.Files {
			paths[f.Path] = true
			if got := contentDigest(t, r, f.Path); got != f.SHA256 {
				t.Errorf("%s: got content of sha256 %s, want %s", f.Path, got, f.SHA256)
			}
		}
		for _, want := range []string{docker, "rpms/offbake.conf", "rpms/repodata/repomd.xml", "scripts/motd.sh", "manifest.lock"} {
			if !paths[want] {
				t.Errorf("%s is not there to be rehearsed", want)
			}
		}
		if _, err := r.Open("bundle.json"); err == nil {
			t.Error("there is an index before the rehearsal")
		}
		return nil
	}
	_, err := assemble.Fetch(t.Context(), o)
	must(t, err)
	o.Progress.Close()
	const warning = `warning: image "one": script installs "nano", which neither the base nor the bundle has`
	if strings.Count(told.String(), warning) != 1 || strings.Count(told.String(), "warning: image") != 1 || rehearsed != 1 {
		t.Errorf("got %d rehearsals and %s", rehearsed, &told)
	}
	open(t, w.out+"/demo.tar")
}

func contentDigest(t *testing.T, r assemble.Rehearsal, path string) string {
	t.Helper()
	f, err := r.Open(path)
	must(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	must(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

// TestFetchSignsNothingThatWouldNotInstall tells everything about all images, and writes nothing.
func TestFetchSignsNothingThatWouldNotInstall(t *testing.T) {
	w := newWorld(t, rpmManifest)
	lock := w.mustLock(t)
	_, err := assemble.Fetch(t.Context(), w.replaying(t, lock,
		solve.Plan{Name: "one", Calls: []solve.Call{installing(`recipe "a"`, "wget", "nano"), installing(`recipe "b"`, "docker-ce", "unzip")}},
		solve.Plan{Name: "two", Calls: []solve.Call{installing(`script "s.sh"`, "docker-ce = 20"), installing(`recipe "c"`, "containerd.io")}}))
	var replay *assemble.ReplayError
	if !errors.As(err, &replay) {
		t.Fatalf("got %v, want a *ReplayError", err)
	}
	type problem struct{ image, by, pkg string }
	var got []problem
	for _, p := range replay.Problems {
		got = append(got, problem{p.Image, p.By, p.Package})
	}
	want := []problem{{"one", `recipe "a"`, "nano"}, {"one", `recipe "b"`, "unzip"}, {"two", `script "s.sh"`, "docker-ce = 20"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(problem{})); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if !strings.Contains(err.Error(), `installing image "one" on base "base/centos.rpmqa": recipe "b": "unzip" `) || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v, want a line for each", err)
	}
	w.empty(t)
}

// TestFetchReplaysOnTheBase asks for what the bundle lacks: on a base that has it all is well.
func TestFetchReplaysOnTheBase(t *testing.T) {
	for base, lacks := range map[string]bool{
		"P|bash|0|4|1|x86_64\np|bash|=|4-1\n":                                    true,
		"P|bash|0|4|1|x86_64\np|bash|=|4-1\nP|nano|0|1|1|x86_64\np|nano|=|1-1\n": false,
	} {
		w := newWorld(t, rpmManifest)
		w.write(t, "base/centos.rpmqa", []byte(base))
		_, err := assemble.Fetch(t.Context(), w.replaying(t, w.mustLock(t),
			solve.Plan{Name: "one", Calls: []solve.Call{installing("x", "wget", "nano")}}))
		if refused := is[*assemble.ReplayError](err); refused != lacks || !refused && err != nil {
			t.Errorf("base %q: got %v, want it refused: %t", base, err, lacks)
		}
	}
}

func TestFetchStopsWithTheRehearsal(t *testing.T) {
	w := newWorld(t, rpmManifest)
	lock := w.mustLock(t)
	broken := errors.New("the stars are wrong")
	for name, change := range map[string]func(*assemble.FetchOptions){
		"rehearsal": func(o *assemble.FetchOptions) {
			o.Rehearse = func(context.Context, assemble.Rehearsal) error { return broken }
		},
		"transactions": func(o *assemble.FetchOptions) {
			o.Transactions = func([]string) ([]solve.Plan, error) { return nil, broken }
		},
	} {
		o := w.options(t, lock, "demo.tar")
		change(&o)
		if _, err := assemble.Fetch(t.Context(), o); !errors.Is(err, broken) {
			t.Errorf("%s: got %v, want %v", name, err, broken)
		}
		w.empty(t)
	}
}

// TestFetchReplaysNothingWithoutPackages: there is nothing to install from, and no word on what the base has.
func TestFetchReplaysNothingWithoutPackages(t *testing.T) {
	w := newWorld(t, basicManifest)
	lock := w.mustLock(t)
	o := w.replaying(t, lock, solve.Plan{Name: "one", Calls: []solve.Call{installing("x", "wget")}})
	o.Rehearse = func(_ context.Context, r assemble.Rehearsal) error {
		if len(r.Plans) > 0 {
			t.Errorf("got plans %+v", r.Plans)
		}
		return nil
	}
	_, err := assemble.Fetch(t.Context(), o)
	must(t, err)
}
