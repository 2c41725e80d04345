package modulemd_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm/modulemd"
)

// fedora is real metadata, and packages such as go with it: most of the artifacts that it names, and as many of the same
// names that are of no module.
func fedora(tb testing.TB, id string) testRepo {
	tb.Helper()
	f, err := os.Open("testdata/" + id + ".yaml.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	r := testRepo{id: id, modules: string(text)}
	for i, s := range parse(tb, r.modules).Streams {
		for n, artifact := range s.Artifacts {
			if n%3 == 0 {
				continue
			}
			p := testPackage{nevra: artifact}
			r.packages = append(r.packages, p)
			if n%3 == 1 {
				parts := p.parts()
				r.packages = append(r.packages, testPackage{nevra: fmt.Sprintf("%s-%s:%s-%d.fc29.x86_64", parts[0],
					parts[1], parts[2], i)})
			}
		}
	}
	r.packages = uniquePackages(r.packages)
	return r
}

func parse(tb testing.TB, text string) *modulemd.Index {
	tb.Helper()
	idx, err := modulemd.Parse(strings.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	return idx
}

func TestFedoraLikeDnf(t *testing.T) {
	t.Parallel()
	q := question{repos: []testRepo{fedora(t, "f29"), fedora(t, "f29-updates")}, platform: "platform:f29"}
	dirs := q.write(t)
	var streams []*modulemd.Stream
	for _, r := range q.repos {
		idx := parse(t, r.modules)
		if len(idx.Skipped) > 0 {
			t.Errorf("%s: skipped %v", r.id, idx.Skipped)
		}
		streams = append(streams, idx.Streams...)
	}
	if len(streams) != 104 {
		t.Errorf("got %d streams, want 104", len(streams))
	}
	seed, questions := randomSeed(t), 4
	if os.Getenv("OFFBAKE_SWEEP") == "whole" {
		questions = 200
	}
	t.Logf("seed %d, %d questions", seed, questions)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	oracle := startDnf(t)
	for i := range questions {
		q.enable = nil
		for range i % 4 {
			s := pickOf(g, streams)
			spec := s.ID()
			if len(s.Profiles) > 0 && g.chance(50) {
				spec += "/" + pickOf(g, s.Profiles).Name
			}
			q.enable = append(q.enable, spec)
		}
		want := oracle.ask(t, q, dirs)
		got, err := our(t, q, dirs)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("enabling %v: our error %v, dnf to us:\n%s", q.enable, err, diff)
		}
		if i == 0 && (want.Refused || len(want.Active) == 0) {
			t.Errorf("got %d builds active by default, want some", len(want.Active))
		}
	}
}

// Stream names that look like numbers stay as they are written.
func TestFedoraStreamsAreAsWritten(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, s := range parse(t, fedora(t, "f29-updates").modules).Streams {
		names[s.ID()] = true
	}
	for _, want := range []string{"kubernetes:1.10", "golang:1.10", "gimp:2.10"} {
		if !names[want] {
			t.Errorf("%s is missing in %d streams", want, len(names))
		}
	}
	if names["golang:1.1"] {
		t.Error("a stream 1.10 became 1.1")
	}
}
