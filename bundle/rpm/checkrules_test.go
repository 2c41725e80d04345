package rpm_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
)

type rule struct {
	name          string
	host, offered []string
	install       []string // "app" when nothing is given
	upgrade       []string
	want          []string
}

func (r rule) run(t *testing.T) {
	t.Helper()
	if r.install == nil && r.upgrade == nil {
		r.install = []string{"app"}
	}
	tr := rpm.Check(rpm.CheckOptions{Installed: packages(t, r.host...), Offered: []*rpm.Repo{{Packages: packages(t, r.offered...)}},
		Install: r.install, Upgrade: r.upgrade})
	if diff := cmp.Diff(r.want, does(tr)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", r.name, diff)
	}
}

func TestCheckBringsWhatIsNeeded(t *testing.T) {
	for _, r := range []rule{
		{name: "nothing that is there", host: []string{"app-1-1.noarch"}, offered: []string{"app-2-1.noarch"}, want: []string{}},
		{name: "nothing that something there provides", host: []string{"vim-enhanced-7-1.noarch provides app"},
			offered: []string{"app-2-1.noarch"}, want: []string{}},
		{name: "a path that is there", host: []string{"app-1-1.noarch has /usr/bin/app"}, offered: []string{"b-1-1.noarch has /usr/bin/app"},
			install: []string{"/bin/app"}, want: []string{}},
		{name: "the newest", offered: []string{"app-2-1.noarch", "app-10-1.noarch", "app-9-1.noarch"}, want: []string{"+app-10-1.noarch"}},
		{name: "a provider", offered: []string{"vim-enhanced-7-1.noarch provides app"}, want: []string{"+vim-enhanced-7-1.noarch"}},
		{name: "no other architecture", offered: []string{"app-2-1.aarch64", "app-1-1.x86_64"}, want: []string{"+app-1-1.x86_64"}},
		{name: "all that is required, in turn", host: []string{"libc-1-1.x86_64"},
			offered: []string{"app-1-1.noarch requires b >= 2, libc", "b-1-1.noarch", "b-2-1.noarch requires c", "c-1-1.noarch", "d-1-1.noarch"},
			want:    []string{"+app-1-1.noarch", "+b-2-1.noarch", "+c-1-1.noarch"}},
		{name: "a circle", offered: []string{"app-1-1.noarch requires b", "b-1-1.noarch requires app"},
			want: []string{"+app-1-1.noarch", "+b-1-1.noarch"}},
		{name: "what it provides itself", offered: []string{"app-1-1.noarch requires web; provides web"}, want: []string{"+app-1-1.noarch"}},
		{name: "a newer one only where it is needed", host: []string{"a-1-1.noarch", "b-1-1.noarch"},
			offered: []string{"app-1-1.noarch requires a, b >= 2", "a-2-1.noarch", "b-2-1.noarch"},
			want:    []string{"+app-1-1.noarch", "b-1-1.noarch > b-2-1.noarch"}},
		{name: "epochs count", host: []string{"b-1:1-1.noarch"}, offered: []string{"app-1-1.noarch requires b >= 2", "b-1:3-1.noarch"},
			want: []string{"+app-1-1.noarch"}},
		{name: "a file", offered: []string{"app-1-1.noarch requires /usr/sbin/groupadd", "shadow-1-1.noarch has /usr/sbin/groupadd"},
			want: []string{"+app-1-1.noarch", "+shadow-1-1.noarch"}},
		{name: "a file in /bin is one in /usr/bin", host: []string{"bash-1-1.noarch has /usr/bin/bash"},
			offered: []string{"app-1-1.noarch requires /bin/bash"}, want: []string{"+app-1-1.noarch"}},
		{name: "a path that only filelists would tell", offered: []string{"app-1-1.noarch requires /usr/share/dict/words"},
			want: []string{"+app-1-1.noarch"}},
		{name: "features of rpm", offered: []string{"app-1-1.noarch requires rpmlib(CompressedFileNames) <= 3.0.4-1"},
			want: []string{"+app-1-1.noarch"}},
		{name: "lockstep", host: []string{"lib-1-1.noarch", "lib-python-1-1.noarch requires lib = 1-1"},
			offered: []string{"app-1-1.noarch requires lib >= 2", "lib-2-1.noarch", "lib-python-2-1.noarch requires lib = 2-1"},
			want:    []string{"+app-1-1.noarch", "lib-1-1.noarch > lib-2-1.noarch", "lib-python-1-1.noarch > lib-python-2-1.noarch"}},
		{name: "lockstep by another provider", host: []string{"lib-1-1.noarch provides so = 1", "old-1-1.noarch requires so = 1"},
			offered: []string{"app-1-1.noarch requires lib >= 2", "lib-2-1.noarch", "compat-1-1.noarch provides so = 1"},
			want:    []string{"+app-1-1.noarch", "+compat-1-1.noarch", "lib-1-1.noarch > lib-2-1.noarch"}},
		{name: "what a conflict asks for", host: []string{"b-1-1.noarch"},
			offered: []string{"app-1-1.noarch conflicts b < 2", "b-2-1.noarch"},
			want:    []string{"+app-1-1.noarch", "b-1-1.noarch > b-2-1.noarch"}},
		{name: "what a conflict of the host asks for", host: []string{"b-1-1.noarch conflicts app"},
			offered: []string{"app-1-1.noarch", "b-2-1.noarch"},
			want:    []string{"+app-1-1.noarch", "b-1-1.noarch > b-2-1.noarch"}},
		{name: "what obsoletes the enemy", host: []string{"b-1-1.noarch"},
			offered: []string{"app-1-1.noarch conflicts b", "c-1-1.noarch obsoletes b < 5"},
			want:    []string{"+app-1-1.noarch", "+c-1-1.noarch", "-b-1-1.noarch"}},
		{name: "it provides, conflicts with and obsoletes the same", host: []string{"runc-1-1.noarch", "user-1-1.noarch requires runc"},
			offered: []string{"app-1-1.noarch provides runc; conflicts runc; obsoletes runc"},
			want:    []string{"+app-1-1.noarch", "-runc-1-1.noarch"}},
		{name: "obsoletes are about names", host: []string{"b-1-1.noarch provides runc"},
			offered: []string{"app-1-1.noarch obsoletes runc, b > 1"}, want: []string{"+app-1-1.noarch"}},
		{name: "kernels beside each other", host: []string{"kernel-1-1.x86_64", "kmod-1-1.noarch requires kernel = 1-1"},
			offered: []string{"app-1-1.noarch requires kernel >= 2", "kernel-2-1.x86_64"},
			want:    []string{"+app-1-1.noarch", "+kernel-2-1.x86_64"}},
		{name: "all of a glob", install: []string{"a*"}, offered: []string{"ab-1-1.noarch", "ac-1-1.noarch", "b-1-1.noarch"},
			want: []string{"+ab-1-1.noarch", "+ac-1-1.noarch"}},
		{name: "an upgrade", upgrade: []string{"b", "absent", "c"}, host: []string{"b-1-1.noarch", "c-3-1.noarch"},
			offered: []string{"b-2-1.noarch requires d", "b-3-1.noarch requires d", "c-2-1.noarch", "d-1-1.noarch", "absent-1-1.noarch"},
			want:    []string{"+d-1-1.noarch", "b-1-1.noarch > b-3-1.noarch"}},
		{name: "what the host has wrong already stays so", host: []string{"b-1-1.noarch requires nothing", "c-1-1.noarch", "d-1-1.noarch conflicts c"},
			offered: []string{"app-1-1.noarch requires b"}, want: []string{"+app-1-1.noarch"}},
		{name: "another choice, where the first does not do", offered: []string{"app-1-1.noarch requires web, db",
			"apache-1-1.noarch provides web; requires old", "nginx-1-1.noarch provides web", "db-1-1.noarch"},
			want: []string{"+app-1-1.noarch", "+nginx-1-1.noarch", "+db-1-1.noarch"}},
		{name: "an older one, where the newest does not do", host: []string{"lib-1-1.noarch", "lib-devel-1-1.noarch requires lib = 1-1"},
			offered: []string{"app-1-1.noarch requires b", "b-1-1.noarch", "b-2-1.noarch requires lib = 2-1", "lib-2-1.noarch"},
			want:    []string{"+app-1-1.noarch", "+b-1-1.noarch"}},
	} {
		r.run(t)
	}
}

func TestCheckTellsProblems(t *testing.T) {
	for _, r := range []rule{
		{name: "not there", install: []string{"app", "b"}, offered: []string{"c-1-1.noarch"},
			want: []string{`"app" is neither on the host nor in the bundle`, `"b" is neither on the host nor in the bundle`}},
		{name: "a requirement of a requirement", offered: []string{"app-1-1.noarch requires b", "b-1-1.noarch requires c, d"},
			want: []string{"+app-1-1.noarch", "+b-1-1.noarch",
				"b-1-1.noarch of the bundle (for app) requires c, which neither the host nor the bundle has",
				"b-1-1.noarch of the bundle (for app) requires d, which neither the host nor the bundle has"}},
		{name: "versions", host: []string{"a-1-1.noarch", "b-1-1.noarch"},
			offered: []string{"app-1-1.noarch requires a >= 3, b = 2, c < 5", "a-2-1.noarch", "c-5-1.noarch", "c-6-1.noarch"},
			want: []string{"+app-1-1.noarch",
				"app-1-1.noarch of the bundle requires a >= 3, where the host has a-1-1.noarch and the bundle a-2-1.noarch",
				"app-1-1.noarch of the bundle requires b = 2, where the host has b-1-1.noarch and the bundle nothing",
				"app-1-1.noarch of the bundle requires c < 5, where the host has nothing and the bundle c-6-1.noarch, c-5-1.noarch"}},
		{name: "no step back", host: []string{"b-2-1.noarch"}, offered: []string{"app-1-1.noarch requires b = 1", "b-1-1.noarch"},
			want: []string{"+app-1-1.noarch",
				"app-1-1.noarch of the bundle requires b = 1, where the host has b-2-1.noarch and the bundle b-1-1.noarch"}},
		{name: "a requirement of the host breaks", host: []string{"lib-1-1.noarch", "lib-devel-1-1.noarch requires lib = 1-1"},
			offered: []string{"app-1-1.noarch requires b", "b-1-1.noarch requires lib >= 2", "lib-2-1.noarch"},
			want: []string{"+app-1-1.noarch", "+b-1-1.noarch", "lib-1-1.noarch > lib-2-1.noarch",
				"lib-devel-1-1.noarch of the host requires lib = 1-1, but lib-2-1.noarch of the bundle (for b, for app) would replace " +
					"lib-1-1.noarch; the bundle has no lib-devel"}},
		{name: "the lockstep upgrade does not help", host: []string{"lib-1-1.noarch", "lib-devel-1-1.noarch requires lib = 1-1"},
			offered: []string{"lib-2-1.noarch", "lib-devel-2-1.noarch requires lib = 3-1"}, upgrade: []string{"lib"},
			want: []string{"lib-1-1.noarch > lib-2-1.noarch", "lib-devel-1-1.noarch > lib-devel-2-1.noarch",
				"lib-devel-2-1.noarch of the bundle (in place of lib-devel-1-1.noarch) requires lib = 3-1, where the host has lib-1-1.noarch and the bundle " +
					"lib-2-1.noarch"}},
		{name: "an upgrade for an upgrade", host: []string{"a-1-1.noarch", "b-1-1.noarch requires a = 1-1"},
			offered: []string{"a-2-1.noarch", "b-2-1.noarch requires a = 2-1, c"}, upgrade: []string{"a"},
			want: []string{"a-1-1.noarch > a-2-1.noarch", "b-1-1.noarch > b-2-1.noarch",
				"b-2-1.noarch of the bundle (in place of b-1-1.noarch) requires c, which neither the host nor the bundle has"}},
		{name: "what is obsoleted was needed", host: []string{"b-1-1.noarch", "c-1-1.noarch requires b"},
			offered: []string{"app-1-1.noarch obsoletes b"},
			want: []string{"+app-1-1.noarch", "-b-1-1.noarch",
				"c-1-1.noarch of the host requires b, but app-1-1.noarch of the bundle would replace b-1-1.noarch; the bundle has no c"}},
		{name: "conflicts with the host", host: []string{"b-1-1.noarch provides web = 3"},
			offered: []string{"app-1-1.noarch conflicts web >= 2, b > 1"},
			want:    []string{"+app-1-1.noarch", "app-1-1.noarch of the bundle conflicts with web >= 2, and b-1-1.noarch of the host is that"}},
		{name: "conflicts of the host", host: []string{"b-1-1.noarch conflicts app < 2, app > 5"}, offered: []string{"app-1-1.noarch", "b-1-1.noarch"},
			want: []string{"+app-1-1.noarch", "b-1-1.noarch of the host conflicts with app < 2, and app-1-1.noarch of the bundle is that; " +
				"the bundle has b-1-1.noarch"}},
		{name: "conflicts of what comes", offered: []string{"app-1-1.noarch requires b", "b-1-1.noarch conflicts app"},
			want: []string{"+app-1-1.noarch", "+b-1-1.noarch",
				"b-1-1.noarch of the bundle (for app) conflicts with app, and app-1-1.noarch of the bundle is that"}},
		{name: "obsoleted by the host", host: []string{"new-1-1.noarch obsoletes app < 2"}, offered: []string{"app-1-1.noarch"},
			want: []string{"+app-1-1.noarch", "new-1-1.noarch of the host obsoletes app-1-1.noarch of the bundle; the bundle has no new"}},
		{name: "obsoletes of what comes", install: []string{"app", "b"}, offered: []string{"app-1-1.noarch obsoletes b", "b-1-1.noarch"},
			want: []string{"+app-1-1.noarch", "+b-1-1.noarch", "app-1-1.noarch of the bundle obsoletes b-1-1.noarch of the bundle"}},
		{name: "two architectures, two versions", host: []string{"lib-1-1.x86_64", "lib-1-1.i686"},
			offered: []string{"app-1-1.noarch requires lib >= 2", "lib-2-1.x86_64"},
			want: []string{"+app-1-1.noarch", "lib-1-1.x86_64 > lib-2-1.x86_64",
				"lib-1-1.i686 of the host and lib-2-1.x86_64 of the bundle (for app) can only be there in one version; the bundle has lib-2-1.x86_64"}},
		{name: "two versions", install: []string{"app-1", "app-2"}, offered: []string{"app-1-1.noarch", "app-2-1.noarch"},
			want: []string{"+app-1-1.noarch", `"app-2" means app-2-1.noarch, beside which app-1-1.noarch of the bundle (for app-1) would have to come`}},
	} {
		r.run(t)
	}
}

func TestCheckRichDependencies(t *testing.T) {
	for _, r := range []rule{
		{name: "or, met", host: []string{"c-1-1.noarch"}, offered: []string{"app-1-1.noarch requires (b or c)", "b-1-1.noarch"},
			want: []string{"+app-1-1.noarch"}},
		{name: "or", offered: []string{"app-1-1.noarch requires (b >= 2 or c)", "b-1-1.noarch", "c-1-1.noarch"},
			want: []string{"+app-1-1.noarch", "+c-1-1.noarch"}},
		{name: "neither", offered: []string{"app-1-1.noarch requires (b or (c and d))", "c-1-1.noarch"},
			want: []string{"+app-1-1.noarch", "+c-1-1.noarch",
				"app-1-1.noarch of the bundle requires (b or (c and d)), where the host has nothing and the bundle c-1-1.noarch"}},
		{name: "and", offered: []string{"app-1-1.noarch requires (b and c and lib(x86-64))", "b-1-1.noarch", "c-1-1.noarch", "d-1-1.noarch provides lib(x86-64)"},
			want: []string{"+app-1-1.noarch", "+b-1-1.noarch", "+c-1-1.noarch", "+d-1-1.noarch"}},
		{name: "if, and it is not", offered: []string{"app-1-1.noarch requires (b if c)", "b-1-1.noarch"}, want: []string{"+app-1-1.noarch"}},
		{name: "if, and it is", host: []string{"c-1-1.noarch"}, offered: []string{"app-1-1.noarch requires (b if c)", "b-1-1.noarch"},
			want: []string{"+app-1-1.noarch", "+b-1-1.noarch"}},
		{name: "if, and it comes later", offered: []string{"app-1-1.noarch requires (b if c), d", "b-1-1.noarch", "c-1-1.noarch", "d-1-1.noarch requires c"},
			want: []string{"+app-1-1.noarch", "+d-1-1.noarch", "+c-1-1.noarch", "+b-1-1.noarch"}},
		{name: "else", offered: []string{"app-1-1.noarch requires (b if c else d)", "b-1-1.noarch", "d-1-1.noarch"},
			want: []string{"+app-1-1.noarch", "+d-1-1.noarch"}},
		{name: "unless", offered: []string{"app-1-1.noarch requires (b unless c)", "b-1-1.noarch"}, want: []string{"+app-1-1.noarch", "+b-1-1.noarch"}},
		{name: "unless, and it is", host: []string{"c-1-1.noarch"}, offered: []string{"app-1-1.noarch requires (b unless c else d)", "b-1-1.noarch", "d-1-1.noarch"},
			want: []string{"+app-1-1.noarch", "+d-1-1.noarch"}},
		{name: "with: one package has both", offered: []string{"app-1-1.noarch requires (py >= 1 with py < 2)", "a-1-1.noarch provides py = 2",
			"b-1-1.noarch provides py = 1.5", "c-1-1.noarch provides py = 0.5"}, want: []string{"+app-1-1.noarch", "+b-1-1.noarch"}},
		{name: "with: none has both", host: []string{"a-1-1.noarch provides py = 2"}, offered: []string{"app-1-1.noarch requires (py >= 1 with py < 2)"},
			want: []string{"+app-1-1.noarch", "app-1-1.noarch of the bundle requires (py >= 1 with py < 2), where the host has " +
				"a-1-1.noarch and the bundle nothing"}},
		{name: "without", offered: []string{"app-1-1.noarch requires (web without bad)", "a-1-1.noarch provides web, bad", "b-1-1.noarch provides web"},
			want: []string{"+app-1-1.noarch", "+b-1-1.noarch"}},
		{name: "a conflict", host: []string{"b-1-1.noarch", "c-1-1.noarch"}, offered: []string{"app-1-1.noarch conflicts (b and c), (b and d), (x"},
			want: []string{"+app-1-1.noarch",
				"app-1-1.noarch of the bundle conflicts with (b and c), and b-1-1.noarch of the host is that",
				"app-1-1.noarch of the bundle conflicts with (b and c), and c-1-1.noarch of the host is that"}},
		{name: "the host's breaks", host: []string{"b-1-1.noarch", "c-1-1.noarch requires (b = 1 or d)"}, offered: []string{"b-2-1.noarch"}, upgrade: []string{"b"},
			want: []string{"b-1-1.noarch > b-2-1.noarch", "c-1-1.noarch of the host requires (b = 1 or d), but b-2-1.noarch of the bundle " +
				"would replace b-1-1.noarch; the bundle has no c"}},
		{name: "what does not parse is left to dnf", offered: []string{"app-1-1.noarch requires (b xor c), (b, (b or c and d), (), (b or), (b) c, " +
			"(b if c else d else e), (b >= ), ((((((((((((((((((((((((((((((((((((((b))))))))))))))))))))))))))))))))))))))"},
			want: []string{"+app-1-1.noarch"}},
		{name: "in needless parentheses", offered: []string{"app-1-1.noarch requires ((b))"},
			want: []string{"+app-1-1.noarch", "app-1-1.noarch of the bundle requires ((b)), which neither the host nor the bundle has"}},
	} {
		r.run(t)
	}
}
