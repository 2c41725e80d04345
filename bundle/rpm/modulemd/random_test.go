package modulemd_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRandomModulesLikeDnf asks dnf and us the same questions about random repositories. The seed is printed; to ask the same
// again set OFFBAKE_SEED.
func TestRandomModulesLikeDnf(t *testing.T) {
	t.Parallel()
	seed, cases := randomSeed(t), 200
	if os.Getenv("OFFBAKE_SWEEP") == "whole" {
		cases = 10_000
	}
	t.Logf("seed %d, %d cases", seed, cases)
	oracle := startDnf(t)
	refused, hidden := 0, 0
	for i := range cases {
		g := generator{rand.New(rand.NewPCG(seed, uint64(i)))}
		q := g.question()
		dirs := q.write(t)
		want := oracle.ask(t, q, dirs)
		got, err := our(t, q, dirs)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("case %d, enabling %v: our error %v, dnf to us:\n%s", i, q.enable, err, diff)
			for n, r := range q.repos {
				t.Logf("%s (%v):\n%s", r.id, dirs[n], r.modules)
			}
		}
		if want.Refused {
			refused++
		} else if len(want.Available) < len(q.repos[0].packages) {
			hidden++
		}
	}
	t.Logf("%d refused, %d with packages hidden", refused, hidden)
	if refused == 0 || refused > cases*2/3 || hidden < cases/10 {
		t.Errorf("got %d of %d cases refused, %d with packages hidden; want some of both", refused, cases, hidden)
	}
}

// generator makes questions.
type generator struct{ *rand.Rand }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

func pickOf[T any](g generator, list []T) T { return list[g.IntN(len(list))] }

func (g generator) question() question {
	modules := 1 + g.IntN(6)
	var q question
	for i := range 1 + g.IntN(2) {
		r := testRepo{id: fmt.Sprintf("repo%d", i), hotfixes: g.chance(15)}
		for range 4 + g.IntN(8) {
			r.packages = append(r.packages, g.testPackage())
		}
		r.packages = uniquePackages(r.packages)
		if g.chance(90) {
			r.modules = g.documents(modules, r.packages)
		}
		q.repos = append(q.repos, r)
	}
	for range g.IntN(4) {
		spec := g.module(modules)
		if streams := streamsIn(q.repos, spec); len(streams) > 0 && g.chance(90) {
			spec += ":" + pickOf(g, streams)
		} else if len(streams) == 0 && g.chance(90) {
			continue
		}
		if g.chance(25) {
			spec += "/" + pickOf(g, []string{"p0", "p1"})
		}
		q.enable = append(q.enable, spec)
	}
	return q
}

// streamsIn lists the streams of a module, once a build.
func streamsIn(repos []testRepo, module string) []string {
	var streams []string
	for _, r := range repos {
		for doc := range strings.SplitSeq(r.modules, "---\n") {
			if _, rest, found := strings.Cut(doc, "  name: "+module+"\n  stream: \""); found {
				streams = append(streams, rest[:strings.IndexByte(rest, '"')])
			}
		}
	}
	return streams
}

func (g generator) module(modules int) string { return fmt.Sprintf("m%d", g.IntN(modules)) }

func (g generator) stream() string { return pickOf(g, []string{"1", "2", "1.10"}) }

func (g generator) testPackage() testPackage {
	p := testPackage{nevra: g.nevra()}
	if g.chance(20) {
		p.provides = []string{g.name()}
	}
	return p
}

func (g generator) name() string { return fmt.Sprintf("pkg%d", g.IntN(8)) }

func (g generator) nevra() string {
	return fmt.Sprintf("%s-%d:%d-1.%s", g.name(), g.IntN(2), 1+g.IntN(2),
		pickOf(g, []string{"x86_64", "x86_64", "noarch", "i686", "src", "aarch64"}))
}

func uniquePackages(packages []testPackage) []testPackage {
	seen := make(map[string]bool)
	var out []testPackage
	for _, p := range packages {
		if !seen[p.nevra] {
			seen[p.nevra] = true
			out = append(out, p)
		}
	}
	return out
}

// documents is a modules.yaml.
func (g generator) documents(modules int, packages []testPackage) string {
	out := &strings.Builder{}
	seen := make(map[string]bool)
	for range 1 + g.IntN(3*modules) {
		name, stream, version := g.module(modules), g.stream(), 1+g.IntN(3)
		context, arch := pickOf(g, []string{"c0", "c1", "c2"}), "x86_64"
		if g.chance(10) {
			arch = pickOf(g, []string{"noarch", "i686", "aarch64"})
		}
		if id := fmt.Sprint(name, stream, version, context, arch); seen[id] {
			continue
		} else {
			seen[id] = true
		}
		fmt.Fprintf(out, "---\ndocument: modulemd\nversion: 2\ndata:\n  name: %s\n  stream: %q\n  version: %d\n  context: %s\n  arch: %s\n"+
			"  summary: s\n  description: d\n  license:\n    module: [MIT]\n", name, stream, version, context, arch)
		if g.chance(30) {
			out.WriteString("  static_context: true\n")
		}
		g.dependencies(out, modules)
		for i := range g.IntN(3) {
			if i == 0 {
				out.WriteString("  profiles:\n")
			}
			fmt.Fprintf(out, "    p%d:\n      rpms: [%s, %s]\n", i, g.name(), g.name())
		}
		if g.chance(25) {
			fmt.Fprintf(out, "  demodularized:\n    rpms: [%s]\n", g.name())
		}
		g.artifacts(out, packages)
	}
	for i := range modules {
		if g.chance(50) {
			fmt.Fprintf(out, "---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: m%d\n  stream: %q\n", i,
				g.stream())
			if g.chance(30) {
				fmt.Fprintf(out, "  modified: %d\n", g.IntN(3))
			}
			if g.chance(30) {
				fmt.Fprintf(out, "  profiles:\n    \"1\": [p%d]\n", g.IntN(40)/38)
			}
		}
	}
	return out.String()
}

func (g generator) dependencies(out *strings.Builder, modules int) {
	required := map[string]string{}
	if g.chance(70) {
		required["platform"] = pickOf(g, []string{"[el8]", "[el8]", "[el8]", "[el8]", "[el8]", "[]", "[el7, el8]",
			"[-el7]", "[el9]", "[-el8]"})
	}
	for range g.IntN(3) {
		if g.chance(50) {
			required[g.module(modules)] = pickOf(g, []string{"[]", `["1"]`, `["2"]`, `["1", "2"]`, `["1.10", "1"]`,
				`["-1"]`, `["-1", "-2"]`})
		}
	}
	if len(required) == 0 {
		return
	}
	out.WriteString("  dependencies:\n  - requires:\n")
	for i := range modules {
		if streams, found := required[fmt.Sprintf("m%d", i)]; found {
			fmt.Fprintf(out, "      m%d: %s\n", i, streams)
		}
	}
	if streams, found := required["platform"]; found {
		fmt.Fprintf(out, "      platform: %s\n", streams)
	}
}

func (g generator) artifacts(out *strings.Builder, packages []testPackage) {
	out.WriteString("  artifacts:\n    rpms:\n")
	for range 1 + g.IntN(4) {
		id := g.nevra()
		if g.chance(80) {
			id = pickOf(g, packages).nevra
		}
		fmt.Fprintf(out, "    - %s\n", id)
	}
}

// randomSeed is the same in every run of CI, so that a change is judged by itself; make sweep asks what nobody has asked yet.
func randomSeed(t *testing.T) uint64 {
	t.Helper()
	if s := os.Getenv("OFFBAKE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return seed
	}
	if os.Getenv("OFFBAKE_SWEEP") == "whole" {
		return rand.Uint64()
	}
	return 1
}
