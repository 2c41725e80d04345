package rpm_test

import (
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
)

func TestConf(t *testing.T) {
	conf := string(rpm.Conf(rpm.ConfOptions{Keys: []string{"b", "a", "b"}}))
	for _, want := range []string{
		"\nreposdir=/dev/null\n", "\nlocalpkg_gpgcheck=1\n", "\ninstall_weak_deps=0\n", "\nmodule_hotfixes=1\n",
		"\nbaseurl=file:///var/lib/offbake/rpms\n",
		"\ngpgkey=file:///var/lib/offbake/rpms/keys/a\n       file:///var/lib/offbake/rpms/keys/b\n",
	} {
		if strings.Count(conf, want) != 1 {
			t.Errorf("got %q, want %q once", conf, want)
		}
	}
	if got := strings.Count(conf, "\ngpgcheck=1\n"); got != 2 {
		t.Errorf("got gpgcheck on %d times, want it in both sections", got)
	}
	if again := string(rpm.Conf(rpm.ConfOptions{Keys: []string{"a", "b"}})); again != conf {
		t.Errorf("got %q for the same keys in another order, want %q", again, conf)
	}
	if weak := string(rpm.Conf(rpm.ConfOptions{Weak: true})); !strings.Contains(weak, "\ninstall_weak_deps=1\n") || strings.Contains(weak, "\ngpgkey=") {
		t.Errorf("got %q, want weak dependencies and no key", weak)
	}
}

func TestConfUnsigned(t *testing.T) {
	conf := string(rpm.Conf(rpm.ConfOptions{Keys: []string{"k"}, Unsigned: []string{"zz", "aa++", "zz"}}))
	signed, unsigned, found := strings.Cut(conf, "\n[offbake-unsigned]\n")
	if !found {
		t.Fatalf("got %q, want a section for unsigned packages", conf)
	}
	for _, want := range []string{"\ngpgcheck=1\n", "\nexclude=aa++ zz\n", "\ngpgkey=file:///var/lib/offbake/rpms/keys/k\n"} {
		if !strings.Contains(signed, want) || strings.Contains(unsigned, want) {
			t.Errorf("got %q, want %q for signed packages alone", conf, want)
		}
	}
	for _, want := range []string{"\ngpgcheck=0\n", "\nincludepkgs=aa++ zz\n"} {
		if strings.Contains(signed, want) || !strings.Contains(unsigned, want) {
			t.Errorf("got %q, want %q for unsigned packages alone", conf, want)
		}
	}
	if got := strings.Count(conf, "\nbaseurl=file:///var/lib/offbake/rpms\n"); got != 2 {
		t.Errorf("got %d sections at the repository, want 2", got)
	}
}

// TestConfUnsignedAlone: a section that is checked with no key would keep dnf from installing anything.
func TestConfUnsignedAlone(t *testing.T) {
	conf := string(rpm.Conf(rpm.ConfOptions{Unsigned: []string{"bb"}}))
	if strings.Contains(conf, "[offbake]") || strings.Contains(conf, "setopt=offbake.") {
		t.Errorf("got %q, want no section for signed packages", conf)
	}
	_, section, found := strings.Cut(conf, "\n[offbake-unsigned]\n")
	if !found || !strings.Contains(section, "\ngpgcheck=0\n") || !strings.Contains(section, "\nincludepkgs=bb\n") ||
		!strings.Contains(conf, "\nlocalpkg_gpgcheck=1\n") {
		t.Errorf("got %q, want a section of packages without signature", conf)
	}
}
