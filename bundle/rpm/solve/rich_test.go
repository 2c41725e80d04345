package solve_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/rpm/solve"
)

// TestRich holds rich dependencies in all their forms against what is installed and offered.
func TestRich(t *testing.T) {
	t.Parallel()
	world := func(kind, dep, installed string) string {
		text := "installed\n"
		for _, name := range strings.Fields(installed) {
			text += "pkg " + name + " 0 1 1 noarch\n"
		}
		return text + "repo r 99\npkg top 0 1 1 noarch\n " + kind + " " + dep + "\n" +
			"pkg a 0 1 1 noarch\n provides v = 1\n provides w = 1\npkg b 0 1 1 noarch\n provides v = 2\npkg c 0 1 1 noarch\n"
	}
	for _, tt := range []struct{ kind, dep, installed, want string }{
		{"requires", "(a and b)", "", "a b"},
		{"requires", "(a and b and c)", "", "a b c"},
		{"requires", "(a and gone)", "", "unsolvable"},
		{"requires", "(gone or b)", "", "b"},
		{"requires", "(c or b)", "", "b"},
		{"requires", "(c or b)", "c", ""},
		{"requires", "(a if b)", "", ""},
		{"requires", "(a if b)", "b", "a"},
		{"requires", "(gone if b)", "b", "unsolvable"},
		{"requires", "(a if b else c)", "", "a b"}, // dnf takes what serves both parts, as long as it may choose
		{"requires", "(a if b else c)", "b", "a"},
		{"requires", "(a unless b)", "", "a"},
		{"requires", "(a unless b)", "b", "unsolvable"},
		{"requires", "(a unless b else c)", "b", "c"},
		{"requires", "(a unless b else c)", "", "b c"},
		{"requires", "(v with w)", "", "a"},
		{"requires", "(v = 2 with w)", "", "unsolvable"},
		{"requires", "(v without w)", "", "b"},
		{"requires", "(v >= 1 with v < 2)", "", "a"},
		{"requires", "((a or b) and (c or gone))", "", "b c"}, // b provides the newer v
		{"requires", "((a and b) or (gone and c))", "", "a b"},
		{"requires", "((a if b) and b)", "", "a b"},
		{"requires", "(a if (b or c))", "c", "a"},
		{"requires", "(a if (b and c))", "c", ""},
		{"requires", "((v with w) if c)", "c", "a"},
		{"requires", "(v >= 2 and a)", "", "a b"},
		{"requires", "(v>=2 and a)", "", "unsolvable"}, // without spaces it is a name
		{"requires", "((a))", "", "a"},
		{"requires", "(a or b", "", ""}, // does not parse: as for dnf it is not there
		{"requires", "(a nor b)", "", ""},
		{"requires", "(a and b or c)", "", ""},
		{"requires", "()", "", ""},
		{"conflicts", "(a and b)", "a b", "unsolvable"},
		{"conflicts", "(a and b)", "a", ""},
		{"conflicts", "(a or b)", "b", "unsolvable"},
		{"conflicts", "(a if b)", "b", ""},
		{"conflicts", "(a if b)", "a b", "unsolvable"},
		{"conflicts", "(a unless b)", "a", "b"}, // what makes the condition hold comes
		{"conflicts", "(a unless b)", "a b", ""},
		{"conflicts", "(a with w)", "a", ""}, // the installed a has no w
		{"conflicts", "(c without w)", "c", "unsolvable"},
	} {
		got := install(solve.NewPool(options(t, world(tt.kind, tt.dep, tt.installed))), "top")
		want := tt.want
		if want != "unsolvable" {
			var parts []string
			for _, name := range strings.Fields(tt.want) {
				parts = append(parts, "+"+name+"-1-1.noarch")
			}
			want = strings.Join(append(parts, "+top-1-1.noarch"), " ")
		}
		if got != want {
			t.Errorf("%s %s beside %q: got %q, want %q", tt.kind, tt.dep, tt.installed, got, want)
		}
	}
}

// TestRichWithoutMeasure gives a dependency whose normal form has more parts than there is memory for.
func TestRichWithoutMeasure(t *testing.T) {
	t.Parallel()
	dep := "(a and b)"
	for range 40 {
		dep = "((a and b) or " + dep + ")"
	}
	pool := solve.NewPool(options(t, "repo r 99\npkg top 0 1 1 noarch\n requires "+dep+"\npkg a 0 1 1 noarch\npkg b 0 1 1 noarch\npkg c 0 1 1 noarch\n"))
	for _, spec := range []string{"top", "top", "c"} {
		if got, part := install(pool, spec), "error: reading rich dependency: got more than"; !strings.HasPrefix(got, part) {
			t.Errorf("%s: got %q, want %q", spec, got, part)
		}
	}
}

// FuzzRich lets the solver meet a rich dependency. Where the text is one that the reader below understands, the answer
// must be right: what comes satisfies it, and where nothing comes no set of packages would.
func FuzzRich(f *testing.F) {
	for _, seed := range []string{"(a and b)", "(a or (b and c))", "(a if b else c)", "(a unless (b or c))", "((a if b) and b)",
		"(a and (b unless (c if a)))", "(a with b)", "(a >= 1 or b < 2)", "((((a))))", "(a or", "(and)", "(a and b or c)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 60 || strings.ContainsAny(text, "\n\r#") {
			return
		}
		o := options(t, "repo r 99\npkg top 0 1 1 noarch\npkg a 0 1 1 noarch\npkg b 0 1 1 noarch\npkg c 0 1 1 noarch\n")
		o.Repos[0].Packages[0].Requires = append(o.Repos[0].Packages[0].Requires, parseDep("("+text))
		start := time.Now()
		tr, err := solve.NewPool(o).Solve(solve.Job{Install: []string{"top"}})
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("got %v for %q", d, text)
		}
		if unspaced.MatchString(text) {
			return
		}
		r := reader{strings.NewReplacer("(", " ( ", ")", " ) ").Replace("(" + text)}
		tree, ok := r.group()
		if !ok || strings.TrimSpace(r.rest) != "" {
			return
		}
		if err == nil {
			there := map[string]bool{}
			for _, i := range tr.Install {
				there[i.Package.Name] = true
			}
			if !tree(there) {
				t.Errorf("(%s: got %v, which does not satisfy it", text, there)
			}
			return
		}
		for set := range 8 {
			there := map[string]bool{"a": set&1 != 0, "b": set&2 != 0, "c": set&4 != 0}
			if tree(there) {
				t.Fatalf("(%s: got %v, want %v", text, err, there)
			}
		}
	})
}

// unspaced is what the reader takes and rpm does not: parentheses next to words on their wrong side, and space other than blanks.
var unspaced = regexp.MustCompile(`[^ (]\(|\)[^ )]|[^ -~]`)

// reader reads the operators and, or, if, unless and else of plain names, of two or three operands each.
type reader struct{ rest string }

type tree func(there map[string]bool) bool

func (r *reader) word() string {
	fields := strings.Fields(r.rest)
	if len(fields) == 0 {
		return ""
	}
	_, r.rest, _ = strings.Cut(r.rest, fields[0])
	return fields[0]
}

func (r *reader) operand() (tree, bool) {
	before := r.rest
	switch w := r.word(); {
	case w == "(":
		r.rest = before
		return r.group()
	case slices.Contains([]string{"a", "b", "c", "nobody"}, w):
		return func(there map[string]bool) bool { return there[w] }, true
	}
	return nil, false
}

func (r *reader) group() (tree, bool) {
	if r.word() != "(" {
		return nil, false
	}
	left, ok := r.operand()
	if !ok {
		return nil, false
	}
	op := r.word()
	right, ok := r.operand()
	if !ok {
		return nil, false
	}
	end := r.word()
	var other tree
	if end == "else" && (op == "if" || op == "unless") {
		if other, ok = r.operand(); !ok {
			return nil, false
		}
		end = r.word()
	}
	if end != ")" {
		return nil, false
	}
	return combine(op, left, right, other)
}

func combine(op string, left, right, other tree) (tree, bool) {
	switch {
	case op == "and":
		return func(s map[string]bool) bool { return left(s) && right(s) }, true
	case op == "or":
		return func(s map[string]bool) bool { return left(s) || right(s) }, true
	case op == "if" && other == nil:
		return func(s map[string]bool) bool { return left(s) || !right(s) }, true
	case op == "unless" && other == nil:
		return func(s map[string]bool) bool { return left(s) && !right(s) }, true
	case op == "if" || op == "unless":
		return func(s map[string]bool) bool {
			if right(s) == (op == "if") {
				return left(s)
			}
			return other(s)
		}, true
	}
	return nil, false
}

// TestRichCombined holds every combination of operators two levels deep against the reader of FuzzRich.
func TestRichCombined(t *testing.T) {
	t.Parallel()
	var inner []string
	for _, op := range []string{"and", "or", "if", "unless"} {
		inner = append(inner, fmt.Sprintf("(a %s b)", op), fmt.Sprintf("(b %s nobody)", op))
	}
	inner = append(inner, "(a if b else c)", "(c unless a else b)", "a", "c")
	for _, op := range []string{"and", "or", "if", "unless"} {
		for _, left := range inner {
			for _, right := range inner {
				for _, kind := range []string{"requires", "conflicts"} {
					holdRich(t, kind, fmt.Sprintf("(%s %s %s)", left, op, right))
				}
			}
		}
	}
}

// holdRich solves a job for each set of packages that are asked for, with nothing else that asks for any.
func holdRich(t *testing.T, kind, dep string) {
	t.Helper()
	pool := solve.NewPool(options(t, "repo r 99\npkg top 0 1 1 noarch\n "+kind+" "+dep+"\npkg a 0 1 1 noarch\npkg b 0 1 1 noarch\npkg c 0 1 1 noarch\n"))
	r := reader{strings.NewReplacer("(", " ( ", ")", " ) ").Replace(dep)}
	tree, ok := r.group()
	if !ok {
		t.Fatalf("got %q, which is no dependency", dep)
	}
	fine := func(there map[string]bool) bool { return tree(there) == (kind == "requires") }
	for asked := range 8 {
		specs := []string{"top"}
		possible := false
		for i, name := range []string{"a", "b", "c"} {
			if asked&(1<<i) != 0 {
				specs = append(specs, name)
			}
		}
		for set := range 8 {
			there := map[string]bool{"a": set&1 != 0, "b": set&2 != 0, "c": set&4 != 0}
			possible = possible || set&asked == asked && fine(there)
		}
		tr, err := pool.Solve(solve.Job{Install: specs})
		there := map[string]bool{}
		if err == nil {
			for _, i := range tr.Install {
				there[i.Package.Name] = true
			}
		}
		if (err == nil) != possible || err == nil && !fine(there) {
			t.Errorf("%s %s, asked for %q: got %v, %v, want possible %v", kind, dep, specs, there, err, possible)
		}
	}
}
