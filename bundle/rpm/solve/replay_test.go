package solve_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
)

// did tells a transaction in short: what comes, what moves, and what goes.
func did(t *solve.Transaction) []string {
	out := []string{}
	if t == nil {
		return append(out, "refused")
	}
	for _, i := range t.Install {
		out = append(out, "+"+i.Package.NEVRA())
	}
	for _, c := range t.Upgrade {
		out = append(out, c.From.NEVRA()+" > "+c.Package.NEVRA())
	}
	for _, p := range t.Remove {
		out = append(out, "-"+p.NEVRA())
	}
	return out
}

// outcome is did, and below it what is wrong.
func outcome(o solve.Outcome) []string {
	out := did(o.Transaction)
	for _, name := range o.Unmatched {
		out = append(out, "unmatched "+name)
	}
	for _, p := range o.Problems {
		out = append(out, "problem: "+p.Text)
	}
	return out
}

func TestReplay(t *testing.T) {
	install := func(specs ...string) solve.Call { return solve.Call{Install: specs} }
	absent := func(specs ...string) solve.Call { return solve.Call{Install: specs, Absent: true} }
	upgrade := func(specs ...string) solve.Call { return solve.Call{Upgrade: specs} }
	for _, tt := range []struct {
		name, world string
		calls       []solve.Call
		want        [][]string
	}{
		{"each call finds what those before it left", "host lib-1-1.noarch\nr lib-2-1.noarch\nr app-1-1.noarch; requires lib >= 2\n" +
			"r more-1-1.noarch; requires lib = 2",
			[]solve.Call{install("app"), install("more"), install("app", "more")},
			[][]string{{"+app-1-1.noarch", "lib-1-1.noarch > lib-2-1.noarch"}, {"+more-1-1.noarch"}, {}}},
		{"what an earlier call brought may be in the way of a later one", "r a-1-1.noarch\nr b-1-1.noarch; conflicts a\nr c-1-1.noarch",
			[]solve.Call{install("a"), install("b"), install("c")},
			[][]string{{"+a-1-1.noarch"}, {"refused", "problem: …b-1-1.noarch …conflicts with a"}, {"+c-1-1.noarch"}}},
		{"alone it is not", "r a-1-1.noarch\nr b-1-1.noarch; conflicts a", []solve.Call{install("b")}, [][]string{{"+b-1-1.noarch"}}},
		{"what something there provides is not asked for", "host sed-1-1.noarch\nhost vim-enhanced-1-1.noarch; provides vim\n" +
			"host shadow-1-1.noarch; file /usr/sbin/groupadd\nr sed-2-1.noarch\nr vim-2-1.noarch\nr x-1-1.noarch",
			[]solve.Call{absent("sed", "vim", "/usr/sbin/groupadd", "x"), absent("x")}, [][]string{{"+x-1-1.noarch"}, {}}},
		{"all that is missing, and what is wrong with the rest", "r b-1-1.noarch; requires c\nr ok-1-1.noarch",
			[]solve.Call{install("a", "b", "ok"), install("a", "ok")},
			[][]string{{"refused", "problem: …\"a\"", "problem: …c …b-1-1.noarch"}, {"refused"}}},
		{"what may be missing", "r ok-1-1.noarch", []solve.Call{{Install: []string{"a", "ok"}, Lenient: true}},
			[][]string{{"+ok-1-1.noarch", "unmatched a"}}},
		{"upgrades of what is there by that name", "host a-1-1.noarch\nhost b-1-1.noarch; provides c\nr a-2-1.noarch; requires d\nr b-2-1.noarch\n" +
			"r c-2-1.noarch\nr d-1-1.noarch",
			[]solve.Call{upgrade("c"), upgrade("d"), upgrade("a"), upgrade("b-2")},
			[][]string{{}, {}, {"+d-1-1.noarch", "a-1-1.noarch > a-2-1.noarch"}, {}}},
		{"an upgrade that dnf would pass over", "host a-1-1.noarch\nr a-2-1.noarch; requires libc >= 9", []solve.Call{upgrade("a")},
			[][]string{{"refused", "problem: …libc >= 9 …a-2-1.noarch"}}},
		{"no upgrade is no problem", "host a-2-1.noarch\nr a-1-1.noarch\nr a-2-1.noarch", []solve.Call{upgrade("a")}, [][]string{{}}},
		{"nothing becomes older", "host b-2-1.noarch\nr b-1-1.noarch\nr app-1-1.noarch; requires b = 1", []solve.Call{install("app")},
			[][]string{{"refused", "problem: …b-1-1.noarch …app …b-2-1.noarch"}}},
	} {
		h := parseHandmade(t, tt.world)
		outcomes, err := solve.Replay(h.options, tt.calls)
		if err != nil {
			t.Fatal(err)
		}
		var got [][]string
		before := h.options.Installed
		for i, o := range outcomes {
			lines := outcome(o)
			for j := range lines {
				if j < len(tt.want[i]) && strings.HasPrefix(lines[j], "problem: ") && says(lines[j], tt.want[i][j]) {
					lines[j] = tt.want[i][j]
				}
			}
			got = append(got, lines)
			if !cmp.Equal(o.Call, tt.calls[i]) {
				t.Errorf("%s: got call %+v, want %+v", tt.name, o.Call, tt.calls[i])
			}
			after := before
			if o.Transaction != nil {
				after = o.Transaction.Apply(before)
			}
			if a, b := names(after), names(o.Installed); !slices.Equal(a, b) {
				t.Errorf("%s: call %d: got %v installed afterwards, want %v", tt.name, i, b, a)
			}
			before = o.Installed
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// says reports whether a problem as it is told to people has the parts that count, between which want has dots.
func says(got, want string) bool {
	for part := range strings.SplitSeq(want, " …") {
		_, rest, found := strings.Cut(got, part)
		if !found {
			return false
		}
		got = rest
	}
	return true
}

func names(packages []*rpm.Package) []string {
	out := []string{}
	for _, p := range packages {
		out = append(out, p.NEVRA())
	}
	slices.Sort(out)
	return out
}

// TestReplayFiles gives packages by the paths of their files.
func TestReplayFiles(t *testing.T) {
	const world = "r app-3:1-1.noarch; requires b\nr app-3:2-1.noarch; requires b\nr b-1-1.noarch\nr c-1-1.noarch"
	files := func(list ...solve.File) solve.Call { return solve.Call{By: "recipe", Files: list} }
	for _, tt := range []struct {
		name, host string
		call       solve.Call
		want       []string
	}{
		{"this one and no newer", "", files(solve.File{Path: "files/app-1-1.noarch.rpm", Package: "app"}), []string{"+app-3:1-1.noarch", "+b-1-1.noarch"}},
		{"it is there", "host app-3:1-1.noarch\n", files(solve.File{Path: "files/app-1-1.noarch.rpm", Package: "app"}), []string{}},
		{"an older one is there", "host app-3:1-1.noarch\n", files(solve.File{Path: "files/app-2-1.noarch.rpm", Package: "app"}),
			[]string{"+b-1-1.noarch", "app-3:1-1.noarch > app-3:2-1.noarch"}},
		{"a newer one is there", "host app-3:2-1.noarch\nhost b-1-1.noarch\n", files(solve.File{Path: "files/app-1-1.noarch.rpm", Package: "app"}),
			[]string{"app-3:2-1.noarch > app-3:1-1.noarch"}},
		{"a file that the repository lacks", "", files(solve.File{Path: "files/c-9.rpm", Package: "c"}), []string{"+c-1-1.noarch"}},
	} {
		h := parseHandmade(t, tt.host+world)
		for _, p := range h.options.Repos[0].Packages {
			p.Href = "Packages/" + p.Name + "-" + p.EVR.Version + "-" + p.EVR.Release + "." + p.Arch + ".rpm"
		}
		outcomes, err := solve.Replay(h.options, []solve.Call{tt.call})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, did(outcomes[0].Transaction)); diff != "" {
			t.Errorf("%s (-want +got):\n%s%v", tt.name, diff, outcomes[0].Problems)
		}
		if refused := outcomes[0].Transaction == nil; refused != (len(outcomes[0].Problems) > 0) {
			t.Errorf("%s: got problems %v", tt.name, outcomes[0].Problems)
		}
	}
}

// TestReplayAsksFileLists passes on what fails there, and only where a path is wanted that nobody else has.
func TestReplayAsksFileLists(t *testing.T) {
	h := parseHandmade(t, "r app-1-1.noarch; requires /usr/share/dict/words\nr words-1-1.noarch\nr b-1-1.noarch; requires /usr/bin/b\nr c-1-1.noarch; file /usr/bin/b")
	broken := errors.New("broken")
	var asked []string
	h.options.Files = func(paths []string) (map[*rpm.Package][]string, error) {
		asked = append(asked, paths...)
		return nil, broken
	}
	if _, err := solve.Replay(h.options, []solve.Call{{Install: []string{"b"}}}); err != nil || asked != nil {
		t.Errorf("got %v, asked for %q, want no look at file lists", err, asked)
	}
	if _, err := solve.Replay(h.options, []solve.Call{{Install: []string{"app"}}}); !errors.Is(err, broken) || !slices.Contains(asked, "/usr/share/dict/words") {
		t.Errorf("got %v, asked for %q", err, asked)
	}
	words := h.options.Repos[0].Packages[1]
	h.options.Files = func([]string) (map[*rpm.Package][]string, error) {
		return map[*rpm.Package][]string{words: {"/usr/share/dict/words"}}, nil
	}
	outcomes, err := solve.Replay(h.options, []solve.Call{{Install: []string{"app"}}})
	if err != nil || strings.Join(did(outcomes[0].Transaction), " ") != "+app-1-1.noarch +words-1-1.noarch" {
		t.Errorf("got %+v, %v", outcomes, err)
	}
}
